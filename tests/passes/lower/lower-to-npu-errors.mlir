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

// -----

!x = !quant.uniform<i16:f32, 1.0>
#shifts = #sd.tap_shifts<codes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], weights = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]>
func.func @strided_taps(%arg0: tensor<1x5x5x1xf32> {sd.name = "x"}) -> tensor<1x3x3x1xf32> {
  %x = sd.quantize %arg0 : tensor<1x5x5x1xf32> -> tensor<1x5x5x1x!x>
  %w = sd.constant dense<1> : tensor<1x1x3x3xi8>
  %s = sd.constant dense<1.0> : tensor<1xf32>
  // expected-error@+1 {{'sd.conv2d' op has a window of 3x3 with stride 2x2, dilation 1x1 and 1 group; tap shifts need 3x3 with 1x1, 1x1 and 1 group}}
  %y = sd.conv2d %x, %w scales %s {layout = 1 : i32, strides = array<i64: 2, 2>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64, tap_shifts = #shifts}
    : (tensor<1x5x5x1x!x>, tensor<1x1x3x3xi8>, tensor<1xf32>) -> tensor<1x3x3x1x!x>
  %r = sd.dequantize %y : tensor<1x3x3x1x!x> -> tensor<1x3x3x1xf32>
  return %r : tensor<1x3x3x1xf32>
}

// -----

#shifts = #sd.tap_shifts<codes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], weights = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]>
func.func @float_taps(%x: tensor<1x5x5x1xf32> {sd.name = "x"}) -> tensor<1x5x5x1xf32> {
  %w = sd.constant dense<1> : tensor<1x1x3x3xi8>
  %s = sd.constant dense<1.0> : tensor<1xf32>
  // expected-error@+1 {{'sd.conv2d' op has tap shifts but is not quantized}}
  %y = sd.conv2d %x, %w scales %s {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64, tap_shifts = #shifts}
    : (tensor<1x5x5x1xf32>, tensor<1x1x3x3xi8>, tensor<1xf32>) -> tensor<1x5x5x1xf32>
  return %y : tensor<1x5x5x1xf32>
}

// -----

!x = !quant.uniform<i16:f32, 1.0>
#shifts = #sd.tap_shifts<codes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], weights = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]>
func.func @lowered_taps(%x: tensor<1x5x5x1x!x>, %w: tensor<1x1x3x1xi8>, %p: tensor<1x2xi64>) -> tensor<1x5x5x1x!x> {
  // expected-error@+1 {{'npu.conv2d' op has a window of 1x3 with stride 1x1, dilation 1x1 and 1 group; tap shifts need 3x3 with 1x1, 1x1 and 1 group}}
  %y = npu.conv2d %x, %w, %p {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 0, 1, 0, 1>, tap_shifts = #shifts}
    : (tensor<1x5x5x1x!x>, tensor<1x1x3x1xi8>, tensor<1x2xi64>) -> tensor<1x5x5x1x!x>
  return %y : tensor<1x5x5x1x!x>
}

// -----

// expected-error@+1 {{tap shifts of weights are 2 numbers but must be 36}}
#few = #sd.tap_shifts<codes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], weights = [1, 2]>

// -----

// expected-error@+1 {{tap shift 16 of codes is outside [0, 15]}}
#large = #sd.tap_shifts<codes = [16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], weights = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]>

// -----

// expected-error@+1 {{expected 'codes'}}
#order = #sd.tap_shifts<weights = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], codes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]>

// -----

!x = !quant.uniform<i16:f32, 1.0>
#shifts = #sd.tap_shifts<codes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], weights = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]>
func.func @wide_taps(%arg0: tensor<1x5x5x1024xf32> {sd.name = "x"}) -> tensor<1x5x5x1xf32> {
  %x = sd.quantize %arg0 : tensor<1x5x5x1024xf32> -> tensor<1x5x5x1024x!x>
  %w = sd.constant dense<127> : tensor<1x1x3x3xi8>
  %v = sd.expand %w : tensor<1x1x3x3xi8> -> tensor<1x1024x3x3xi8>
  %s = sd.constant dense<1.0> : tensor<1xf32>
  %b = sd.constant dense<1.0e12> : tensor<1xf32>
  // expected-error@+1 {{'sd.conv2d' op accumulator of output channel 0 can leave 48 bits; leave out tap shifts}}
  %y = sd.conv2d %x, %v scales %s bias %b {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64, tap_shifts = #shifts}
    : (tensor<1x5x5x1024x!x>, tensor<1x1024x3x3xi8>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x5x5x1x!x>
  %r = sd.dequantize %y : tensor<1x5x5x1x!x> -> tensor<1x5x5x1xf32>
  return %r : tensor<1x5x5x1xf32>
}

// -----

!x = !quant.uniform<i16:f32, 1.0>
func.func @undecided(%arg0: tensor<1x5x5x1xf32> {sd.name = "x"}) -> tensor<1x5x5x1xf32> {
  %x = sd.quantize %arg0 : tensor<1x5x5x1xf32> -> tensor<1x5x5x1x!x>
  %w = sd.constant dense<127> : tensor<1x1x3x3xi8>
  %s = sd.constant dense<1.0> : tensor<1xf32>
  // expected-error@+1 {{'sd.conv2d' op has 'sdopt.winograd_min_sqnr', of which nothing was made; run sdopt-quantize-winograd}}
  %y = sd.conv2d %x, %w scales %s {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64, sdopt.winograd_min_sqnr = 40.0 : f64}
    : (tensor<1x5x5x1x!x>, tensor<1x1x3x3xi8>, tensor<1xf32>) -> tensor<1x5x5x1x!x>
  %r = sd.dequantize %y : tensor<1x5x5x1x!x> -> tensor<1x5x5x1xf32>
  return %r : tensor<1x5x5x1xf32>
}
