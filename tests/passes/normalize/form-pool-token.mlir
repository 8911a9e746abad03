// RUN: %sdopt-opt %s --sdopt-form-pool-token --remarks-filter-missed=normalize --remark-format=emitRemark 2>&1 | FileCheck %s

// CHECK-DAG: the position is not arg_max(ids == token)
// CHECK-DAG: the row is not batch element * length + position

// CHECK-LABEL: @tuples
// CHECK: %[[Y:.*]] = sd.pool_token %arg0, %arg1 {token = 7 : i64}
// CHECK-NEXT: return %[[Y]]
func.func @tuples(%hidden: tensor<2x5x4xf32>, %ids: tensor<2x5xi64>) -> tensor<2x4xf32> {
  %batch = sd.constant dense<[[0], [1]]> : tensor<2x1xi64>
  %token = sd.constant dense<7> : tensor<i32>
  %a = sd.cast %ids : tensor<2x5xi64> -> tensor<2x5xi32>
  %b = sd.binary equal %a, %token : (tensor<2x5xi32>, tensor<i32>) -> tensor<2x5xi1>
  %c = sd.cast %b : tensor<2x5xi1> -> tensor<2x5xi32>
  %d = sd.arg_max %c {axis = -1 : i64, keep_dims = false, select_last = false} : (tensor<2x5xi32>) -> tensor<2xi64>
  %e = sd.reshape %d : tensor<2xi64> -> tensor<2x1xi64>
  %f = sd.concat %batch, %e {axis = -1 : i64} : (tensor<2x1xi64>, tensor<2x1xi64>) -> tensor<2x2xi64>
  %g = sd.gather_nd %hidden, %f {batch_dims = 0 : i64} : (tensor<2x5x4xf32>, tensor<2x2xi64>) -> tensor<2x4xf32>
  return %g : tensor<2x4xf32>
}

// CHECK-LABEL: @flattened
// CHECK: %[[Y:.*]] = sd.pool_token %arg0, %arg1 {token = 7 : i64}
// CHECK-NEXT: return %[[Y]]
func.func @flattened(%hidden: tensor<2x5x4xf32>, %ids: tensor<2x5xi64>) -> tensor<2x4xf32> {
  %offsets = sd.constant dense<[0, 5]> : tensor<2xi64>
  %token = sd.constant dense<7> : tensor<i64>
  %b = sd.binary equal %ids, %token : (tensor<2x5xi64>, tensor<i64>) -> tensor<2x5xi1>
  %c = sd.cast %b : tensor<2x5xi1> -> tensor<2x5xi32>
  %d = sd.arg_max %c {axis = 1 : i64, keep_dims = false, select_last = false} : (tensor<2x5xi32>) -> tensor<2xi64>
  %e = sd.binary add %d, %offsets : (tensor<2xi64>, tensor<2xi64>) -> tensor<2xi64>
  %f = sd.reshape %hidden : tensor<2x5x4xf32> -> tensor<10x4xf32>
  %g = sd.gather %f, %e {axis = 0 : i64} : (tensor<10x4xf32>, tensor<2xi64>) -> tensor<2x4xf32>
  return %g : tensor<2x4xf32>
}

// The largest id, which older CLIP models take for the end of text.
// CHECK-LABEL: @largest_id
// CHECK: sd.gather
func.func @largest_id(%hidden: tensor<1x5x4xf32>, %ids: tensor<1x5xi64>) -> tensor<1x4xf32> {
  %d = sd.arg_max %ids {axis = 1 : i64, keep_dims = false, select_last = false} : (tensor<1x5xi64>) -> tensor<1xi64>
  %f = sd.reshape %hidden : tensor<1x5x4xf32> -> tensor<5x4xf32>
  %g = sd.gather %f, %d {axis = 0 : i64} : (tensor<5x4xf32>, tensor<1xi64>) -> tensor<1x4xf32>
  return %g : tensor<1x4xf32>
}

// Both rows come from the first batch element.
// CHECK-LABEL: @wrong_offsets
// CHECK: sd.gather
func.func @wrong_offsets(%hidden: tensor<2x5x4xf32>, %ids: tensor<2x5xi64>) -> tensor<2x4xf32> {
  %offsets = sd.constant dense<0> : tensor<2xi64>
  %token = sd.constant dense<7> : tensor<i64>
  %b = sd.binary equal %ids, %token : (tensor<2x5xi64>, tensor<i64>) -> tensor<2x5xi1>
  %c = sd.cast %b : tensor<2x5xi1> -> tensor<2x5xi32>
  %d = sd.arg_max %c {axis = 1 : i64, keep_dims = false, select_last = false} : (tensor<2x5xi32>) -> tensor<2xi64>
  %e = sd.binary add %d, %offsets : (tensor<2xi64>, tensor<2xi64>) -> tensor<2xi64>
  %f = sd.reshape %hidden : tensor<2x5x4xf32> -> tensor<10x4xf32>
  %g = sd.gather %f, %e {axis = 0 : i64} : (tensor<10x4xf32>, tensor<2xi64>) -> tensor<2x4xf32>
  return %g : tensor<2x4xf32>
}
