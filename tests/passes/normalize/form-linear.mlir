// RUN: %sdopt-opt %s --sdopt-form-linear --remarks-filter-missed=normalize --remark-format=emitRemark 2>&1 | FileCheck %s

// CHECK-DAG: the constant is not a matrix
// CHECK-DAG: the constant is on the left
// CHECK-DAG: the constant added to the product is not one number for each column

// CHECK-LABEL: @with_bias
// CHECK: %[[W:.*]] = sd.weight "w"
// CHECK: %[[B:.*]] = sd.weight "b"
// CHECK: %[[T:.*]] = sd.transpose %[[W]] [1, 0] : (tensor<4x6xf32>) -> tensor<6x4xf32>
// CHECK: %[[Y:.*]] = sd.linear %arg0, %[[T]] bias %[[B]]
// CHECK-NEXT: return %[[Y]]
func.func @with_bias(%x: tensor<2x5x4xf32>) -> tensor<2x5x6xf32> {
  %w = sd.weight "w" digest "" : tensor<4x6xf32>
  %b = sd.weight "b" digest "" : tensor<6xf32>
  %m = sd.matmul %x, %w : (tensor<2x5x4xf32>, tensor<4x6xf32>) -> tensor<2x5x6xf32>
  %y = sd.binary add %b, %m : (tensor<6xf32>, tensor<2x5x6xf32>) -> tensor<2x5x6xf32>
  return %y : tensor<2x5x6xf32>
}

// CHECK-LABEL: @bias_on_the_right
// CHECK: %[[Y:.*]] = sd.linear {{.*}} bias
// CHECK-NEXT: return %[[Y]]
func.func @bias_on_the_right(%x: tensor<5x4xf32>) -> tensor<5x6xf32> {
  %w = sd.weight "w" digest "" : tensor<4x6xf32>
  %b = sd.weight "b" digest "" : tensor<1x6xf32>
  %m = sd.matmul %x, %w : (tensor<5x4xf32>, tensor<4x6xf32>) -> tensor<5x6xf32>
  %y = sd.binary add %m, %b : (tensor<5x6xf32>, tensor<1x6xf32>) -> tensor<5x6xf32>
  return %y : tensor<5x6xf32>
}

// CHECK-LABEL: @near_misses
// CHECK: sd.matmul
// CHECK: sd.matmul
// CHECK: sd.linear
// CHECK: sd.binary add
func.func @near_misses(%x: tensor<2x5x4xf32>, %y: tensor<4x5xf32>) -> (tensor<2x5x6xf32>, tensor<6x5xf32>, tensor<4x6xf32>) {
  %w3 = sd.weight "w3" digest "" : tensor<2x4x6xf32>
  %w2 = sd.weight "w2" digest "" : tensor<6x4xf32>
  %w1 = sd.weight "w1" digest "" : tensor<5x6xf32>
  %b = sd.weight "b" digest "" : tensor<4x1xf32>
  %a = sd.matmul %x, %w3 : (tensor<2x5x4xf32>, tensor<2x4x6xf32>) -> tensor<2x5x6xf32>
  %c = sd.matmul %w2, %y : (tensor<6x4xf32>, tensor<4x5xf32>) -> tensor<6x5xf32>
  %d = sd.matmul %y, %w1 : (tensor<4x5xf32>, tensor<5x6xf32>) -> tensor<4x6xf32>
  %e = sd.binary add %d, %b : (tensor<4x6xf32>, tensor<4x1xf32>) -> tensor<4x6xf32>
  return %a, %c, %e : tensor<2x5x6xf32>, tensor<6x5xf32>, tensor<4x6xf32>
}
