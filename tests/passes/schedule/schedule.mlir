// RUN: %sdopt-opt %s --sdopt-open-resources="target=edge-tiny" --sdopt-schedule | FileCheck %s

!x = !quant.uniform<i16:f32, 1.0e-3>

// CHECK-LABEL: func.func @table
// CHECK-SAME: npu.arena_bound_bytes = {{[0-9]+}} : i64, npu.arena_bytes = {{[0-9]+}} : i64, npu.place = array<i64:
// CHECK: npu.table {{.*}} {npu.place = #npu.place<offset = {{[0-9]+}}, bytes = 384>, npu.tiling = [#npu.tiling<
func.func @table(%arg0: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x4xf32> {sd.name = "out"}) {
  %x = sd.quantize %arg0 : tensor<1x8x6x4xf32> -> tensor<1x8x6x4x!x>
  %t = npu.activation_table silu {input_type = !x, output_scale = 1.0e-3 : f64} : tensor<1025xi32>
  %y = npu.table %x, %t : (tensor<1x8x6x4x!x>, tensor<1025xi32>) -> tensor<1x8x6x4x!x>
  %r = sd.dequantize %y : tensor<1x8x6x4x!x> -> tensor<1x8x6x4xf32>
  return %r : tensor<1x8x6x4xf32>
}
