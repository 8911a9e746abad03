// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/zeros.yaml target=mobile},func.func(sdopt-calibrate{samples=%S/../quantize/Inputs/picture.safetensors},sdopt-quantize),sdopt-quantize-winograd)" --remarks-filter=quantize-winograd --remark-format=emitRemark 2>&1 | FileCheck %s

// Products that skipped zeros leave out count: where 8 of 9 weights are 0, the others take less time than F(4x4, 3x3). They are made where the recipe wants zeros stored like
// other weights.
// CHECK: loc("skipped"): [Missed] {{.*}}cycles: {{[0-9]+}} by F(4x4, 3x3), {{[0-9]+}} by F(2x2, 3x3), {{[0-9]+}} without, where 524288 of 589824 weights are skipped
// CHECK: loc("kept"): [Passed] {{.*}}SQNR {{[0-9.]+}} dB; cycles: {{[0-9]+}} by F(4x4, 3x3), {{[0-9]+}} by F(2x2, 3x3), {{[0-9]+}} without
func.func @picture(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x64x48x256xf32> {sd.name = "out"}) {
  %c = sd.constant dense<[[[[0.0, 0.0, 0.0], [0.0, 0.7, 0.0], [0.0, 0.0, 0.0]]]]> : tensor<1x1x3x3xf32> loc("c")
  %w = sd.expand %c : tensor<1x1x3x3xf32> -> tensor<256x256x3x3xf32> loc("w")
  %d = sd.constant dense<[[0.5, -0.25, 0.125, 1.0]]> : tensor<1x4xf32> loc("d")
  %v = sd.expand %d : tensor<1x4xf32> -> tensor<256x4xf32> loc("v")
  %a = sd.linear %x, %v : (tensor<1x8x6x4xf32>, tensor<256x4xf32>) -> tensor<1x8x6x256xf32> loc("a")
  %b = sd.upsample %a {factors = array<i64: 8, 8>, layout = 1 : i32} : (tensor<1x8x6x256xf32>) -> tensor<1x64x48x256xf32> loc("b")
  %e = sd.conv2d %b, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64} : (tensor<1x64x48x256xf32>, tensor<256x256x3x3xf32>) -> tensor<1x64x48x256xf32> loc("skipped")
  %f = sd.conv2d %e, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64} : (tensor<1x64x48x256xf32>, tensor<256x256x3x3xf32>) -> tensor<1x64x48x256xf32> loc("kept")
  %g = sd.conv2d %f, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64} : (tensor<1x64x48x256xf32>, tensor<256x256x3x3xf32>) -> tensor<1x64x48x256xf32> loc("last")
  return %g : tensor<1x64x48x256xf32>
}
