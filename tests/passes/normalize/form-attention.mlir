// RUN: %sdopt-opt %s --sdopt-form-attention --remarks-filter-missed=normalize --remark-format=emitRemark 2>&1 | FileCheck %s

// CHECK-DAG: the mask is neither zero nor causal
// CHECK-DAG: the mask is not constant
// CHECK-DAG: heads are not split from, and joined to, [batch, tokens, heads * width] or [batch, heads * width, tokens]

// The scale on queries and keys is 0.7071 each.
// CHECK-LABEL: @cross
// CHECK-NEXT: %[[Y:.*]] = sd.attention %arg0, %arg1, %arg2 {causal = false, heads = 2 : i64, scale = 5.0{{.*}}e-01 : f64}
// CHECK-NEXT: return %[[Y]]
func.func @cross(%q: tensor<1x6x8xf32>, %k: tensor<1x5x8xf32>, %v: tensor<1x5x8xf32>) -> tensor<1x6x8xf32> {
  %s = sd.constant dense<0.707106769> : tensor<f32>
  %q1 = sd.reshape %q : tensor<1x6x8xf32> -> tensor<1x6x2x4xf32>
  %q2 = sd.transpose %q1 [0, 2, 1, 3] : (tensor<1x6x2x4xf32>) -> tensor<1x2x6x4xf32>
  %q3 = sd.binary mul %q2, %s : (tensor<1x2x6x4xf32>, tensor<f32>) -> tensor<1x2x6x4xf32>
  %k1 = sd.reshape %k : tensor<1x5x8xf32> -> tensor<1x5x2x4xf32>
  %k2 = sd.transpose %k1 [0, 2, 3, 1] : (tensor<1x5x2x4xf32>) -> tensor<1x2x4x5xf32>
  %k3 = sd.binary mul %k2, %s : (tensor<1x2x4x5xf32>, tensor<f32>) -> tensor<1x2x4x5xf32>
  %v1 = sd.reshape %v : tensor<1x5x8xf32> -> tensor<1x5x2x4xf32>
  %v2 = sd.transpose %v1 [0, 2, 1, 3] : (tensor<1x5x2x4xf32>) -> tensor<1x2x5x4xf32>
  %a = sd.matmul %q3, %k3 : (tensor<1x2x6x4xf32>, tensor<1x2x4x5xf32>) -> tensor<1x2x6x5xf32>
  %b = sd.softmax %a {axis = -1 : i64} : (tensor<1x2x6x5xf32>) -> tensor<1x2x6x5xf32>
  %c = sd.matmul %b, %v2 : (tensor<1x2x6x5xf32>, tensor<1x2x5x4xf32>) -> tensor<1x2x6x4xf32>
  %d = sd.transpose %c [0, 2, 1, 3] : (tensor<1x2x6x4xf32>) -> tensor<1x6x2x4xf32>
  %e = sd.reshape %d : tensor<1x6x2x4xf32> -> tensor<1x6x8xf32>
  return %e : tensor<1x6x8xf32>
}

// Batch and heads in one dimension, scale on the scores.
// CHECK-LABEL: @merged
// CHECK-NEXT: %[[Y:.*]] = sd.attention %arg0, %arg1, %arg1 {causal = false, heads = 2 : i64, scale = 2.500000e-01 : f64}
// CHECK-NEXT: return %[[Y]]
func.func @merged(%q: tensor<3x6x8xf32>, %k: tensor<3x5x8xf32>) -> tensor<3x6x8xf32> {
  %s = sd.constant dense<4.0> : tensor<f32>
  %q1 = sd.reshape %q : tensor<3x6x8xf32> -> tensor<3x6x2x4xf32>
  %q2 = sd.transpose %q1 [0, 2, 1, 3] : (tensor<3x6x2x4xf32>) -> tensor<3x2x6x4xf32>
  %q3 = sd.reshape %q2 : tensor<3x2x6x4xf32> -> tensor<6x6x4xf32>
  %k1 = sd.reshape %k : tensor<3x5x8xf32> -> tensor<3x5x2x4xf32>
  %k2 = sd.transpose %k1 [0, 2, 1, 3] : (tensor<3x5x2x4xf32>) -> tensor<3x2x5x4xf32>
  %k3 = sd.reshape %k2 : tensor<3x2x5x4xf32> -> tensor<6x5x4xf32>
  %k4 = sd.transpose %k3 [0, 2, 1] : (tensor<6x5x4xf32>) -> tensor<6x4x5xf32>
  %a = sd.matmul %q3, %k4 : (tensor<6x6x4xf32>, tensor<6x4x5xf32>) -> tensor<6x6x5xf32>
  %a1 = sd.binary div %a, %s : (tensor<6x6x5xf32>, tensor<f32>) -> tensor<6x6x5xf32>
  %b = sd.softmax %a1 {axis = 2 : i64} : (tensor<6x6x5xf32>) -> tensor<6x6x5xf32>
  %c = sd.matmul %b, %k3 : (tensor<6x6x5xf32>, tensor<6x5x4xf32>) -> tensor<6x6x4xf32>
  %d = sd.reshape %c : tensor<6x6x4xf32> -> tensor<3x2x6x4xf32>
  %e = sd.transpose %d [0, 2, 1, 3] : (tensor<3x2x6x4xf32>) -> tensor<3x6x2x4xf32>
  %f = sd.reshape %e : tensor<3x6x2x4xf32> -> tensor<3x6x8xf32>
  return %f : tensor<3x6x8xf32>
}

