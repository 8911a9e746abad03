// RUN: %sdopt-opt %s --sdopt-form-embedding --remarks-filter-missed=normalize --remark-format=emitRemark 2>&1 | FileCheck %s

// CHECK-DAG: no positions are added to the rows
// CHECK-DAG: what is added is not a constant row for each position

// CHECK-LABEL: @tokens_and_positions
// CHECK: %[[P:.*]] = sd.reshape %{{.*}} : tensor<1x5x4xf32> -> tensor<5x4xf32>
// CHECK: %[[Y:.*]] = sd.embedding %arg0, %{{.*}}, %[[P]]
// CHECK-NEXT: return %[[Y]]
func.func @tokens_and_positions(%ids: tensor<2x5xi64>) -> tensor<2x5x4xf32> {
  %tokens = sd.weight "tokens" digest "" : tensor<9x4xf32>
  %positions = sd.weight "positions" digest "" : tensor<1x5x4xf32>
  %a = sd.gather %tokens, %ids {axis = 0 : i64} : (tensor<9x4xf32>, tensor<2x5xi64>) -> tensor<2x5x4xf32>
  %b = sd.binary add %positions, %a : (tensor<1x5x4xf32>, tensor<2x5x4xf32>) -> tensor<2x5x4xf32>
  return %b : tensor<2x5x4xf32>
}

// CHECK-LABEL: @no_positions
// CHECK: sd.gather
func.func @no_positions(%ids: tensor<2x5xi64>) -> tensor<2x5x4xf32> {
  %tokens = sd.weight "tokens" digest "" : tensor<9x4xf32>
  %a = sd.gather %tokens, %ids {axis = 0 : i64} : (tensor<9x4xf32>, tensor<2x5xi64>) -> tensor<2x5x4xf32>
  return %a : tensor<2x5x4xf32>
}

// CHECK-LABEL: @one_row
// CHECK: sd.gather
func.func @one_row(%ids: tensor<2x5xi64>) -> tensor<2x5x4xf32> {
  %tokens = sd.weight "tokens" digest "" : tensor<9x4xf32>
  %positions = sd.weight "positions" digest "" : tensor<1x1x4xf32>
  %a = sd.gather %tokens, %ids {axis = 0 : i64} : (tensor<9x4xf32>, tensor<2x5xi64>) -> tensor<2x5x4xf32>
  %b = sd.binary add %a, %positions : (tensor<2x5x4xf32>, tensor<1x1x4xf32>) -> tensor<2x5x4xf32>
  return %b : tensor<2x5x4xf32>
}
