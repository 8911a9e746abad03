// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-quantize-winograd)" --split-input-file --verify-diagnostics

!x = !quant.uniform<i16:f32, 1.0>
func.func @number(%arg0: tensor<1x5x5x1xf32> {sd.name = "x"}) -> tensor<1x5x5x1xf32> {
  %x = sd.quantize %arg0 : tensor<1x5x5x1xf32> -> tensor<1x5x5x1x!x>
  %w = sd.constant dense<127> : tensor<1x1x3x3xi8>
  %s = sd.constant dense<1.0> : tensor<1xf32>
  // expected-error@+1 {{'sd.conv2d' op has 'sdopt.winograd_min_sqnr', which must be a number of dB above 0}}
  %y = sd.conv2d %x, %w scales %s {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64, sdopt.winograd_min_sqnr = 40 : i64}
    : (tensor<1x5x5x1x!x>, tensor<1x1x3x3xi8>, tensor<1xf32>) -> tensor<1x5x5x1x!x>
  %r = sd.dequantize %y : tensor<1x5x5x1x!x> -> tensor<1x5x5x1xf32>
  return %r : tensor<1x5x5x1xf32>
}

// -----

!x = !quant.uniform<i16:f32, 1.0>
func.func @f(%arg0: tensor<1x5x5x1xf32> {sd.name = "x"}) -> tensor<1x5x5x1xf32> attributes {sdopt.first_timestep = 1.0 : f64} {
  %x = sd.quantize %arg0 : tensor<1x5x5x1xf32> -> tensor<1x5x5x1x!x>
  %w = sd.constant dense<127> : tensor<1x1x3x3xi8>
  %s = sd.constant dense<1.0> : tensor<1xf32>
  %y = sd.conv2d %x, %w scales %s {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64, sdopt.winograd_min_sqnr = 40.0 : f64}
    : (tensor<1x5x5x1x!x>, tensor<1x1x3x3xi8>, tensor<1xf32>) -> tensor<1x5x5x1x!x>
  %r = sd.dequantize %y : tensor<1x5x5x1x!x> -> tensor<1x5x5x1xf32>
  return %r : tensor<1x5x5x1xf32>
}
func.func @f.bucket1(%arg0: tensor<1x5x5x1xf32> {sd.name = "x"}) -> tensor<1x5x5x1xf32> attributes {sdopt.first_timestep = 401.0 : f64} {
  %x = sd.quantize %arg0 : tensor<1x5x5x1xf32> -> tensor<1x5x5x1x!x>
  %w = sd.constant dense<127> : tensor<1x1x1x1xi8>
  %s = sd.constant dense<1.0> : tensor<1xf32>
  // expected-error@+1 {{'sd.conv2d' op is another convolution than that with 'sdopt.winograd_min_sqnr' at its place in the first bucket of timesteps}}
  %y = sd.conv2d %x, %w scales %s {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, groups = 1 : i64, sdopt.winograd_min_sqnr = 40.0 : f64}
    : (tensor<1x5x5x1x!x>, tensor<1x1x1x1xi8>, tensor<1xf32>) -> tensor<1x5x5x1x!x>
  %r = sd.dequantize %y : tensor<1x5x5x1x!x> -> tensor<1x5x5x1xf32>
  return %r : tensor<1x5x5x1xf32>
}

// -----

// Nothing to do.
func.func private @elsewhere(tensor<1xf32>)
