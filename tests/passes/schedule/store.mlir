// RUN: %sdopt-opt %s --sdopt-open-resources="target=mobile" --sdopt-store | FileCheck %s
// RUN: %sdopt-opt %s --sdopt-open-resources="target=mobile" --sdopt-store --sdopt-schedule | FileCheck %s --check-prefix=PLAN

!x = !quant.uniform<i16:f32, 1.0e-3>

// The same weight everywhere carries no information: codes of 64 KiB take next to nothing.
// CHECK-LABEL: func.func @equal
// CHECK: npu.conv2d {{.*}}npu.storage = #npu.storage<dense, 0, 0, {{16|128}}, 1, 0>
// PLAN: npu.conv2d {{.*}}npu.storage = #npu.storage<dense, {{.*}}npu.tiling
func.func @equal(%arg0: tensor<1x1x6x256xf32> {sd.name = "sample"}) -> (tensor<1x1x6x256xf32> {sd.name = "out"}) {
  %x = sd.quantize %arg0 : tensor<1x1x6x256xf32> -> tensor<1x1x6x256x!x>
  %c = sd.constant dense<3> : tensor<1x1x1x1xi8>
  %w = sd.expand %c : tensor<1x1x1x1xi8> -> tensor<256x1x1x256xi8>
  %d = sd.constant dense<1> : tensor<1x2xi64>
  %p = sd.expand %d : tensor<1x2xi64> -> tensor<256x2xi64>
  %y = npu.conv2d %x, %w, %p {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>} : (tensor<1x1x6x256x!x>, tensor<256x1x1x256xi8>, tensor<256x2xi64>) -> tensor<1x1x6x256x!x>
  %r = sd.dequantize %y : tensor<1x1x6x256x!x> -> tensor<1x1x6x256xf32>
  return %r : tensor<1x1x6x256xf32>
}

// The recipe asked for weights as they are.
// CHECK-LABEL: func.func @plain
// CHECK: npu.conv2d
// CHECK-NOT: #npu.storage
func.func @plain(%arg0: tensor<1x1x6x256xf32> {sd.name = "sample"}) -> (tensor<1x1x6x256xf32> {sd.name = "out"}) {
  %x = sd.quantize %arg0 : tensor<1x1x6x256xf32> -> tensor<1x1x6x256x!x>
  %c = sd.constant dense<3> : tensor<1x1x1x1xi8>
  %w = sd.expand %c : tensor<1x1x1x1xi8> -> tensor<256x1x1x256xi8>
  %d = sd.constant dense<1> : tensor<1x2xi64>
  %p = sd.expand %d : tensor<1x2xi64> -> tensor<256x2xi64>
  %y = npu.conv2d %x, %w, %p {npu.storage_rule = "plain", strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>} : (tensor<1x1x6x256x!x>, tensor<256x1x1x256xi8>, tensor<256x2xi64>) -> tensor<1x1x6x256x!x>
  %r = sd.dequantize %y : tensor<1x1x6x256x!x> -> tensor<1x1x6x256xf32>
  return %r : tensor<1x1x6x256xf32>
}
