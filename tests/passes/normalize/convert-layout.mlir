// RUN: %sdopt-opt %s --sdopt-convert-layout --sdopt-fold-shape-ops --cse | FileCheck %s

// Transposes stay at the input and the output only.
// CHECK-LABEL: @picture
// CHECK: %[[X:.*]] = sd.transpose %arg0 [0, 2, 3, 1] : (tensor<1x4x8x6xf32>) -> tensor<1x8x6x4xf32>
// CHECK: %[[C:.*]] = sd.conv2d %[[X]], {{.*}}layout = 1 : i32
// CHECK: %[[N:.*]] = sd.group_norm %[[C]], {{.*}}layout = 1 : i32
// CHECK: %[[S:.*]] = sd.silu %[[N]]
// CHECK: %[[A:.*]] = sd.add %[[S]], %[[C]]
// CHECK: %[[J:.*]] = sd.concat %[[A]], %[[X]] {axis = 3 : i64}
// CHECK: %[[U:.*]] = sd.upsample %[[J]] {factors = array<i64: 2, 2>, layout = 1 : i32}
// CHECK: %[[Y:.*]] = sd.transpose %[[U]] [0, 3, 1, 2] : (tensor<1x16x12x8xf32>) -> tensor<1x8x16x12xf32>
// CHECK-NEXT: return %[[Y]]
func.func @picture(%x: tensor<1x4x8x6xf32>) -> tensor<1x8x16x12xf32> {
  %w = sd.weight "w" digest "" : tensor<4x4x3x3xf32>
  %g = sd.weight "g" digest "" : tensor<4xf32>
  %b = sd.weight "b" digest "" : tensor<4xf32>
  %c = sd.conv2d %x, %w {layout = 0 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>,
    padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64} : (tensor<1x4x8x6xf32>, tensor<4x4x3x3xf32>) -> tensor<1x4x8x6xf32>
  %n = sd.group_norm %c, %g, %b {groups = 2 : i64, epsilon = 1.0e-5 : f64, layout = 0 : i32}
    : (tensor<1x4x8x6xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x4x8x6xf32>
  %s = sd.silu %n : (tensor<1x4x8x6xf32>) -> tensor<1x4x8x6xf32>
  %a = sd.add %s, %c : (tensor<1x4x8x6xf32>, tensor<1x4x8x6xf32>) -> tensor<1x4x8x6xf32>
  %j = sd.concat %a, %x {axis = 1 : i64} : (tensor<1x4x8x6xf32>, tensor<1x4x8x6xf32>) -> tensor<1x8x8x6xf32>
  %u = sd.upsample %j {factors = array<i64: 2, 2>, layout = 0 : i32} : (tensor<1x8x8x6xf32>) -> tensor<1x8x16x12xf32>
  return %u : tensor<1x8x16x12xf32>
}

// An upsampled picture that is cut to an odd size stays channels last.
// CHECK-LABEL: @odd
// CHECK: %[[U:.*]] = sd.upsample {{.*}}layout = 1 : i32
// CHECK: %[[S:.*]] = sd.slice %[[U]] {ends = array<i64: 1, 15, 11, 4>, starts = array<i64: 0, 0, 1, 0>
// CHECK: sd.transpose %[[S]] [0, 3, 1, 2] : (tensor<1x15x10x4xf32>) -> tensor<1x4x15x10xf32>
func.func @odd(%x: tensor<1x4x8x6xf32>) -> tensor<1x4x15x10xf32> {
  %u = sd.upsample %x {factors = array<i64: 2, 2>, layout = 0 : i32} : (tensor<1x4x8x6xf32>) -> tensor<1x4x16x12xf32>
  %s = sd.slice %u {starts = array<i64: 0, 0, 0, 1>, ends = array<i64: 1, 4, 15, 11>, steps = array<i64: 1, 1, 1, 1>}
    : (tensor<1x4x16x12xf32>) -> tensor<1x4x15x10xf32>
  return %s : tensor<1x4x15x10xf32>
}

// Queries, keys and values that one convolution makes, pixels in one dimension: they stay channels last.
// CHECK-LABEL: @slices
// CHECK: %[[C:.*]] = sd.conv2d {{.*}}layout = 1 : i32
// CHECK: %[[R:.*]] = sd.reshape %[[C]] : tensor<1x8x6x12xf32> -> tensor<1x48x12xf32>
// CHECK: %[[S:.*]] = sd.slice %[[R]] {ends = array<i64: 1, 48, 8>, starts = array<i64: 0, 0, 4>
// CHECK-NEXT: return %[[S]] : tensor<1x48x4xf32>
func.func @slices(%x: tensor<1x4x8x6xf32>, %w: tensor<12x4x1x1xf32>) -> tensor<1x48x4xf32> {
  %c = sd.conv2d %x, %w {layout = 0 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>,
                         padding = array<i64: 0, 0, 0, 0>, groups = 1 : i64}
    : (tensor<1x4x8x6xf32>, tensor<12x4x1x1xf32>) -> tensor<1x12x8x6xf32>
  %r = sd.reshape %c : tensor<1x12x8x6xf32> -> tensor<1x12x48xf32>
  %s = sd.slice %r {starts = array<i64: 0, 4, 0>, ends = array<i64: 1, 8, 48>, steps = array<i64: 1, 1, 1>}
    : (tensor<1x12x48xf32>) -> tensor<1x4x48xf32>
  %t = sd.transpose %s [0, 2, 1] : (tensor<1x4x48xf32>) -> tensor<1x48x4xf32>
  return %t : tensor<1x48x4xf32>
}

// To tokens and back, as around attention in the autoencoder.
// CHECK-LABEL: @tokens
// CHECK: %[[C:.*]] = sd.conv2d
// CHECK: %[[T:.*]] = sd.reshape %[[C]] : tensor<1x8x6x4xf32> -> tensor<1x48x4xf32>
// CHECK: %[[N:.*]] = sd.group_norm %[[T]], {{.*}}layout = 1 : i32
// CHECK: %[[L:.*]] = sd.layer_norm %[[N]]
// CHECK: %[[P:.*]] = sd.reshape %[[L]] : tensor<1x48x4xf32> -> tensor<1x8x6x4xf32>
// CHECK: %[[A:.*]] = sd.add %[[P]], %[[C]] : (tensor<1x8x6x4xf32>
// CHECK: sd.transpose %[[A]] [0, 3, 1, 2]
func.func @tokens(%x: tensor<1x4x8x6xf32>) -> tensor<1x4x8x6xf32> {
  %w = sd.weight "w" digest "" : tensor<4x4x1x1xf32>
  %g = sd.weight "g" digest "" : tensor<4xf32>
  %b = sd.weight "b" digest "" : tensor<4xf32>
  %c = sd.conv2d %x, %w {layout = 0 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>,
    padding = array<i64: 0, 0, 0, 0>, groups = 1 : i64} : (tensor<1x4x8x6xf32>, tensor<4x4x1x1xf32>) -> tensor<1x4x8x6xf32>
  %r = sd.reshape %c : tensor<1x4x8x6xf32> -> tensor<1x4x48xf32>
  %n = sd.group_norm %r, %g, %b {groups = 2 : i64, epsilon = 1.0e-5 : f64, layout = 0 : i32}
    : (tensor<1x4x48xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x4x48xf32>
  %t = sd.transpose %n [0, 2, 1] : (tensor<1x4x48xf32>) -> tensor<1x48x4xf32>
  %l = sd.layer_norm %t, %g, %b {epsilon = 1.0e-5 : f64} : (tensor<1x48x4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x48x4xf32>
  %u = sd.transpose %l [0, 2, 1] : (tensor<1x48x4xf32>) -> tensor<1x4x48xf32>
  %p = sd.reshape %u : tensor<1x4x48xf32> -> tensor<1x4x8x6xf32>
  %a = sd.add %p, %c : (tensor<1x4x8x6xf32>, tensor<1x4x8x6xf32>) -> tensor<1x4x8x6xf32>
  return %a : tensor<1x4x8x6xf32>
}

// Tokens of a picture: the transpose to them leads back, sums of tokens stay as they are.
// CHECK-LABEL: @tokens_of_a_picture
// CHECK: %[[Y:.*]] = sd.conv2d %{{.*}} layout = 1
// CHECK: %[[T:.*]] = sd.reshape %[[Y]] : tensor<1x6x4x8xf32> -> tensor<1x24x8xf32>
// CHECK: %[[S:.*]] = sd.add %[[T]], %arg1
// CHECK-NEXT: return %[[S]]
func.func @tokens_of_a_picture(%x: tensor<1x4x6x4xf32>, %p: tensor<1x24x8xf32>) -> tensor<1x24x8xf32> {
  %w = sd.constant dense<0.5> : tensor<8x4x1x1xf32>
  %y = sd.conv2d %x, %w {layout = 0 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, groups = 1 : i64}
    : (tensor<1x4x6x4xf32>, tensor<8x4x1x1xf32>) -> tensor<1x8x6x4xf32>
  %r = sd.reshape %y : tensor<1x8x6x4xf32> -> tensor<1x8x24xf32>
  %t = sd.transpose %r [0, 2, 1] : (tensor<1x8x24xf32>) -> tensor<1x24x8xf32>
  %s = sd.add %t, %p : (tensor<1x24x8xf32>, tensor<1x24x8xf32>) -> tensor<1x24x8xf32>
  return %s : tensor<1x24x8xf32>
}
