// RUN: not %sdopt-opt %s --sdopt-check-normalized 2>&1 | FileCheck %s

// CHECK: error: the NPU cannot run 3 operations that are left after normalization:
// CHECK-SAME: sd.unary tanh x 2 at '/mid/Tanh', 'late'; sd.softmax x 1 at '/mid/Softmax'. It runs conv2d, linear,
// CHECK-NOT: error:
func.func @plain(%x: tensor<4xf32>) -> tensor<4xf32> {
  %a = sd.unary tanh %x : (tensor<4xf32>) -> tensor<4xf32> loc(#tanh)
  %b = sd.softmax %a {axis = 0 : i64} : (tensor<4xf32>) -> tensor<4xf32> loc(#softmax)
  %c = sd.unary tanh %b : (tensor<4xf32>) -> tensor<4xf32> loc("late")
  return %c : tensor<4xf32>
}
#tanh = loc("early"("/mid/Tanh"))
#softmax = loc("middle"("/mid/Softmax"))
