// RUN: %sdopt-opt %s --sdopt-sort-ops | FileCheck %s

// Two orders of one graph become one; the deeper operand of a sum comes first; what nobody reads goes.
// CHECK-LABEL: @first
// CHECK-NEXT: %[[A:.*]] = sd.silu %arg0
// CHECK-NEXT: %[[B:.*]] = sd.gelu %[[A]]
// CHECK-NEXT: %[[C:.*]] = sd.sigmoid %arg0
// CHECK-NEXT: %[[S:.*]] = sd.add %[[B]], %[[C]]
// CHECK-NEXT: return %[[S]]
func.func @first(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c = sd.sigmoid %x : (tensor<4xf32>) -> tensor<4xf32>
  %a = sd.silu %x : (tensor<4xf32>) -> tensor<4xf32>
  %b = sd.gelu %a : (tensor<4xf32>) -> tensor<4xf32>
  %unused = sd.gelu %b : (tensor<4xf32>) -> tensor<4xf32>
  %s = sd.add %c, %b : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %s : tensor<4xf32>
}

// CHECK-LABEL: @second
// CHECK-NEXT: %[[A:.*]] = sd.silu %arg0
// CHECK-NEXT: %[[B:.*]] = sd.gelu %[[A]]
// CHECK-NEXT: %[[C:.*]] = sd.sigmoid %arg0
// CHECK-NEXT: %[[S:.*]] = sd.add %[[B]], %[[C]]
// CHECK-NEXT: return %[[S]]
func.func @second(%x: tensor<4xf32>) -> tensor<4xf32> {
  %a = sd.silu %x : (tensor<4xf32>) -> tensor<4xf32>
  %b = sd.gelu %a : (tensor<4xf32>) -> tensor<4xf32>
  %c = sd.sigmoid %x : (tensor<4xf32>) -> tensor<4xf32>
  %s = sd.add %b, %c : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %s : tensor<4xf32>
}

// A row that broadcasts stays on the right.
// CHECK-LABEL: @row
// CHECK: sd.add %arg0, %
func.func @row(%x: tensor<1x5x4xf32>, %t: tensor<1x1x4xf32>) -> tensor<1x5x4xf32> {
  %a = sd.silu %t : (tensor<1x1x4xf32>) -> tensor<1x1x4xf32>
  %s = sd.add %x, %a : (tensor<1x5x4xf32>, tensor<1x1x4xf32>) -> tensor<1x5x4xf32>
  return %s : tensor<1x5x4xf32>
}
