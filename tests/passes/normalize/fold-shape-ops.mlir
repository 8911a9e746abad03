// RUN: %sdopt-opt %s --sdopt-fold-shape-ops | FileCheck %s

// Keys of the dynamo exporter: heads merged, turned, split again.
// CHECK-LABEL: @keys
// CHECK-NEXT: %[[T:.*]] = sd.transpose %arg0 [0, 2, 3, 1]
// CHECK-NEXT: return %[[T]]
func.func @keys(%x: tensor<2x5x4x3xf32>) -> tensor<2x4x3x5xf32> {
  %a = sd.transpose %x [0, 2, 1, 3] : (tensor<2x5x4x3xf32>) -> tensor<2x4x5x3xf32>
  %b = sd.reshape %a : tensor<2x4x5x3xf32> -> tensor<8x5x3xf32>
  %c = sd.transpose %b [0, 2, 1] : (tensor<8x5x3xf32>) -> tensor<8x3x5xf32>
  %d = sd.reshape %c : tensor<8x3x5xf32> -> tensor<2x4x3x5xf32>
  return %d : tensor<2x4x3x5xf32>
}

// CHECK-LABEL: @round_trip
// CHECK-NEXT: return %arg0
func.func @round_trip(%x: tensor<1x4x8x6xf32>) -> tensor<1x4x8x6xf32> {
  %a = sd.transpose %x [0, 2, 3, 1] : (tensor<1x4x8x6xf32>) -> tensor<1x8x6x4xf32>
  %b = sd.reshape %a : tensor<1x8x6x4xf32> -> tensor<1x48x4xf32>
  %c = sd.transpose %b [0, 2, 1] : (tensor<1x48x4xf32>) -> tensor<1x4x48xf32>
  %d = sd.reshape %c : tensor<1x4x48xf32> -> tensor<1x4x8x6xf32>
  return %d : tensor<1x4x8x6xf32>
}

// A transpose that moves only dimensions of one.
// CHECK-LABEL: @single_head
// CHECK-NEXT: sd.reshape %arg0 : tensor<2x48x1x4xf32> -> tensor<2x1x48x4xf32>
func.func @single_head(%x: tensor<2x48x1x4xf32>) -> tensor<2x1x48x4xf32> {
  %a = sd.transpose %x [0, 2, 1, 3] : (tensor<2x48x1x4xf32>) -> tensor<2x1x48x4xf32>
  return %a : tensor<2x1x48x4xf32>
}

// Merging dimensions that a transpose separated is neither.
// CHECK-LABEL: @kept
// CHECK-NEXT: sd.transpose
// CHECK-NEXT: sd.reshape
func.func @kept(%x: tensor<2x3x5xf32>) -> tensor<2x15xf32> {
  %a = sd.transpose %x [0, 2, 1] : (tensor<2x3x5xf32>) -> tensor<2x5x3xf32>
  %b = sd.reshape %a : tensor<2x5x3xf32> -> tensor<2x15xf32>
  return %b : tensor<2x15xf32>
}
