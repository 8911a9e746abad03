// RUN: %sdopt-opt %s --sdopt-open-resources --sdopt-lower-to-npu | FileCheck %s

!x = !quant.uniform<i16:f32, 1.0e-3>
!y = !quant.uniform<i16:f32, 2.0e-3>

// The host keeps the boundary; codes are packed [co, kh, kw, ci]; scales become multipliers and shifts.
// CHECK-LABEL: func.func @conv
// CHECK: %[[X:.*]] = sd.quantize %arg0
// CHECK: %[[PARAMS:.*]] = npu.channel_params %{{.*}} bias %{{.*}} {input_scale = 1.000000e-03 : f64, output_scale = 2.000000e-03 : f64} : {{.*}} -> tensor<4x2xi64>
// CHECK: %[[CODES:.*]] = sd.transpose %{{.*}} [0, 2, 3, 1] : (tensor<4x4x1x1xi8>) -> tensor<4x1x1x4xi8>
// CHECK: %[[Y:.*]] = npu.conv2d %[[X]], %[[CODES]], %[[PARAMS]]
// CHECK: %[[T:.*]] = npu.activation_table silu
// CHECK: %[[S:.*]] = npu.table %[[Y]], %[[T]]
// Half of the sum's scale is 1: multiplier 2^29 / 2^29.
// CHECK: %[[A:.*]] = npu.combine %[[S]], %[[Y]] {broadcast_rows = false, lhs_multiplier = 536870912 : i32, rhs_multiplier = 536870912 : i32, shift = 29 : i32}
// CHECK: sd.dequantize %[[A]]
func.func @conv(%arg0: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x4xf32> {sd.name = "out"}) {
  %w = sd.constant dense<0.5> : tensor<4x4x1x1xf32>
  %b = sd.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %x = sd.quantize %arg0 : tensor<1x8x6x4xf32> -> tensor<1x8x6x4x!x>
  %codes, %scales = sd.quantize_weight %w {axis = 0 : i64, bits = 8 : i64, range = 0 : i32} : tensor<4x4x1x1xf32> -> tensor<4x4x1x1xi8>, tensor<4xf32>
  %y = sd.conv2d %x, %codes scales %scales bias %b {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, groups = 1 : i64}
    : (tensor<1x8x6x4x!x>, tensor<4x4x1x1xi8>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x8x6x4x!y>
  %s = sd.silu %y : (tensor<1x8x6x4x!y>) -> tensor<1x8x6x4x!y>
  %a = sd.add %s, %y : (tensor<1x8x6x4x!y>, tensor<1x8x6x4x!y>) -> tensor<1x8x6x4x!y>
  %r = sd.dequantize %a : tensor<1x8x6x4x!y> -> tensor<1x8x6x4xf32>
  return %r : tensor<1x8x6x4xf32>
}

// Narrow codes are transposed and decoded last, so that the emitter sees them.
// CHECK-LABEL: func.func @narrow
// CHECK: %[[Q:.*]], %{{.*}}, %[[G:.*]] = sd.quantize_weight {{.*}}bits = 4
// CHECK: %[[CODES:.*]] = sd.transpose %[[Q]] [0, 2, 3, 1] : (tensor<4x4x2x1xi8>) -> tensor<4x2x1x4xi8>
// CHECK: %[[W:.*]] = sd.decode_weight %[[CODES]] groups %[[G]] {axis = 3 : i64, bits = 4 : i64, group_size = 16 : i64} : (tensor<4x2x1x4xi8>, tensor<4x2x1x1xi8>) -> tensor<4x2x1x4xi8>
// CHECK: npu.conv2d %{{.*}}, %[[W]], %
func.func @narrow(%arg0: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x7x6x4xf32> {sd.name = "out"}) {
  %w = sd.constant dense<0.5> : tensor<4x4x2x1xf32>
  %x = sd.quantize %arg0 : tensor<1x8x6x4xf32> -> tensor<1x8x6x4x!x>
  %codes, %scales, %groups = sd.quantize_weight %w {axis = 0 : i64, bits = 4 : i64, group_size = 16 : i64, range = 0 : i32}
    : tensor<4x4x2x1xf32> -> tensor<4x4x2x1xi8>, tensor<4xf32> groups tensor<4x2x1x1xi8>
  %d = sd.decode_weight %codes groups %groups {axis = 1 : i64, bits = 4 : i64, group_size = 16 : i64}
    : (tensor<4x4x2x1xi8>, tensor<4x2x1x1xi8>) -> tensor<4x4x2x1xi8>
  %y = sd.conv2d %x, %d scales %scales {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, groups = 1 : i64}
    : (tensor<1x8x6x4x!x>, tensor<4x4x2x1xi8>, tensor<4xf32>) -> tensor<1x7x6x4x!y>
  %r = sd.dequantize %y : tensor<1x7x6x4x!y> -> tensor<1x7x6x4xf32>
  return %r : tensor<1x7x6x4xf32>
}

// So are indices of palettes.
// CHECK-LABEL: func.func @shared
// CHECK: %[[Q:.*]], %{{.*}}, %[[P:.*]] = sd.share_weight
// CHECK: %[[CODES:.*]] = sd.transpose %[[Q]] [0, 2, 3, 1] : (tensor<4x4x2x1xi8>) -> tensor<4x2x1x4xi8>
// CHECK: %[[W:.*]] = sd.decode_weight %[[CODES]] palettes %[[P]] {axis = 3 : i64, bits = 2 : i64, palette_outputs = 3 : i64} : (tensor<4x2x1x4xi8>, tensor<2x4xi8>) -> tensor<4x2x1x4xi8>
// CHECK: npu.conv2d %{{.*}}, %[[W]], %
func.func @shared(%arg0: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x7x6x4xf32> {sd.name = "out"}) {
  %w = sd.constant dense<0.5> : tensor<4x4x2x1xf32>
  %x = sd.quantize %arg0 : tensor<1x8x6x4xf32> -> tensor<1x8x6x4x!x>
  %codes, %scales, %palettes = sd.share_weight %w {bits = 2 : i64, palette_outputs = 3 : i64}
    : tensor<4x4x2x1xf32> -> tensor<4x4x2x1xi8>, tensor<4xf32>, tensor<2x4xi8>
  %d = sd.decode_weight %codes palettes %palettes {axis = 1 : i64, bits = 2 : i64, palette_outputs = 3 : i64}
    : (tensor<4x4x2x1xi8>, tensor<2x4xi8>) -> tensor<4x4x2x1xi8>
  %y = sd.conv2d %x, %d scales %scales {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, groups = 1 : i64}
    : (tensor<1x8x6x4x!x>, tensor<4x4x2x1xi8>, tensor<4xf32>) -> tensor<1x7x6x4x!y>
  %r = sd.dequantize %y : tensor<1x7x6x4x!y> -> tensor<1x7x6x4xf32>
  return %r : tensor<1x7x6x4xf32>
}

// Tokens get a height of 1; a reshape costs nothing.
// CHECK-LABEL: func.func @tokens
// CHECK: %[[Q:.*]] = npu.view %{{.*}} : tensor<1x48x4x{{.*}}> -> tensor<1x1x48x4x
// CHECK: npu.attention %[[Q]], %[[Q]], %[[Q]] {causal = false, exponent_multiplier = {{.*}} heads = 2 : i64
func.func @tokens(%arg0: tensor<1x48x4xf32> {sd.name = "sample"}) -> (tensor<1x48x4xf32> {sd.name = "out"}) {
  %x = sd.quantize %arg0 : tensor<1x48x4xf32> -> tensor<1x48x4x!x>
  %y = sd.attention %x, %x, %x {heads = 2 : i64, scale = 0.5 : f64, causal = false} : (tensor<1x48x4x!x>, tensor<1x48x4x!x>, tensor<1x48x4x!x>) -> tensor<1x48x4x!x>
  %r = sd.dequantize %y : tensor<1x48x4x!x> -> tensor<1x48x4xf32>
  return %r : tensor<1x48x4xf32>
}

// Two token sequences one after the other are rows of channels side by side; a slice is a block; constants of the package
// come to the arena first.
// CHECK-LABEL: func.func @adaptive
// CHECK-DAG: %[[C:.*]] = npu.constant %{{.*}} -> tensor<1x1x3x4x
// CHECK-DAG: %[[A:.*]] = npu.combine %{{.*}}, %[[C]]
// CHECK-DAG: %[[L:.*]] = npu.view %[[A]] : tensor<1x1x3x4x{{.*}}> -> tensor<1x1x1x12x
// CHECK: npu.concat %[[L]], %{{.*}} -> tensor<1x1x1x20x
// CHECK: %[[J:.*]] = npu.view %{{.*}} -> tensor<1x1x5x4x
// x * (1 + scale): scale 2^-10 of both sides, so that unit = 2^10 * scale_multiplier.
// CHECK: %[[M:.*]] = npu.modulate %[[J]], %{{.*}} {offsets_multiplier = 0 : i64, scale_multiplier = 268435456 : i64, shift = 38 : i32, unit = 274877906944 : i64}
// CHECK: npu.slice %[[M]] {starts = array<i64: 0, 0, 3, 0>} : {{.*}} -> tensor<1x1x2x4x
!s = !quant.uniform<i16:f32, 9.765625e-4>
func.func @adaptive(%arg0: tensor<1x3x4xf32> {sd.name = "a"}, %arg1: tensor<1x2x4xf32> {sd.name = "b"}, %arg2: tensor<1x1x4xf32> {sd.name = "c"}) -> (tensor<1x2x4xf32> {sd.name = "out"}) {
  %p = sd.constant dense<0.5> : tensor<1x3x4xf32>
  %a = sd.quantize %arg0 : tensor<1x3x4xf32> -> tensor<1x3x4x!x>
  %b = sd.quantize %arg1 : tensor<1x2x4xf32> -> tensor<1x2x4x!x>
  %c = sd.quantize %arg2 : tensor<1x1x4xf32> -> tensor<1x1x4x!s>
  %q = sd.quantize %p : tensor<1x3x4xf32> -> tensor<1x3x4x!x>
  %d = sd.add %a, %q : (tensor<1x3x4x!x>, tensor<1x3x4x!x>) -> tensor<1x3x4x!x>
  %e = sd.concat %d, %b {axis = 1 : i64} : (tensor<1x3x4x!x>, tensor<1x2x4x!x>) -> tensor<1x5x4x!x>
  %f = sd.modulate %e by %c {offset = 1.0 : f64} : (tensor<1x5x4x!x>, tensor<1x1x4x!s>) -> tensor<1x5x4x!x>
  %g = sd.slice %f {starts = array<i64: 0, 3, 0>, ends = array<i64: 1, 5, 4>, steps = array<i64: 1, 1, 1>} : (tensor<1x5x4x!x>) -> tensor<1x2x4x!x>
  %r = sd.dequantize %g : tensor<1x2x4x!x> -> tensor<1x2x4xf32>
  return %r : tensor<1x2x4xf32>
}

// CHECK-LABEL: func.func @fractions
// CHECK: %[[T:.*]] = sd.quantize %arg0 : tensor<2xf32> -> tensor<2x!quant.uniform<i32:f32, 1.52587890625E-5>>
// CHECK: npu.time_embedding %{{.*}} {cos_first = true, fraction_bits = 16 : i32}
func.func @fractions(%arg0: tensor<2xf32> {sd.name = "timestep"}) -> (tensor<2x8xf32> {sd.name = "out"}) {
  %t = sd.quantize %arg0 : tensor<2xf32> -> tensor<2x!quant.uniform<i32:f32, 1.52587890625E-5>>
  %y = sd.time_embedding %t {cos_first = true, frequency_shift = 0.0 : f64, max_period = 10000.0 : f64} : (tensor<2x!quant.uniform<i32:f32, 1.52587890625E-5>>) -> tensor<2x8x!x>
  %r = sd.dequantize %y : tensor<2x8x!x> -> tensor<2x8xf32>
  return %r : tensor<2x8xf32>
}

// A part that counts half is brought to the common code with half the factor.
// CHECK-LABEL: func.func @counted_parts
// CHECK: npu.concat %{{.*}}, %{{.*}} {multipliers = array<i32: 536870912, 536870912>, shifts = array<i32: 30, 29>}
!h = !quant.uniform<i16:f32, 9.765625e-4>
func.func @counted_parts(%arg0: tensor<1x3x4xf32> {sd.name = "a"}, %arg1: tensor<1x3x2xf32> {sd.name = "b"}) -> (tensor<1x3x6xf32> {sd.name = "out"}) {
  %a = sd.quantize %arg0 : tensor<1x3x4xf32> -> tensor<1x3x4x!h>
  %b = sd.quantize %arg1 : tensor<1x3x2xf32> -> tensor<1x3x2x!h>
  %c = sd.concat %a, %b {axis = 2 : i64, exponents = array<i64: -1, 0>} : (tensor<1x3x4x!h>, tensor<1x3x2x!h>) -> tensor<1x3x6x!h>
  %r = sd.dequantize %c : tensor<1x3x6x!h> -> tensor<1x3x6xf32>
  return %r : tensor<1x3x6xf32>
}

// Shifts of F(4x4, 3x3) stay with the layer, whose sums are 576 times as large: 1e-3 / 576.
// CHECK-LABEL: func.func @taps
// CHECK: npu.channel_params %{{.*}} {input_scale = 1.7361111111111{{[0-9]*}}E-6 : f64, output_scale = 2.000000e-03 : f64}
// CHECK: npu.conv2d {{.*}}tap_shifts = #sd.tap_shifts<codes = [1, 0, {{.*}}0], weights = [0, {{.*}}0, 2]>
func.func @taps(%arg0: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x4xf32> {sd.name = "out"}) {
  %w = sd.constant dense<3> : tensor<1x4x3x3xi8>
  %v = sd.expand %w : tensor<1x4x3x3xi8> -> tensor<4x4x3x3xi8>
  %s = sd.constant dense<0.5> : tensor<4xf32>
  %x = sd.quantize %arg0 : tensor<1x8x6x4xf32> -> tensor<1x8x6x4x!x>
  %y = sd.conv2d %x, %v scales %s {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64,
      tap_shifts = #sd.tap_shifts<codes = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], weights = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]>}
    : (tensor<1x8x6x4x!x>, tensor<4x4x3x3xi8>, tensor<4xf32>) -> tensor<1x8x6x4x!y>
  %r = sd.dequantize %y : tensor<1x8x6x4x!y> -> tensor<1x8x6x4xf32>
  return %r : tensor<1x8x6x4xf32>
}
