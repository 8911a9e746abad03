// RUN: %sdopt-opt %s --sdopt-form-activations --remarks-filter-missed=normalize --remark-format=emitRemark 2>&1 | FileCheck %s

// CHECK-DAG: the factor inside the sigmoid is not 1.702
// CHECK-DAG: what surrounds erf is not x * (1 + erf(x / sqrt 2)) / 2

// CHECK-LABEL: @silu
// CHECK-NEXT: %[[Y:.*]] = sd.silu %arg0
// CHECK-NEXT: return %[[Y]]
func.func @silu(%x: tensor<4xf32>) -> tensor<4xf32> {
  %s = sd.unary sigmoid %x : (tensor<4xf32>) -> tensor<4xf32>
  %y = sd.binary mul %x, %s : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// The gate is read elsewhere too.
// CHECK-LABEL: @silu_and_gate
// CHECK-DAG: sd.silu %arg0
// CHECK-DAG: sd.sigmoid %arg0
func.func @silu_and_gate(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %s = sd.unary sigmoid %x : (tensor<4xf32>) -> tensor<4xf32>
  %y = sd.binary mul %s, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %y, %s : tensor<4xf32>, tensor<4xf32>
}

// CHECK-LABEL: @quick_gelu
// CHECK-NOT: sigmoid
// CHECK: sd.quick_gelu %arg0
func.func @quick_gelu(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c = sd.constant dense<1.702> : tensor<f32>
  %a = sd.binary mul %c, %x : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %s = sd.unary sigmoid %a : (tensor<4xf32>) -> tensor<4xf32>
  %y = sd.binary mul %x, %s : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// CHECK-LABEL: @other_factor
// CHECK: sd.sigmoid
// CHECK: sd.binary mul
func.func @other_factor(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c = sd.constant dense<1.6> : tensor<f32>
  %a = sd.binary mul %c, %x : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %s = sd.unary sigmoid %a : (tensor<4xf32>) -> tensor<4xf32>
  %y = sd.binary mul %x, %s : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// x * (erf(x / sqrt 2) + 1) * 0.5
// CHECK-LABEL: @gelu
// CHECK-NOT: sd.unary
// CHECK: %[[Y:.*]] = sd.gelu %arg0
// CHECK-NEXT: return %[[Y]]
func.func @gelu(%x: tensor<4xf32>) -> tensor<4xf32> {
  %root = sd.constant dense<1.41421354> : tensor<f32>
  %one = sd.constant dense<1.0> : tensor<f32>
  %half = sd.constant dense<0.5> : tensor<f32>
  %a = sd.binary div %x, %root : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %b = sd.unary erf %a : (tensor<4xf32>) -> tensor<4xf32>
  %c = sd.binary add %b, %one : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %d = sd.binary mul %x, %c : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %e = sd.binary mul %d, %half : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  return %e : tensor<4xf32>
}

// (0.5 * x) * (1 + erf(0.7071 * x))
// CHECK-LABEL: @gelu_halved_first
// CHECK-NOT: sd.unary
// CHECK: sd.gelu %arg0
func.func @gelu_halved_first(%x: tensor<4xf32>) -> tensor<4xf32> {
  %root = sd.constant dense<0.707106769> : tensor<f32>
  %one = sd.constant dense<1.0> : tensor<f32>
  %half = sd.constant dense<0.5> : tensor<f32>
  %a = sd.binary mul %root, %x : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %b = sd.unary erf %a : (tensor<4xf32>) -> tensor<4xf32>
  %c = sd.binary add %one, %b : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %d = sd.binary mul %half, %x : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %e = sd.binary mul %c, %d : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %e : tensor<4xf32>
}

// x * (0.5 + 0.5 * erf(..)), and the product of it with another value
// CHECK-LABEL: @gelu_halved_inside
// CHECK-NOT: sd.unary
// CHECK: %[[G:.*]] = sd.gelu %arg0
// CHECK: sd.binary mul %arg1, %[[G]]
func.func @gelu_halved_inside(%x: tensor<4xf32>, %l: tensor<4xf32>) -> tensor<4xf32> {
  %root = sd.constant dense<1.41421354> : tensor<f32>
  %half = sd.constant dense<0.5> : tensor<f32>
  %a = sd.binary div %x, %root : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %b = sd.unary erf %a : (tensor<4xf32>) -> tensor<4xf32>
  %c = sd.binary mul %b, %half : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %d = sd.binary add %c, %half : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %e = sd.binary mul %x, %d : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %f = sd.binary mul %l, %e : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %f : tensor<4xf32>
}

// CHECK-LABEL: @not_halved
// CHECK: sd.unary erf
func.func @not_halved(%x: tensor<4xf32>) -> tensor<4xf32> {
  %root = sd.constant dense<1.41421354> : tensor<f32>
  %one = sd.constant dense<1.0> : tensor<f32>
  %a = sd.binary div %x, %root : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %b = sd.unary erf %a : (tensor<4xf32>) -> tensor<4xf32>
  %c = sd.binary add %b, %one : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %d = sd.binary mul %x, %c : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %d : tensor<4xf32>
}

// CHECK-LABEL: @named
// CHECK: sd.gelu
// CHECK: sd.quick_gelu
// CHECK: sd.silu
func.func @named(%x: tensor<4xf32>) -> tensor<4xf32> {
  %a = sd.unary gelu %x : (tensor<4xf32>) -> tensor<4xf32>
  %b = sd.unary quick_gelu %a : (tensor<4xf32>) -> tensor<4xf32>
  %c = sd.unary silu %b : (tensor<4xf32>) -> tensor<4xf32>
  return %c : tensor<4xf32>
}

// x * x * x as exporters of old opsets write it.
// CHECK-LABEL: @gelu_tanh
// CHECK: %[[Y:.*]] = sd.gelu_tanh %arg0
// CHECK-NEXT: return %[[Y]]
func.func @gelu_tanh(%x: tensor<4xf32>) -> tensor<4xf32> {
  %half = sd.constant dense<0.5> : tensor<f32>
  %one = sd.constant dense<1.0> : tensor<f32>
  %c = sd.constant dense<0.044715> : tensor<f32>
  %k = sd.constant dense<0.7978845608> : tensor<f32>
  %a = sd.binary mul %x, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %b = sd.binary mul %x, %a : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %d = sd.binary mul %b, %c : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %e = sd.binary add %x, %d : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %f = sd.binary mul %e, %k : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %g = sd.unary tanh %f : (tensor<4xf32>) -> tensor<4xf32>
  %h = sd.binary add %g, %one : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %i = sd.binary mul %x, %h : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %y = sd.binary mul %i, %half : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// x^3 by a power, the half on x.
// CHECK-LABEL: @gelu_tanh_of_power
// CHECK: %[[Y:.*]] = sd.gelu_tanh %arg0
// CHECK-NEXT: return %[[Y]]
func.func @gelu_tanh_of_power(%x: tensor<4xf32>) -> tensor<4xf32> {
  %half = sd.constant dense<0.5> : tensor<f32>
  %one = sd.constant dense<1.0> : tensor<f32>
  %three = sd.constant dense<3.0> : tensor<f32>
  %c = sd.constant dense<0.044715> : tensor<f32>
  %k = sd.constant dense<0.7978845608> : tensor<f32>
  %b = sd.binary pow %x, %three : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %d = sd.binary mul %c, %b : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %e = sd.binary add %d, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %f = sd.binary mul %e, %k : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %g = sd.unary tanh %f : (tensor<4xf32>) -> tensor<4xf32>
  %h = sd.binary add %one, %g : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %i = sd.binary mul %half, %x : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %y = sd.binary mul %i, %h : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// Another constant is another function.
// CHECK-LABEL: @no_gelu_tanh
// CHECK-NOT: sd.gelu_tanh
func.func @no_gelu_tanh(%x: tensor<4xf32>) -> tensor<4xf32> {
  %half = sd.constant dense<0.5> : tensor<f32>
  %one = sd.constant dense<1.0> : tensor<f32>
  %three = sd.constant dense<3.0> : tensor<f32>
  %c = sd.constant dense<0.05> : tensor<f32>
  %k = sd.constant dense<0.7978845608> : tensor<f32>
  %b = sd.binary pow %x, %three : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %d = sd.binary mul %c, %b : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %e = sd.binary add %d, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %f = sd.binary mul %e, %k : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %g = sd.unary tanh %f : (tensor<4xf32>) -> tensor<4xf32>
  %h = sd.binary add %one, %g : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %i = sd.binary mul %half, %x : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %y = sd.binary mul %i, %h : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}
