// RUN: %sdopt-opt %s --sdopt-form-group-norm --remarks-filter-missed=normalize --remark-format=emitRemark 2>&1 | FileCheck %s

// CHECK-DAG: its own scale is not one or its shift not zero
// CHECK-DAG: no shift with one number for each channel follows

// CHECK-LABEL: @two_groups
// CHECK-DAG: %[[G:.*]] = sd.reshape %{{.*}} : tensor<4x1x1xf32> -> tensor<4xf32>
// CHECK-DAG: %[[B:.*]] = sd.reshape %{{.*}} : tensor<1x4x1x1xf32> -> tensor<4xf32>
// CHECK: %[[Y:.*]] = sd.group_norm %arg0, %[[G]], %[[B]] {epsilon = 1.000000e-05 : f64, groups = 2 : i64, layout = 0 : i32}
// CHECK-NEXT: return %[[Y]]
func.func @two_groups(%x: tensor<1x4x8x6xf32>) -> tensor<1x4x8x6xf32> {
  %one = sd.constant dense<1.0> : tensor<2xf32>
  %zero = sd.constant dense<0.0> : tensor<2xf32>
  %gamma = sd.weight "gamma" digest "" : tensor<4x1x1xf32>
  %beta = sd.weight "beta" digest "" : tensor<1x4x1x1xf32>
  %a = sd.reshape %x : tensor<1x4x8x6xf32> -> tensor<1x2x96xf32>
  %b = sd.group_norm %a, %one, %zero {groups = 2 : i64, epsilon = 1.0e-5 : f64, layout = 0 : i32}
    : (tensor<1x2x96xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<1x2x96xf32>
  %c = sd.reshape %b : tensor<1x2x96xf32> -> tensor<1x4x8x6xf32>
  %d = sd.binary mul %gamma, %c : (tensor<4x1x1xf32>, tensor<1x4x8x6xf32>) -> tensor<1x4x8x6xf32>
  %e = sd.binary add %d, %beta : (tensor<1x4x8x6xf32>, tensor<1x4x1x1xf32>) -> tensor<1x4x8x6xf32>
  return %e : tensor<1x4x8x6xf32>
}

// Gamma and beta of tokens: [4, 1] beside [1, 4, 48].
// CHECK-LABEL: @pixels_in_one_dimension
// CHECK: sd.group_norm %arg0, {{.*}}groups = 2
func.func @pixels_in_one_dimension(%x: tensor<1x4x48xf32>) -> tensor<1x4x48xf32> {
  %one = sd.constant dense<1.0> : tensor<2xf32>
  %zero = sd.constant dense<0.0> : tensor<2xf32>
  %gamma = sd.weight "gamma" digest "" : tensor<4x1xf32>
  %beta = sd.weight "beta" digest "" : tensor<4x1xf32>
  %a = sd.reshape %x : tensor<1x4x48xf32> -> tensor<1x2x96xf32>
  %b = sd.group_norm %a, %one, %zero {groups = 2 : i64, epsilon = 1.0e-5 : f64, layout = 0 : i32}
    : (tensor<1x2x96xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<1x2x96xf32>
  %c = sd.reshape %b : tensor<1x2x96xf32> -> tensor<1x4x48xf32>
  %d = sd.binary mul %c, %gamma : (tensor<1x4x48xf32>, tensor<4x1xf32>) -> tensor<1x4x48xf32>
  %e = sd.binary add %d, %beta : (tensor<1x4x48xf32>, tensor<4x1xf32>) -> tensor<1x4x48xf32>
  return %e : tensor<1x4x48xf32>
}

// CHECK-LABEL: @own_scale
// CHECK: sd.binary mul
func.func @own_scale(%x: tensor<1x4x48xf32>) -> tensor<1x4x48xf32> {
  %two = sd.constant dense<2.0> : tensor<2xf32>
  %zero = sd.constant dense<0.0> : tensor<2xf32>
  %gamma = sd.weight "gamma" digest "" : tensor<4x1xf32>
  %a = sd.reshape %x : tensor<1x4x48xf32> -> tensor<1x2x96xf32>
  %b = sd.group_norm %a, %two, %zero {groups = 2 : i64, epsilon = 1.0e-5 : f64, layout = 0 : i32}
    : (tensor<1x2x96xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<1x2x96xf32>
  %c = sd.reshape %b : tensor<1x2x96xf32> -> tensor<1x4x48xf32>
  %d = sd.binary mul %c, %gamma : (tensor<1x4x48xf32>, tensor<4x1xf32>) -> tensor<1x4x48xf32>
  return %d : tensor<1x4x48xf32>
}

// CHECK-LABEL: @no_shift
// CHECK: sd.binary mul
func.func @no_shift(%x: tensor<1x4x48xf32>) -> tensor<1x4x48xf32> {
  %one = sd.constant dense<1.0> : tensor<2xf32>
  %zero = sd.constant dense<0.0> : tensor<2xf32>
  %gamma = sd.weight "gamma" digest "" : tensor<4x1xf32>
  %a = sd.reshape %x : tensor<1x4x48xf32> -> tensor<1x2x96xf32>
  %b = sd.group_norm %a, %one, %zero {groups = 2 : i64, epsilon = 1.0e-5 : f64, layout = 0 : i32}
    : (tensor<1x2x96xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<1x2x96xf32>
  %c = sd.reshape %b : tensor<1x2x96xf32> -> tensor<1x4x48xf32>
  %d = sd.binary mul %c, %gamma : (tensor<1x4x48xf32>, tensor<4x1xf32>) -> tensor<1x4x48xf32>
  return %d : tensor<1x4x48xf32>
}
