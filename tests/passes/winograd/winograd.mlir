// RUN: %sdopt-opt %s --sdopt-open-resources="target=mobile" --sdopt-winograd | FileCheck %s
// RUN: %sdopt-opt %s --sdopt-open-resources="target=mobile" --sdopt-winograd --sdopt-store --sdopt-schedule | FileCheck %s --check-prefix=PLAN
// RUN: not %sdopt-opt %s --sdopt-winograd 2>&1 | FileCheck %s --check-prefix=NONE

// NONE: error: 'func.func' op needs a target to choose convolutions by winograd

!x = !quant.uniform<i16:f32, 1.0e-3>

// Many pixels, many channels: the products decide.
// CHECK-LABEL: func.func @window
// CHECK: npu.conv2d {{.*}}npu.winograd
// PLAN-LABEL: func.func @window
// PLAN: npu.conv2d {{.*}}npu.tiling{{.*}}npu.winograd
func.func @window(%arg0: tensor<1x64x64x256xf32> {sd.name = "sample"}) -> (tensor<1x64x64x256xf32> {sd.name = "out"}) {
  %x = sd.quantize %arg0 : tensor<1x64x64x256xf32> -> tensor<1x64x64x256x!x>
  %c = sd.constant dense<3> : tensor<1x1x1x1xi8>
  %w = sd.expand %c : tensor<1x1x1x1xi8> -> tensor<256x3x3x256xi8>
  %d = sd.constant dense<1> : tensor<1x2xi64>
  %p = sd.expand %d : tensor<1x2xi64> -> tensor<256x2xi64>
  %y = npu.conv2d %x, %w, %p {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>} : (tensor<1x64x64x256x!x>, tensor<256x3x3x256xi8>, tensor<256x2xi64>) -> tensor<1x64x64x256x!x>
  %r = sd.dequantize %y : tensor<1x64x64x256x!x> -> tensor<1x64x64x256xf32>
  return %r : tensor<1x64x64x256xf32>
}

// Skipping zeros leaves nothing to multiply.
// CHECK-LABEL: func.func @zeros
// CHECK: npu.conv2d {{.*}}npu.winograd
// PLAN-LABEL: func.func @zeros
// PLAN-NOT: npu.winograd
// PLAN: return
func.func @zeros(%arg0: tensor<1x64x64x256xf32> {sd.name = "sample"}) -> (tensor<1x64x64x256xf32> {sd.name = "out"}) {
  %x = sd.quantize %arg0 : tensor<1x64x64x256xf32> -> tensor<1x64x64x256x!x>
  %c = sd.constant dense<0> : tensor<1x1x1x1xi8>
  %w = sd.expand %c : tensor<1x1x1x1xi8> -> tensor<256x3x3x256xi8>
  %d = sd.constant dense<1> : tensor<1x2xi64>
  %p = sd.expand %d : tensor<1x2xi64> -> tensor<256x2xi64>
  %y = npu.conv2d %x, %w, %p {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>} : (tensor<1x64x64x256x!x>, tensor<256x3x3x256xi8>, tensor<256x2xi64>) -> tensor<1x64x64x256x!x>
  %r = sd.dequantize %y : tensor<1x64x64x256x!x> -> tensor<1x64x64x256xf32>
  return %r : tensor<1x64x64x256xf32>
}

// No window, and one with strides.
// CHECK-LABEL: func.func @others
// CHECK-NOT: npu.winograd
// CHECK: return
func.func @others(%arg0: tensor<1x64x64x256xf32> {sd.name = "sample"}) -> (tensor<1x32x32x256xf32> {sd.name = "out"}) {
  %x = sd.quantize %arg0 : tensor<1x64x64x256xf32> -> tensor<1x64x64x256x!x>
  %c = sd.constant dense<3> : tensor<1x1x1x1xi8>
  %v = sd.expand %c : tensor<1x1x1x1xi8> -> tensor<256x1x1x256xi8>
  %w = sd.expand %c : tensor<1x1x1x1xi8> -> tensor<256x3x3x256xi8>
  %d = sd.constant dense<1> : tensor<1x2xi64>
  %p = sd.expand %d : tensor<1x2xi64> -> tensor<256x2xi64>
  %y = npu.conv2d %x, %v, %p {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>} : (tensor<1x64x64x256x!x>, tensor<256x1x1x256xi8>, tensor<256x2xi64>) -> tensor<1x64x64x256x!x>
  %z = npu.conv2d %y, %w, %p {strides = array<i64: 2, 2>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>} : (tensor<1x64x64x256x!x>, tensor<256x3x3x256xi8>, tensor<256x2xi64>) -> tensor<1x32x32x256x!x>
  %r = sd.dequantize %z : tensor<1x32x32x256x!x> -> tensor<1x32x32x256xf32>
  return %r : tensor<1x32x32x256xf32>
}
