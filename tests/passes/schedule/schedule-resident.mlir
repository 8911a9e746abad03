// RUN: %sdopt-opt %s --sdopt-open-resources="target=edge-tiny" --sdopt-schedule | FileCheck %s
// RUN: %sdopt-opt %s --sdopt-open-resources="target=edge-tiny" --sdopt-schedule="resident=false" | FileCheck %s --check-prefix=STORED

!x = !quant.uniform<i8:f32, 1.0e-2>

// The first convolution's result, of 8,192 bytes, is read by the second from SRAM and never is in DRAM.
// CHECK-LABEL: func.func @resident
// CHECK: npu.conv2d {{.*}}npu.place = #npu.place<offset = -1, bytes = 8192>, npu.resident = array<i64: {{[0-9]+}}, {{[0-9]+}}, 1>
// CHECK: npu.conv2d
// CHECK-NOT: npu.resident
// STORED-NOT: npu.resident
func.func @resident(%arg0: tensor<1x16x16x32xf32> {sd.name = "sample"}) -> (tensor<1x16x16x32xf32> {sd.name = "out"}) {
  %c = sd.constant dense<3> : tensor<1x1x1x1xi8>
  %w = sd.expand %c : tensor<1x1x1x1xi8> -> tensor<32x3x3x32xi8>
  %v = sd.expand %c : tensor<1x1x1x1xi8> -> tensor<32x3x3x32xi8>
  %d = sd.constant dense<1> : tensor<1x2xi64>
  %p = sd.expand %d : tensor<1x2xi64> -> tensor<32x2xi64>
  %x = sd.quantize %arg0 : tensor<1x16x16x32xf32> -> tensor<1x16x16x32x!x>
  %y = npu.conv2d %x, %w, %p {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>} : (tensor<1x16x16x32x!x>, tensor<32x3x3x32xi8>, tensor<32x2xi64>) -> tensor<1x16x16x32x!x>
  %z = npu.conv2d %y, %v, %p {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>} : (tensor<1x16x16x32x!x>, tensor<32x3x3x32xi8>, tensor<32x2xi64>) -> tensor<1x16x16x32x!x>
  %r = sd.dequantize %z : tensor<1x16x16x32x!x> -> tensor<1x16x16x32xf32>
  return %r : tensor<1x16x16x32xf32>
}
