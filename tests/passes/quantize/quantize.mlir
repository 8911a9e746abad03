// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=w8a16},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-quantize))" | FileCheck %s --check-prefixes=CHECK,A16
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/a8.yaml},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-quantize))" | FileCheck %s --check-prefixes=CHECK,A8
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/w4.yaml},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-quantize))" | FileCheck %s --check-prefix=W4
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/w16.yaml},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-quantize))" | FileCheck %s --check-prefix=W16

// Every activation gets a code, every weight int8 codes with one scale per output channel; the boundary stays real.
// The bias is corrected by what the codes of the weights take from the mean.
// A16-NOT: sd.requantize

// CHECK-LABEL: func.func @picture
// CHECK-SAME: -> (tensor<1x8x6x4xf32>
// CHECK: %[[X:.*]] = sd.quantize %arg0 : tensor<1x8x6x4xf32> -> tensor<1x8x6x4x!quant.uniform<i16:f32,
// CHECK: %[[W:.*]], %[[S:.*]], %[[C:.*]] = sd.quantize_weight %{{.*}} means %{{.*}} {axis = 0 : i64, bits = 8 : i64, range = 1 : i32} : tensor<4x4xf32> means tensor<4xf32> -> tensor<4x4xi8>, tensor<4xf32>, tensor<4xf32>
// The residual sum reads the same value in 16 bits.
// A8: %[[X8:.*]] = sd.requantize %[[X]] : {{.*}} -> tensor<1x8x6x4x!quant.uniform<i8:f32,
// A8: %[[Y:.*]] = sd.linear %[[X8]], %[[W]] scales %[[S]] bias %[[C]]
// A16: %[[Y:.*]] = sd.linear %[[X]], %[[W]] scales %[[S]] bias %[[C]]
// CHECK: %[[Z:.*]] = sd.add %[[X]], %[[Y]]
// CHECK: %[[R:.*]] = sd.dequantize %[[Z]] : {{.*}} -> tensor<1x8x6x4xf32>
// CHECK: return %[[R]]

// Fewer than 8 bits: the layer reads what the codes mean.
// W4: %[[W:.*]], %[[S:.*]], %[[G:.*]], %[[Z:.*]] = sd.quantize_weight %{{.*}} {axis = 0 : i64, bits = 4 : i64, group_size = 16 : i64, range = 1 : i32, symmetric = false} : tensor<4x4xf32> -> tensor<4x4xi8>, tensor<4xf32> groups tensor<4x1x1x1xi8> zeros tensor<4x1x1x1xi8>
// W4: %[[D:.*]] = sd.decode_weight %[[W]] groups %[[G]] zeros %[[Z]] {axis = 1 : i64, bits = 4 : i64, group_size = 16 : i64} : (tensor<4x4xi8>, tensor<4x1x1x1xi8>, tensor<4x1x1x1xi8>) -> tensor<4x4xi8>
// W4: sd.linear %{{.*}}, %[[D]] scales %[[S]]

// 16 bits: what int8 codes leave of the weights gets int8 codes too, and a layer of its own.
// W16: %[[W:.*]], %[[S:.*]] = sd.quantize_weight %[[F:.*]] {axis = 0 : i64, bits = 8 : i64, range = 0 : i32}
// W16: %[[V:.*]] = sd.binary mul
// W16: %[[R:.*]] = sd.binary sub %[[F]], %[[V]]
// W16: %[[W2:.*]], %[[S2:.*]] = sd.quantize_weight %[[R]] {axis = 0 : i64, bits = 8 : i64, range = 0 : i32}
// W16: %[[Y:.*]] = sd.linear %[[X:.*]], %[[W]] scales %[[S]]
// W16: %[[Y2:.*]] = sd.linear %[[X]], %[[W2]] scales %[[S2]]
// W16: sd.add %[[Y]], %[[Y2]]
func.func @picture(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x4xf32> {sd.name = "out"}) {
  %w = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.0, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, 0.5], [-0.75, 0.0, 0.0, 0.125]]> : tensor<4x4xf32> loc("w")
  %y = sd.linear %x, %w : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("y")
  %z = sd.add %x, %y : (tensor<1x8x6x4xf32>, tensor<1x8x6x4xf32>) -> tensor<1x8x6x4xf32> loc("z")
  return %z : tensor<1x8x6x4xf32>
}
