// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/a8.yaml},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-quantize))" --remarks-filter-missed=quantize --remark-format=emitRemark 2>&1 | FileCheck %s

// CHECK: loc("y"): [Missed] attention-scale | Category:quantize | Remark="queries and keys reach so far that a step of the product of their 8-bit codes were {{.*}} powers of two of the softmax, which needs less than 1/64: they have 16 bits"

// CHECK-LABEL: func.func @near
// CHECK: sd.attention {{.*}} : (tensor<1x48x4x!quant.uniform<i8:f32,
func.func @near(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x48x4xf32> {sd.name = "out"}) {
  %t = sd.reshape %x : tensor<1x8x6x4xf32> -> tensor<1x48x4xf32> loc("t")
  %y = sd.attention %t, %t, %t {heads = 1 : i64, scale = 0.5 : f64, causal = false}
    : (tensor<1x48x4xf32>, tensor<1x48x4xf32>, tensor<1x48x4xf32>) -> tensor<1x48x4xf32> loc("y")
  return %y : tensor<1x48x4xf32>
}

// CHECK-LABEL: func.func @far
// CHECK: sd.attention {{.*}} : (tensor<1x48x4x!quant.uniform<i16:f32,
func.func @far(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x48x4xf32> {sd.name = "out"}) {
  %t = sd.reshape %x : tensor<1x8x6x4xf32> -> tensor<1x48x4xf32> loc("t")
  %y = sd.attention %t, %t, %t {heads = 1 : i64, scale = 1000.0 : f64, causal = false}
    : (tensor<1x48x4xf32>, tensor<1x48x4xf32>, tensor<1x48x4xf32>) -> tensor<1x48x4xf32> loc("y")
  return %y : tensor<1x48x4xf32>
}
