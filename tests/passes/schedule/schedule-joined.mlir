// RUN: %sdopt-opt %s --sdopt-open-resources="target=edge-tiny" --sdopt-schedule | FileCheck %s
// RUN: %sdopt-opt %s --sdopt-open-resources="target=edge-tiny" --sdopt-schedule="join=false" | FileCheck %s --check-prefix=APART

!x = !quant.uniform<i8:f32, 1.0e-2>

// CHECK-LABEL: func.func @joined
// CHECK: npu.conv2d
// CHECK-NOT: npu.joined
// CHECK: npu.table {{.*}}npu.joined = array<i1: true>
// CHECK: npu.combine {{.*}}npu.joined = array<i1: true>
// APART-NOT: npu.joined
func.func @joined(%arg0: tensor<1x16x16x32xf32> {sd.name = "sample"}) -> (tensor<1x16x16x32xf32> {sd.name = "out"}) {
  %c = sd.constant dense<3> : tensor<1x1x1x1xi8>
  %w = sd.expand %c : tensor<1x1x1x1xi8> -> tensor<32x3x3x32xi8>
  %d = sd.constant dense<1> : tensor<1x2xi64>
  %p = sd.expand %d : tensor<1x2xi64> -> tensor<32x2xi64>
  %x = sd.quantize %arg0 : tensor<1x16x16x32xf32> -> tensor<1x16x16x32x!x>
  %y = npu.conv2d %x, %w, %p {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>} : (tensor<1x16x16x32x!x>, tensor<32x3x3x32xi8>, tensor<32x2xi64>) -> tensor<1x16x16x32x!x>
  %t = npu.activation_table silu {input_type = !x, output_scale = 1.0e-2 : f64} : tensor<256xi32>
  %a = npu.table %y, %t : (tensor<1x16x16x32x!x>, tensor<256xi32>) -> tensor<1x16x16x32x!x>
  %s = npu.combine %a, %x {lhs_multiplier = 1073741824 : i32, rhs_multiplier = 1073741824 : i32, shift = 30 : i32, broadcast_rows = false} : (tensor<1x16x16x32x!x>, tensor<1x16x16x32x!x>) -> tensor<1x16x16x32x!x>
  %r = sd.dequantize %s : tensor<1x16x16x32x!x> -> tensor<1x16x16x32xf32>
  return %r : tensor<1x16x16x32xf32>
}
