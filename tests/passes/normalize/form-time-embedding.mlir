// RUN: %sdopt-opt %s --sdopt-form-time-embedding --remarks-filter-missed=normalize --remark-format=emitRemark 2>&1 | FileCheck %s

// CHECK-DAG: the frequencies are not max_period^(-i / (half - shift)) within 1e-4
// CHECK-DAG: the other factor is not a column of timesteps

// Sine and cosine, then the halves swapped. 10000^(-i / 4).
// CHECK-LABEL: @swapped
// CHECK: %[[Y:.*]] = sd.time_embedding %arg0 {cos_first = true, frequency_shift = 0.000000e+00 : f64, max_period = 1.000000e+04 : f64}
// CHECK-NEXT: return %[[Y]]
func.func @swapped(%t: tensor<1xi64>) -> tensor<2x8xf32> {
  %f = sd.constant dense<[[1.0, 0.1, 0.01, 0.001]]> : tensor<1x4xf32>
  %a = sd.expand %t : tensor<1xi64> -> tensor<2xi64>
  %b = sd.reshape %a : tensor<2xi64> -> tensor<2x1xi64>
  %c = sd.cast %b : tensor<2x1xi64> -> tensor<2x1xf32>
  %d = sd.binary mul %c, %f : (tensor<2x1xf32>, tensor<1x4xf32>) -> tensor<2x4xf32>
  %e = sd.unary sin %d : (tensor<2x4xf32>) -> tensor<2x4xf32>
  %g = sd.unary cos %d : (tensor<2x4xf32>) -> tensor<2x4xf32>
  %h = sd.concat %e, %g {axis = -1 : i64} : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x8xf32>
  %r = sd.slice %h {starts = array<i64: 0, 4>, ends = array<i64: 2, 8>, steps = array<i64: 1, 1>} : (tensor<2x8xf32>) -> tensor<2x4xf32>
  %l = sd.slice %h {starts = array<i64: 0, 0>, ends = array<i64: 2, 4>, steps = array<i64: 1, 1>} : (tensor<2x8xf32>) -> tensor<2x4xf32>
  %y = sd.concat %r, %l {axis = 1 : i64} : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x8xf32>
  return %y : tensor<2x8xf32>
}

// 10000^(-i / (3 - 1)), sine first.
// CHECK-LABEL: @shifted
// CHECK: sd.time_embedding %arg0 {cos_first = false, frequency_shift = 1.000000e+00 : f64, max_period = 1.000000e+04 : f64}
func.func @shifted(%t: tensor<2xi64>) -> tensor<2x6xf32> {
  %f = sd.constant dense<[1.0, 0.01, 0.0001]> : tensor<3xf32>
  %b = sd.reshape %t : tensor<2xi64> -> tensor<2x1xi64>
  %c = sd.cast %b : tensor<2x1xi64> -> tensor<2x1xf32>
  %d = sd.binary mul %f, %c : (tensor<3xf32>, tensor<2x1xf32>) -> tensor<2x3xf32>
  %e = sd.unary sin %d : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %g = sd.unary cos %d : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %h = sd.concat %e, %g {axis = 1 : i64} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x6xf32>
  return %h : tensor<2x6xf32>
}

// CHECK-LABEL: @not_geometric
// CHECK: sd.concat
func.func @not_geometric(%t: tensor<2xi64>) -> tensor<2x6xf32> {
  %f = sd.constant dense<[1.0, 0.5, 0.2]> : tensor<3xf32>
  %b = sd.reshape %t : tensor<2xi64> -> tensor<2x1xi64>
  %c = sd.cast %b : tensor<2x1xi64> -> tensor<2x1xf32>
  %d = sd.binary mul %f, %c : (tensor<3xf32>, tensor<2x1xf32>) -> tensor<2x3xf32>
  %e = sd.unary sin %d : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %g = sd.unary cos %d : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %h = sd.concat %e, %g {axis = 1 : i64} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x6xf32>
  return %h : tensor<2x6xf32>
}

