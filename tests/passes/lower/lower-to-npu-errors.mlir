// RUN: %sdopt-opt %s --split-input-file --verify-diagnostics --sdopt-open-resources --sdopt-lower-to-npu

func.func @float(%x: tensor<1x4xf32> {sd.name = "x"}) -> tensor<1x4xf32> {
  // expected-error@+1 {{'sd.softmax' op has no npu form; quantize first}}
  %y = sd.softmax %x {axis = 1 : i64} : (tensor<1x4xf32>) -> tensor<1x4xf32>
  return %y : tensor<1x4xf32>
}

// -----

!x = !quant.uniform<i16:f32, 1.0e-3>
func.func @every_other(%arg0: tensor<1x4x4xf32> {sd.name = "x"}) -> tensor<1x2x4xf32> {
  %x = sd.quantize %arg0 : tensor<1x4x4xf32> -> tensor<1x4x4x!x>
  // expected-error@+1 {{'sd.slice' op takes every other element but the NPU moves blocks}}
  %y = sd.slice %x {starts = array<i64: 0, 0, 0>, ends = array<i64: 1, 4, 4>, steps = array<i64: 1, 2, 1>} : (tensor<1x4x4x!x>) -> tensor<1x2x4x!x>
  %r = sd.dequantize %y : tensor<1x2x4x!x> -> tensor<1x2x4xf32>
  return %r : tensor<1x2x4xf32>
}

// -----

!a = !quant.uniform<i8:f32, 1.0>
!y = !quant.uniform<i16:f32, 1.0>
func.func @width(%arg0: tensor<1x4xf32> {sd.name = "x"}) -> tensor<1x1xf32> {
  %w = sd.constant dense<1.0e-6> : tensor<1x4xf32>
  %b = sd.constant dense<1000.0> : tensor<1xf32>
  %x = sd.quantize %arg0 : tensor<1x4xf32> -> tensor<1x4x!a>
  %codes, %scales = sd.quantize_weight %w {axis = 0 : i64, bits = 8 : i64, range = 0 : i32} : tensor<1x4xf32> -> tensor<1x4xi8>, tensor<1xf32>
  // expected-error@+1 {{'sd.linear' op accumulator of output channel 0 can leave 32 bits; keep this layer's input at 16 bits}}
  %y = sd.linear %x, %codes scales %scales bias %b : (tensor<1x4x!a>, tensor<1x4xi8>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x1x!y>
  %r = sd.dequantize %y : tensor<1x1x!y> -> tensor<1x1xf32>
  return %r : tensor<1x1xf32>
}

// -----

!x = !quant.uniform<i16:f32, 1.0>
func.func @coarse_scores(%arg0: tensor<1x2x4xf32> {sd.name = "x"}) -> tensor<1x2x4xf32> {
  %x = sd.quantize %arg0 : tensor<1x2x4xf32> -> tensor<1x2x4x!x>
  // expected-error@+1 {{'sd.attention' op scores are too coarse}}
  %y = sd.attention %x, %x, %x {heads = 1 : i64, scale = 1.0 : f64, causal = false} : (tensor<1x2x4x!x>, tensor<1x2x4x!x>, tensor<1x2x4x!x>) -> tensor<1x2x4x!x>
  %r = sd.dequantize %y : tensor<1x2x4x!x> -> tensor<1x2x4xf32>
  return %r : tensor<1x2x4xf32>
}

// -----

!x = !quant.uniform<i16:f32, 1.0>
func.func @five_dimensions(%arg0: tensor<1x2x3x2x2xf32> {sd.name = "x"}) -> tensor<1x2x3x2x2xf32> {
  %x = sd.quantize %arg0 : tensor<1x2x3x2x2xf32> -> tensor<1x2x3x2x2x!x>
  // expected-error@+1 {{'sd.silu' op has a value of 5 dimensions but the NPU takes at most 4}}
  %y = sd.silu %x : (tensor<1x2x3x2x2x!x>) -> tensor<1x2x3x2x2x!x>
  %r = sd.dequantize %y : tensor<1x2x3x2x2x!x> -> tensor<1x2x3x2x2xf32>
  return %r : tensor<1x2x3x2x2xf32>
}

// -----

!x = !quant.uniform<i16:f32, 1.0e-9>
func.func @fine_codes(%arg0: tensor<1x4xf32> {sd.name = "x"}) -> tensor<1x4xf32> {
  %g = sd.constant dense<1.0> : tensor<4xf32>
  %x = sd.quantize %arg0 : tensor<1x4xf32> -> tensor<1x4x!x>
  // expected-error@+1 {{'sd.layer_norm' op reads codes of scale 1.000000e-09 but its epsilon of 1.000000e-05 needs at least 9.650506e-08}}
  %y = sd.layer_norm %x, %g {epsilon = 1.0e-5 : f64} : (tensor<1x4x!x>, tensor<4xf32>) -> tensor<1x4x!x>
  %r = sd.dequantize %y : tensor<1x4x!x> -> tensor<1x4xf32>
  return %r : tensor<1x4xf32>
}
