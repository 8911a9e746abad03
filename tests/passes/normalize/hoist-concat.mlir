// RUN: %sdopt-opt %s --sdopt-hoist-concat | FileCheck %s

// Heads of two token sequences are those of one longer sequence.
// CHECK-LABEL: @heads
// CHECK: %[[C:.*]] = sd.concat %arg0, %arg1 {axis = 1 : i64} : (tensor<2x5x6xf32>, tensor<2x3x6xf32>) -> tensor<2x8x6xf32>
// CHECK: %[[R:.*]] = sd.reshape %[[C]] : tensor<2x8x6xf32> -> tensor<2x8x2x3xf32>
// CHECK: %[[T:.*]] = sd.transpose %[[R]] [0, 2, 1, 3]
// CHECK: return %[[T]]
func.func @heads(%a: tensor<2x5x6xf32>, %b: tensor<2x3x6xf32>) -> tensor<2x2x8x3xf32> {
  %c = sd.reshape %a : tensor<2x5x6xf32> -> tensor<2x5x2x3xf32>
  %d = sd.reshape %b : tensor<2x3x6xf32> -> tensor<2x3x2x3xf32>
  %e = sd.transpose %c [0, 2, 1, 3] : (tensor<2x5x2x3xf32>) -> tensor<2x2x5x3xf32>
  %f = sd.transpose %d [0, 2, 1, 3] : (tensor<2x3x2x3xf32>) -> tensor<2x2x3x3xf32>
  %y = sd.concat %e, %f {axis = -2 : i64} : (tensor<2x2x5x3xf32>, tensor<2x2x3x3xf32>) -> tensor<2x2x8x3xf32>
  return %y : tensor<2x2x8x3xf32>
}

// The reshape of one part moves what is joined; transposes differ; a part is read elsewhere.
// CHECK-LABEL: @others
// CHECK-COUNT-3: sd.concat
// CHECK: return
func.func @others(%a: tensor<4x6xf32>, %b: tensor<6x4xf32>) -> (tensor<4x2x6xf32>, tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x4xf32>) {
  %c = sd.reshape %a : tensor<4x6xf32> -> tensor<4x2x3xf32>
  %d = sd.reshape %b : tensor<6x4xf32> -> tensor<4x2x3xf32>
  %x = sd.concat %c, %d {axis = 2 : i64} : (tensor<4x2x3xf32>, tensor<4x2x3xf32>) -> tensor<4x2x6xf32>
  %e = sd.transpose %a [1, 0] : (tensor<4x6xf32>) -> tensor<6x4xf32>
  %f = sd.transpose %b [0, 1] : (tensor<6x4xf32>) -> tensor<6x4xf32>
  %y = sd.concat %e, %f {axis = 1 : i64} : (tensor<6x4xf32>, tensor<6x4xf32>) -> tensor<6x8xf32>
  %g = sd.transpose %a [1, 0] : (tensor<4x6xf32>) -> tensor<6x4xf32>
  %h = sd.transpose %a [1, 0] : (tensor<4x6xf32>) -> tensor<6x4xf32>
  %z = sd.concat %g, %h {axis = 1 : i64} : (tensor<6x4xf32>, tensor<6x4xf32>) -> tensor<6x8xf32>
  return %x, %y, %z, %g : tensor<4x2x6xf32>, tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x4xf32>
}