// Timesteps may be real; a reshape of theirs stays.
// CHECK-LABEL: @real_timesteps
// CHECK: %[[T:.*]] = sd.reshape %arg0 : tensor<2x1xf32> -> tensor<2xf32>
// CHECK: sd.time_embedding %[[T]] {cos_first = false, frequency_shift = 1.000000e+00 : f64, max_period = 1.000000e+04 : f64}
func.func @real_timesteps(%t: tensor<2x1xf32>) -> tensor<2x6xf32> {
  %f = sd.constant dense<[1.0, 0.01, 0.0001]> : tensor<3xf32>
  %d = sd.binary mul %f, %t : (tensor<3xf32>, tensor<2x1xf32>) -> tensor<2x3xf32>
  %e = sd.unary sin %d : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %g = sd.unary cos %d : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %h = sd.concat %e, %g {axis = 1 : i64} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x6xf32>
  return %h : tensor<2x6xf32>
}

// Sizes of a picture: two rows of three numbers are six timesteps.
// CHECK-LABEL: @sizes
// CHECK: %[[T:.*]] = sd.reshape %arg0 : tensor<2x3xf32> -> tensor<6xf32>
// CHECK: sd.time_embedding %[[T]] {{.*}} : (tensor<6xf32>) -> tensor<6x6xf32>
func.func @sizes(%t: tensor<2x3xf32>) -> tensor<6x6xf32> {
  %f = sd.constant dense<[1.0, 0.01, 0.0001]> : tensor<3xf32>
  %c = sd.reshape %t : tensor<2x3xf32> -> tensor<6x1xf32>
  %d = sd.binary mul %c, %f : (tensor<6x1xf32>, tensor<3xf32>) -> tensor<6x3xf32>
  %e = sd.unary sin %d : (tensor<6x3xf32>) -> tensor<6x3xf32>
  %g = sd.unary cos %d : (tensor<6x3xf32>) -> tensor<6x3xf32>
  %h = sd.concat %e, %g {axis = 1 : i64} : (tensor<6x3xf32>, tensor<6x3xf32>) -> tensor<6x6xf32>
  return %h : tensor<6x6xf32>
}

// A cast to integers cuts fractions off: it stays.
// CHECK-LABEL: @truncated
// CHECK: %[[C:.*]] = sd.cast %arg0 : tensor<2xf32> -> tensor<2xi64>
// CHECK: sd.time_embedding %[[C]]
func.func @truncated(%t: tensor<2xf32>) -> tensor<2x6xf32> {
  %f = sd.constant dense<[1.0, 0.01, 0.0001]> : tensor<3xf32>
  %a = sd.cast %t : tensor<2xf32> -> tensor<2xi64>
  %b = sd.cast %a : tensor<2xi64> -> tensor<2xf32>
  %c = sd.reshape %b : tensor<2xf32> -> tensor<2x1xf32>
  %d = sd.binary mul %c, %f : (tensor<2x1xf32>, tensor<3xf32>) -> tensor<2x3xf32>
  %e = sd.unary sin %d : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %g = sd.unary cos %d : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %h = sd.concat %e, %g {axis = 1 : i64} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x6xf32>
  return %h : tensor<2x6xf32>
}

// Three numbers, each for two rows: no timesteps of rows.
// CHECK-LABEL: @repeated
// CHECK-NOT: sd.time_embedding
func.func @repeated(%t: tensor<3xf32>) -> tensor<6x6xf32> {
  %f = sd.constant dense<[1.0, 0.01, 0.0001]> : tensor<3xf32>
  %a = sd.expand %t : tensor<3xf32> -> tensor<2x3xf32>
  %c = sd.reshape %a : tensor<2x3xf32> -> tensor<6x1xf32>
  %d = sd.binary mul %c, %f : (tensor<6x1xf32>, tensor<3xf32>) -> tensor<6x3xf32>
  %e = sd.unary sin %d : (tensor<6x3xf32>) -> tensor<6x3xf32>
  %g = sd.unary cos %d : (tensor<6x3xf32>) -> tensor<6x3xf32>
  %h = sd.concat %e, %g {axis = 1 : i64} : (tensor<6x3xf32>, tensor<6x3xf32>) -> tensor<6x6xf32>
  return %h : tensor<6x6xf32>
}
