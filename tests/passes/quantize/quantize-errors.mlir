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

// -----
func.func @share_bits(%w: tensor<4x40xf32>) {
  // expected-error@+1 {{bits are 9 but must be 1 to 8 with palettes}}
  %c, %s, %p = sd.share_weight %w {bits = 9 : i64} : tensor<4x40xf32> -> tensor<4x40xi8>, tensor<4xf32>, tensor<1x512xi8>
  return
}

// -----
func.func @share_rank(%w: tensor<40xf32>) {
  // expected-error@+1 {{needs f32 weights of 2 or 4 dimensions}}
  %c, %s, %p = sd.share_weight %w {bits = 2 : i64} : tensor<40xf32> -> tensor<40xi8>, tensor<40xf32>, tensor<1x4xi8>
  return
}

// -----
func.func @share_palettes(%w: tensor<5x40xf32>) {
  // expected-error@+1 {{palettes are 'tensor<1x4xi8>' but must be i8 [3, 4]}}
  %c, %s, %p = sd.share_weight %w {bits = 2 : i64, palette_outputs = 2 : i64} : tensor<5x40xf32> -> tensor<5x40xi8>, tensor<5xf32>, tensor<1x4xi8>
  return
}

// -----
func.func @share_importance(%w: tensor<5x40xf32>, %i: tensor<5xf32>) {
  // expected-error@+1 {{needs one f32 importance for each of 40 input channels}}
  %c, %s, %p = sd.share_weight %w importance %i {bits = 2 : i64} : tensor<5x40xf32> importance tensor<5xf32> -> tensor<5x40xi8>, tensor<5xf32>, tensor<1x4xi8>
  return
}

// -----
func.func @share_correction(%w: tensor<5x40xf32>, %m: tensor<40xf32>) {
  // expected-error@+1 {{corrects from one f32 mean for each input channel to one f32 correction for each output channel}}
  %c, %s, %p = sd.share_weight %w means %m {bits = 2 : i64} : tensor<5x40xf32> means tensor<40xf32> -> tensor<5x40xi8>, tensor<5xf32>, tensor<1x4xi8>
  return
}

// -----
func.func @decode_both(%c: tensor<4x40xi8>, %s: tensor<4x1x1x3xi8>, %p: tensor<1x16xi8>) {
  // expected-error@+1 {{takes palettes or groups and zero points, not both}}
  %w = sd.decode_weight %c groups %s palettes %p {axis = 1 : i64, bits = 4 : i64, group_size = 16 : i64} : (tensor<4x40xi8>, tensor<4x1x1x3xi8>, tensor<1x16xi8>) -> tensor<4x40xi8>
  return
}

// -----
func.func @decode_no_palette(%c: tensor<4x40xi8>) {
  // expected-error@+1 {{has 'palette_outputs' without palettes}}
  %w = sd.decode_weight %c {axis = 1 : i64, bits = 4 : i64, palette_outputs = 2 : i64} : (tensor<4x40xi8>) -> tensor<4x40xi8>
  return
}

// -----
func.func @decode_palette_shape(%c: tensor<4x40xi8>, %p: tensor<2x4xi8>) {
  // expected-error@+1 {{palettes are 'tensor<2x4xi8>' but must be i8 [1, 4]}}
  %w = sd.decode_weight %c palettes %p {axis = 1 : i64, bits = 2 : i64} : (tensor<4x40xi8>, tensor<2x4xi8>) -> tensor<4x40xi8>
  return
}

// -----
func.func @concat_exponents(%a: tensor<2x4xf32>, %b: tensor<2x1xf32>) {
  // expected-error@+1 {{has 1 exponents but 2 parts; each needs one}}
  %c = sd.concat %a, %b {axis = 1 : i64, exponents = array<i64: 3>} : (tensor<2x4xf32>, tensor<2x1xf32>) -> tensor<2x5xf32>
  return
}

// -----
func.func @concat_large_exponent(%a: tensor<2x4xf32>, %b: tensor<2x1xf32>) {
  // expected-error@+1 {{exponent -25 is outside [-24, 24]}}
  %c = sd.concat %a, %b {axis = 1 : i64, exponents = array<i64: 0, -25>} : (tensor<2x4xf32>, tensor<2x1xf32>) -> tensor<2x5xf32>
  return
}

// -----
func.func @concat_integers(%a: tensor<2x4xi64>) {
  // expected-error@+1 {{has exponents but its parts are neither floats nor codes}}
  %c = sd.concat %a, %a {axis = 1 : i64, exponents = array<i64: 0, 1>} : (tensor<2x4xi64>, tensor<2x4xi64>) -> tensor<2x8xi64>
  return
}
