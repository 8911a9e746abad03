// RUN: %sdopt-opt %s --split-input-file --verify-diagnostics --sdopt-quantize
// RUN: %sdopt-opt %s --split-input-file --verify-diagnostics --pass-pipeline="builtin.module(sdopt-open-resources{recipe=w8a16},func.func(sdopt-quantize))"

// Without recipe and statistics nothing can be quantized.
// expected-error@+1 {{'func.func' op needs a recipe and statistics to be quantized}}
func.func @no_resources(%x: tensor<1x4xf32> {sd.name = "x"}) -> tensor<1x4xf32> {
  %y = sd.silu %x : (tensor<1x4xf32>) -> tensor<1x4xf32>
  return %y : tensor<1x4xf32>
}

// -----
func.func @bits(%w: tensor<4x4xf32>) {
  // expected-error@+1 {{bits are 9 but must be 2 to 8}}
  %codes, %scales = sd.quantize_weight %w {axis = 0 : i64, bits = 9 : i64, range = 0 : i32} : tensor<4x4xf32> -> tensor<4x4xi8>, tensor<4xf32>
  return
}

// -----
func.func @groups_of_eight_bits(%w: tensor<4x4xf32>) {
  // expected-error@+1 {{codes of 8 bits have neither groups nor zero points}}
  %codes, %scales = sd.quantize_weight %w {axis = 0 : i64, bits = 8 : i64, group_size = 64 : i64, range = 0 : i32} : tensor<4x4xf32> -> tensor<4x4xi8>, tensor<4xf32>
  return
}

// -----
func.func @group_size(%w: tensor<4x4xf32>) {
  // expected-error@+1 {{group_size is 8 but must be 0 or 16 to 256}}
  %codes, %scales = sd.quantize_weight %w {axis = 0 : i64, bits = 4 : i64, group_size = 8 : i64, range = 0 : i32} : tensor<4x4xf32> -> tensor<4x4xi8>, tensor<4xf32>
  return
}

// -----
func.func @missing_groups(%w: tensor<4x4xf32>) {
  // expected-error@+1 {{gives group scales if there are groups or zero points}}
  %codes, %scales = sd.quantize_weight %w {axis = 0 : i64, bits = 4 : i64, group_size = 16 : i64, range = 0 : i32} : tensor<4x4xf32> -> tensor<4x4xi8>, tensor<4xf32>
  return
}

// -----
func.func @shape_of_groups(%w: tensor<4x40x3x3xf32>) {
  // expected-error@+1 {{group scales are 'tensor<4x1x1x3xi8>' but must be 'tensor<4x3x3x3xi8>'}}
  %codes, %scales, %groups = sd.quantize_weight %w {axis = 0 : i64, bits = 4 : i64, group_size = 16 : i64, range = 0 : i32} : tensor<4x40x3x3xf32> -> tensor<4x40x3x3xi8>, tensor<4xf32> groups tensor<4x1x1x3xi8>
  return
}

// -----
func.func @decode_axis(%c: tensor<4x40x3x3xi8>) {
  // expected-error@+1 {{needs codes of 2 or 4 dimensions with the input channels in dimension 1 or the last, not 2 of 4}}
  %w = sd.decode_weight %c {axis = 2 : i64, bits = 4 : i64} : (tensor<4x40x3x3xi8>) -> tensor<4x40x3x3xi8>
  return
}

// -----
func.func @decode_zeros(%c: tensor<4x40xi8>, %s: tensor<4x1x1x3xi8>, %z: tensor<4x1x1x2xi8>) {
  // expected-error@+1 {{zero points are 'tensor<4x1x1x2xi8>' but must be 'tensor<4x1x1x3xi8>'}}
  %w = sd.decode_weight %c groups %s zeros %z {axis = 1 : i64, bits = 4 : i64, group_size = 16 : i64} : (tensor<4x40xi8>, tensor<4x1x1x3xi8>, tensor<4x1x1x2xi8>) -> tensor<4x40xi8>
  return
}

// -----
func.func @decode_without_scales(%c: tensor<4x40xi8>) {
  // expected-error@+1 {{takes group scales if there are groups or zero points}}
  %w = sd.decode_weight %c {axis = 1 : i64, bits = 4 : i64, group_size = 16 : i64} : (tensor<4x40xi8>) -> tensor<4x40xi8>
  return
}
