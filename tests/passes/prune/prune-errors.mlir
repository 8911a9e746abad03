// RUN: split-file %s %t
// RUN: %sdopt-opt %t/ops.mlir --split-input-file --verify-diagnostics
// RUN: %sdopt-opt %t/recipe.mlir --verify-diagnostics --sdopt-prune
// RUN: %sdopt-opt %t/samples.mlir --verify-diagnostics --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/methods.yaml},func.func(sdopt-prune))"
// RUN: %sdopt-opt %t/pattern.mlir --verify-diagnostics --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/pattern.yaml},func.func(sdopt-prune))"
// RUN: %sdopt-opt %t/global.mlir --verify-diagnostics --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/global.yaml},func.func(sdopt-prune))"
// RUN: %sdopt-opt %t/layer.mlir --verify-diagnostics --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/layer.yaml},func.func(sdopt-prune))"
// RUN: %sdopt-opt %t/threshold.mlir --verify-diagnostics --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/threshold.yaml},func.func(sdopt-prune))"
// RUN: %sdopt-opt %t/finite.mlir --verify-diagnostics --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/magnitude.yaml},func.func(sdopt-prune))"

//--- ops.mlir
func.func @type(%w: tensor<8xf32>, %m: tensor<1xi8>) {
  // expected-error@+1 {{'sd.prune_weight' op needs float weights of 2 or 4 dimensions, not 'tensor<8xf32>'}}
  %p = sd.prune_weight %w mask %m : (tensor<8xf32>, tensor<1xi8>) -> tensor<8xf32>
  return
}

// -----
func.func @mask(%w: tensor<3x3xf32>, %m: tensor<9xi8>) {
  // expected-error@+1 {{'sd.prune_weight' op mask is 'tensor<9xi8>' but must be 'tensor<2xi8>'}}
  %p = sd.prune_weight %w mask %m : (tensor<3x3xf32>, tensor<9xi8>) -> tensor<3x3xf32>
  return
}

// -----
func.func @values(%w: tensor<3x3xf32>, %m: tensor<2xi8>, %v: tensor<9xf32>) {
  // expected-error@+1 {{'sd.prune_weight' op needs values and a result of the weights' type 'tensor<3x3xf32>'}}
  %p = sd.prune_weight %w mask %m values %v : (tensor<3x3xf32>, tensor<2xi8>, tensor<9xf32>) -> tensor<3x3xf32>
  return
}

//--- recipe.mlir
// expected-error@+1 {{'func.func' op needs a recipe to be pruned}}
func.func @no_recipe(%x: tensor<1x4xf32> {sd.name = "x"}) -> tensor<1x4xf32> {
  return %x : tensor<1x4xf32>
}

//--- samples.mlir
// expected-error@+1 {{'func.func' op has layers whose 'prune' needs recorded inputs: give --samples, or a recipe with 'prune: magnitude'}}
func.func @no_samples(%x: tensor<2x4xf32> {sd.name = "x"}) -> tensor<2x4xf32> {
  %w = sd.constant dense<0.5> : tensor<4x4xf32>
  %y = sd.linear %x, %w : (tensor<2x4xf32>, tensor<4x4xf32>) -> tensor<2x4xf32> loc("swept")
  return %y : tensor<2x4xf32>
}

//--- pattern.mlir
func.func @few_inputs(%x: tensor<2x1xf32> {sd.name = "x"}) -> tensor<2x4xf32> {
  %w = sd.constant dense<0.5> : tensor<4x1xf32>
  // expected-error@unknown {{'sd.linear' op has 1 input channel, fewer than the 8 of 'sparsity: 2:8'; give it another sparsity, or 'prune: none'}}
  %y = sd.linear %x, %w : (tensor<2x1xf32>, tensor<4x1xf32>) -> tensor<2x4xf32> loc("y")
  return %y : tensor<2x4xf32>
}

//--- global.mlir
func.func @global(%x: tensor<2x4xf32> {sd.name = "x"}) -> tensor<2x4xf32> {
  %w = sd.constant dense<0.5> : tensor<4x4xf32>
  // expected-error@unknown {{'sd.linear' op cannot have 'prune_scope: global' with 'prune: sparsegpt', whose scores mean nothing beside another layer's}}
  %y = sd.linear %x, %w : (tensor<2x4xf32>, tensor<4x4xf32>) -> tensor<2x4xf32> loc("y")
  return %y : tensor<2x4xf32>
}

//--- layer.mlir
func.func @layer(%x: tensor<2x4xf32> {sd.name = "x"}) -> tensor<2x4xf32> {
  %w = sd.constant dense<0.5> : tensor<4x4xf32>
  // expected-error@unknown {{'sd.linear' op cannot have 'prune_scope: layer' with 'sparsity: 2:4', which holds in each output channel}}
  %y = sd.linear %x, %w : (tensor<2x4xf32>, tensor<4x4xf32>) -> tensor<2x4xf32> loc("y")
  return %y : tensor<2x4xf32>
}

//--- threshold.mlir
func.func @threshold(%x: tensor<2x4xf32> {sd.name = "x"}) -> tensor<2x4xf32> {
  %w = sd.constant dense<0.5> : tensor<4x4xf32>
  // expected-error@unknown {{'sd.linear' op cannot have 'prune_scope: threshold', which is Wanda's search, with 'prune: magnitude'}}
  %y = sd.linear %x, %w : (tensor<2x4xf32>, tensor<4x4xf32>) -> tensor<2x4xf32> loc("y")
  return %y : tensor<2x4xf32>
}

//--- finite.mlir
func.func @not_finite(%x: tensor<2x4xf32> {sd.name = "x"}) -> tensor<2x4xf32> {
  %w = sd.constant dense<0x7F800000> : tensor<4x4xf32>
  // expected-error@unknown {{'sd.linear' op weight element 0 is not finite}}
  %y = sd.linear %x, %w : (tensor<2x4xf32>, tensor<4x4xf32>) -> tensor<2x4xf32> loc("last")
  return %y : tensor<2x4xf32>
}