// Of pictures, channels before pixels; the scale on queries and keys is 0.7071 each, before heads are split.
// CHECK-LABEL: @channels_first
// CHECK-DAG: %[[Q:.*]] = sd.transpose %arg0 [0, 2, 1]
// CHECK-DAG: %[[K:.*]] = sd.transpose %arg1 [0, 2, 1]
// CHECK-DAG: %[[V:.*]] = sd.transpose %arg2 [0, 2, 1]
// CHECK: %[[Y:.*]] = sd.attention %[[Q]], %[[K]], %[[V]] {causal = false, heads = 2 : i64, scale = 5.0{{.*}}e-01 : f64}
// CHECK-NEXT: %[[T:.*]] = sd.transpose %[[Y]] [0, 2, 1]
// CHECK-NEXT: %[[R:.*]] = sd.reshape %[[T]] : tensor<3x8x6xf32> -> tensor<3x8x2x3xf32>
// CHECK-NEXT: return %[[R]]
func.func @channels_first(%q: tensor<3x8x6xf32>, %k: tensor<3x8x6xf32>, %v: tensor<3x8x6xf32>) -> tensor<3x8x2x3xf32> {
  %s = sd.constant dense<0.707106769> : tensor<f32>
  %q1 = sd.binary mul %q, %s : (tensor<3x8x6xf32>, tensor<f32>) -> tensor<3x8x6xf32>
  %q2 = sd.reshape %q1 : tensor<3x8x6xf32> -> tensor<6x4x6xf32>
  %q3 = sd.transpose %q2 [0, 2, 1] : (tensor<6x4x6xf32>) -> tensor<6x6x4xf32>
  %k1 = sd.binary mul %k, %s : (tensor<3x8x6xf32>, tensor<f32>) -> tensor<3x8x6xf32>
  %k2 = sd.reshape %k1 : tensor<3x8x6xf32> -> tensor<6x4x6xf32>
  %a = sd.matmul %q3, %k2 : (tensor<6x6x4xf32>, tensor<6x4x6xf32>) -> tensor<6x6x6xf32>
  %b = sd.softmax %a {axis = -1 : i64} : (tensor<6x6x6xf32>) -> tensor<6x6x6xf32>
  %v1 = sd.reshape %v : tensor<3x8x6xf32> -> tensor<6x4x6xf32>
  %v2 = sd.transpose %v1 [0, 2, 1] : (tensor<6x4x6xf32>) -> tensor<6x6x4xf32>
  %c = sd.matmul %b, %v2 : (tensor<6x6x6xf32>, tensor<6x6x4xf32>) -> tensor<6x6x4xf32>
  %d = sd.transpose %c [0, 2, 1] : (tensor<6x6x4xf32>) -> tensor<6x4x6xf32>
  %e = sd.reshape %d : tensor<6x4x6xf32> -> tensor<3x8x6xf32>
  %f = sd.reshape %e : tensor<3x8x6xf32> -> tensor<3x8x2x3xf32>
  return %f : tensor<3x8x2x3xf32>
}

// One head: no transposes at all but that of the keys.
// CHECK-LABEL: @single_head
// CHECK-NEXT: %[[Y:.*]] = sd.attention %arg0, %arg0, %arg0 {causal = false, heads = 1 : i64, scale = 1.000000e+00 : f64}
// CHECK-NEXT: return %[[Y]]
func.func @single_head(%x: tensor<1x6x8xf32>) -> tensor<1x6x8xf32> {
  %q = sd.reshape %x : tensor<1x6x8xf32> -> tensor<1x1x6x8xf32>
  %k = sd.transpose %q [0, 1, 3, 2] : (tensor<1x1x6x8xf32>) -> tensor<1x1x8x6xf32>
  %a = sd.matmul %q, %k : (tensor<1x1x6x8xf32>, tensor<1x1x8x6xf32>) -> tensor<1x1x6x6xf32>
  %b = sd.softmax %a {axis = 3 : i64} : (tensor<1x1x6x6xf32>) -> tensor<1x1x6x6xf32>
  %c = sd.matmul %b, %q : (tensor<1x1x6x6xf32>, tensor<1x1x6x8xf32>) -> tensor<1x1x6x8xf32>
  %d = sd.reshape %c : tensor<1x1x6x8xf32> -> tensor<1x6x8xf32>
  return %d : tensor<1x6x8xf32>
}

