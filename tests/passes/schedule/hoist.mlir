// RUN: %sdopt-opt %s --sdopt-hoist | FileCheck %s

!x = !quant.uniform<i16:f32, 1.0e-3>

// What depends on the prompt alone goes first, then the time path; the sum of both is of every step.
// CHECK-LABEL: func.func @denoiser
// CHECK: %[[P:.*]] = npu.table {{.*}} {npu.phase = "prompt"}
// CHECK: %[[T:.*]] = npu.table {{.*}} {npu.phase = "schedule"}
// CHECK: %[[S:.*]] = npu.table
// CHECK-NOT: npu.phase
// CHECK: npu.combine %[[S]], %[[T]]
// CHECK: npu.combine {{.*}}, %[[P]]
func.func @denoiser(%arg0: tensor<1x8x6x4xf32> {sd.name = "sample"}, %arg1: tensor<1x8x6x4xf32> {sd.name = "timestep"},
                    %arg2: tensor<1x8x6x4xf32> {sd.name = "encoder_hidden_states"})
    -> (tensor<1x8x6x4xf32> {sd.name = "out"}) {
  %x = sd.quantize %arg0 : tensor<1x8x6x4xf32> -> tensor<1x8x6x4x!x>
  %t = npu.activation_table silu {input_type = !x, output_scale = 1.0e-3 : f64} : tensor<1025xi32>
  %s = npu.table %x, %t : (tensor<1x8x6x4x!x>, tensor<1025xi32>) -> tensor<1x8x6x4x!x>
  %q1 = sd.quantize %arg1 : tensor<1x8x6x4xf32> -> tensor<1x8x6x4x!x>
  %time = npu.table %q1, %t : (tensor<1x8x6x4x!x>, tensor<1025xi32>) -> tensor<1x8x6x4x!x>
  %a = npu.combine %s, %time {broadcast_rows = false, lhs_multiplier = 1 : i32, rhs_multiplier = 1 : i32, shift = 30 : i32} : (tensor<1x8x6x4x!x>, tensor<1x8x6x4x!x>) -> tensor<1x8x6x4x!x>
  %q2 = sd.quantize %arg2 : tensor<1x8x6x4xf32> -> tensor<1x8x6x4x!x>
  %text = npu.table %q2, %t : (tensor<1x8x6x4x!x>, tensor<1025xi32>) -> tensor<1x8x6x4x!x>
  %y = npu.combine %a, %text {broadcast_rows = false, lhs_multiplier = 1 : i32, rhs_multiplier = 1 : i32, shift = 30 : i32} : (tensor<1x8x6x4x!x>, tensor<1x8x6x4x!x>) -> tensor<1x8x6x4x!x>
  %r = sd.dequantize %y : tensor<1x8x6x4x!x> -> tensor<1x8x6x4xf32>
  return %r : tensor<1x8x6x4xf32>
}

// Without a timestep nothing repeats.
// CHECK-LABEL: func.func @encoder
// CHECK-NOT: npu.phase
func.func @encoder(%arg2: tensor<1x8x6x4xf32> {sd.name = "encoder_hidden_states"}) -> (tensor<1x8x6x4xf32> {sd.name = "out"}) {
  %q = sd.quantize %arg2 : tensor<1x8x6x4xf32> -> tensor<1x8x6x4x!x>
  %t = npu.activation_table silu {input_type = !x, output_scale = 1.0e-3 : f64} : tensor<1025xi32>
  %y = npu.table %q, %t : (tensor<1x8x6x4x!x>, tensor<1025xi32>) -> tensor<1x8x6x4x!x>
  %r = sd.dequantize %y : tensor<1x8x6x4x!x> -> tensor<1x8x6x4xf32>
  return %r : tensor<1x8x6x4xf32>
}
