// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/taps.yaml target=mobile},func.func(sdopt-calibrate{samples=%S/../quantize/Inputs/picture.safetensors},sdopt-quantize),sdopt-quantize-winograd)" | FileCheck %s
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/taps.yaml target=mobile},func.func(sdopt-calibrate{samples=%S/../quantize/Inputs/picture.safetensors},sdopt-quantize),sdopt-quantize-winograd)" --remarks-filter=quantize-winograd --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: sed 's/bits: 11x12/bits: 10x12/' %S/../../../compiler/target/presets/mobile.yaml > %t.yaml
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/taps.yaml target=%t.yaml},func.func(sdopt-calibrate{samples=%S/../quantize/Inputs/picture.safetensors},sdopt-quantize),sdopt-quantize-winograd)" --remarks-filter=quantize-winograd --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=NARROW
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=w8a16 target=mobile},func.func(sdopt-calibrate{samples=%S/../quantize/Inputs/picture.safetensors},sdopt-quantize),sdopt-quantize-winograd)" | FileCheck %s --check-prefix=OFF

// The setting is decided and gone; what is made so has shifts for all 36 products.
// CHECK-LABEL: func.func @picture
// CHECK-NOT: sdopt.winograd_min_sqnr
// CHECK: sd.conv2d {{.*}}tap_shifts = #sd.tap_shifts<codes = [{{[0-9]}}, {{.*}}], weights = [{{[0-9]}}, {{.*}}]>
// CHECK-NOT: tap_shifts
// CHECK: return

// Zeros that the package is to tell; where it pays and the error allows; a budget that nothing meets. Of no setting and no window no word.
// REMARK: 'storage: bitmap' tells zeros, which winograd has no use for
// REMARK: SQNR {{[0-9.]+}} dB; cycles: {{[0-9]+}} by F(4x4, 3x3), {{[0-9]+}} by F(2x2, 3x3), {{[0-9]+}} without
// REMARK: SQNR {{[0-9.]+}} dB; cycles: {{[0-9]+}} by F(4x4, 3x3), {{[0-9]+}} by F(2x2, 3x3), {{[0-9]+}} without; the recipe needs 190dB

// NARROW-NOT: tap_shifts
// NARROW: F(4x4, 3x3) needs multipliers of 11x12; the target has 10x12
// NARROW-NOT: tap_shifts
// OFF-NOT: tap_shifts
func.func @picture(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x32x24x256xf32> {sd.name = "out"}) {
  %c = sd.constant dense<[[[[0.5, -0.25, 0.125], [1.0, 0.3, -0.7], [0.1, 0.0, 0.9]]]]> : tensor<1x1x3x3xf32> loc("c")
  %w = sd.expand %c : tensor<1x1x3x3xf32> -> tensor<256x256x3x3xf32> loc("w")
  %d = sd.constant dense<[[0.5, -0.25, 0.125, 1.0]]> : tensor<1x4xf32> loc("d")
  %v = sd.expand %d : tensor<1x4xf32> -> tensor<256x4xf32> loc("v")
  %a = sd.linear %x, %v : (tensor<1x8x6x4xf32>, tensor<256x4xf32>) -> tensor<1x8x6x256xf32> loc("a")
  %b = sd.upsample %a {factors = array<i64: 8, 8>, layout = 1 : i32} : (tensor<1x8x6x256xf32>) -> tensor<1x64x48x256xf32> loc("b")
  %e = sd.conv2d %b, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64} : (tensor<1x64x48x256xf32>, tensor<256x256x3x3xf32>) -> tensor<1x64x48x256xf32> loc("good")
  %f = sd.conv2d %e, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64} : (tensor<1x64x48x256xf32>, tensor<256x256x3x3xf32>) -> tensor<1x64x48x256xf32> loc("high")
  %g = sd.conv2d %f, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64} : (tensor<1x64x48x256xf32>, tensor<256x256x3x3xf32>) -> tensor<1x64x48x256xf32> loc("zeros")
  %h = sd.conv2d %g, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64} : (tensor<1x64x48x256xf32>, tensor<256x256x3x3xf32>) -> tensor<1x64x48x256xf32> loc("off")
  %y = sd.conv2d %h, %w {layout = 1 : i32, strides = array<i64: 2, 2>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64} : (tensor<1x64x48x256xf32>, tensor<256x256x3x3xf32>) -> tensor<1x32x24x256xf32> loc("strided")
  return %y : tensor<1x32x24x256xf32>
}
