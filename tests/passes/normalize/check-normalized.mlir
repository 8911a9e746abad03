// RUN: %sdopt-opt %s --sdopt-check-normalized | FileCheck %s

// Expressions over weights may use any operation.
// CHECK-LABEL: @named
// CHECK: sd.binary add
// CHECK: sd.linear
func.func @named(%x: tensor<1x4xf32>) -> tensor<1x6xf32> {
  %w = sd.weight "w" digest "" : tensor<6x4xf32>
  %d = sd.weight "d" digest "" : tensor<6x4xf32>
  %s = sd.binary add %w, %d : (tensor<6x4xf32>, tensor<6x4xf32>) -> tensor<6x4xf32>
  %y = sd.linear %x, %s : (tensor<1x4xf32>, tensor<6x4xf32>) -> tensor<1x6xf32>
  return %y : tensor<1x6xf32>
}