// CHECK-LABEL: @causal
// CHECK-NEXT: %[[Y:.*]] = sd.attention %arg0, %arg0, %arg0 {causal = true, heads = 2 : i64, scale = 1.000000e+00 : f64}
// CHECK-NEXT: return %[[Y]]
func.func @causal(%x: tensor<1x3x4xf32>) -> tensor<1x3x4xf32> {
  %mask = sd.constant dense<[[0.0, 0xFF800000, -3.0e+38], [0.0, 0.0, -1.0e+04], [0.0, 0.0, 0.0]]> : tensor<3x3xf32>
  %q1 = sd.reshape %x : tensor<1x3x4xf32> -> tensor<1x3x2x2xf32>
  %q = sd.transpose %q1 [0, 2, 1, 3] : (tensor<1x3x2x2xf32>) -> tensor<1x2x3x2xf32>
  %k = sd.transpose %q1 [0, 2, 3, 1] : (tensor<1x3x2x2xf32>) -> tensor<1x2x2x3xf32>
  %a = sd.matmul %q, %k : (tensor<1x2x3x2xf32>, tensor<1x2x2x3xf32>) -> tensor<1x2x3x3xf32>
  %m = sd.binary add %a, %mask : (tensor<1x2x3x3xf32>, tensor<3x3xf32>) -> tensor<1x2x3x3xf32>
  %b = sd.softmax %m {axis = -1 : i64} : (tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  %c = sd.matmul %b, %q : (tensor<1x2x3x3xf32>, tensor<1x2x3x2xf32>) -> tensor<1x2x3x2xf32>
  %d = sd.transpose %c [0, 2, 1, 3] : (tensor<1x2x3x2xf32>) -> tensor<1x3x2x2xf32>
  %e = sd.reshape %d : tensor<1x3x2x2xf32> -> tensor<1x3x4xf32>
  return %e : tensor<1x3x4xf32>
}

// The second query may not look at the first key.
// CHECK-LABEL: @other_mask
// CHECK: sd.softmax
func.func @other_mask(%x: tensor<1x2x4xf32>) -> tensor<1x2x4xf32> {
  %mask = sd.constant dense<[[0.0, -1.0e+05], [-1.0e+05, 0.0]]> : tensor<2x2xf32>
  %k = sd.transpose %x [0, 2, 1] : (tensor<1x2x4xf32>) -> tensor<1x4x2xf32>
  %a = sd.matmul %x, %k : (tensor<1x2x4xf32>, tensor<1x4x2xf32>) -> tensor<1x2x2xf32>
  %m = sd.binary add %a, %mask : (tensor<1x2x2xf32>, tensor<2x2xf32>) -> tensor<1x2x2xf32>
  %b = sd.softmax %m {axis = -1 : i64} : (tensor<1x2x2xf32>) -> tensor<1x2x2xf32>
  %c = sd.matmul %b, %x : (tensor<1x2x2xf32>, tensor<1x2x4xf32>) -> tensor<1x2x4xf32>
  return %c : tensor<1x2x4xf32>
}

// CHECK-LABEL: @mask_argument
// CHECK: sd.softmax
func.func @mask_argument(%x: tensor<1x2x4xf32>, %mask: tensor<2x2xf32>) -> tensor<1x2x4xf32> {
  %k = sd.transpose %x [0, 2, 1] : (tensor<1x2x4xf32>) -> tensor<1x4x2xf32>
  %a = sd.matmul %x, %k : (tensor<1x2x4xf32>, tensor<1x4x2xf32>) -> tensor<1x2x2xf32>
  %m = sd.binary add %a, %mask : (tensor<1x2x2xf32>, tensor<2x2xf32>) -> tensor<1x2x2xf32>
  %b = sd.softmax %m {axis = -1 : i64} : (tensor<1x2x2xf32>) -> tensor<1x2x2xf32>
  %c = sd.matmul %b, %x : (tensor<1x2x2xf32>, tensor<1x2x4xf32>) -> tensor<1x2x4xf32>
  return %c : tensor<1x2x4xf32>
}

// Heads are split as [width, heads].
// CHECK-LABEL: @interleaved
// CHECK: sd.softmax
func.func @interleaved(%x: tensor<1x3x4xf32>) -> tensor<1x3x4xf32> {
  %q1 = sd.reshape %x : tensor<1x3x4xf32> -> tensor<1x3x2x2xf32>
  %q = sd.transpose %q1 [0, 3, 1, 2] : (tensor<1x3x2x2xf32>) -> tensor<1x2x3x2xf32>
  %k = sd.transpose %q1 [0, 3, 2, 1] : (tensor<1x3x2x2xf32>) -> tensor<1x2x2x3xf32>
  %a = sd.matmul %q, %k : (tensor<1x2x3x2xf32>, tensor<1x2x2x3xf32>) -> tensor<1x2x3x3xf32>
  %b = sd.softmax %a {axis = -1 : i64} : (tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  %c = sd.matmul %b, %q : (tensor<1x2x3x3xf32>, tensor<1x2x3x2xf32>) -> tensor<1x2x3x2xf32>
  %d = sd.transpose %c [0, 2, 1, 3] : (tensor<1x2x3x2xf32>) -> tensor<1x3x2x2xf32>
  %e = sd.reshape %d : tensor<1x3x2x2xf32> -> tensor<1x3x4xf32>
  return %e : tensor<1x3x4xf32>
}
