//===- SdOps.td - operations of the sd dialect ------------------*- tablegen -*-===//
//
// Constraint labels (C1, ...) are those of docs/spec.md and of the verifier's messages' tests.
// The running example is a 4-channel picture of 8 x 6 pixels.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_DIALECTS_SD_SDOPS_TD
#define SDOPT_DIALECTS_SD_SDOPS_TD

include "dialects/sd/SdBase.td"
include "dialects/sd/EvaluationInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Sd_Tensor : StaticShapeTensorOf<[AnyType]>;

class Sd_Op<string mnemonic, list<Trait> traits = []>
    : Op<Sd_Dialect, mnemonic, traits # [Pure, InferTypeOpAdaptor]> {
  // A result's shape follows from the operands; its element type (float or quantized) may be set.
  let extraClassDeclaration = [{
    static bool isCompatibleReturnTypes(::mlir::TypeRange inferred, ::mlir::TypeRange actual) {
      return ::sdopt::sd::haveSameShapes(inferred, actual);
    }
  }];
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

def Sd_WeightOp : Op<Sd_Dialect, "weight", [Pure]> {
  let summary = "a tensor of the weight store";
  let description = [{
    Reads the entry `key`; `digest` (BLAKE3 of type, shape and bytes) must be that of the entry. Floating-point
    entries of any width are read as f32.

    ```mlir
    %w = sd.weight "unet.conv_in.weight" digest "5f1c..." : tensor<4x4x3x3xf32>
    ```
  }];
  let arguments = (ins StrAttr:$key, StrAttr:$digest);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$key `digest` $digest attr-dict `:` type($result)";
}

def Sd_ConstantOp : Op<Sd_Dialect, "constant", [Pure, AllTypesMatch<["value", "result"]>]> {
  let summary = "a few numbers";
  let description = "At most 64 elements (C1): larger constants live in the weight store.";
  let arguments = (ins ElementsAttr:$value);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "attr-dict $value";
  let hasVerifier = 1;
}

def Sd_PruneWeightOp : Op<Sd_Dialect, "prune_weight", [Pure]> {
  let summary = "weights of which some are exactly 0";
  let description = [{
    Keeps the weights whose bit of the mask is 1; the others are +0. Bit i of the mask, in the order of the weights' elements, is bit
    i % 8 of byte i / 8. `values` are what the kept ones become; the weights themselves stay in sight of what compares with them. 0
    is a code of every quantization (`sd.quantize_weight`): where a weight is 0, code and zero point are equal. C1: weights are floats
    [o, i] or [o, i, kh, kw]. C2: the mask has one byte for 8 weights or a part of them. C3: values and result have the type
    of the weights.

    ```mlir
    %p = sd.prune_weight %w mask %bits : (tensor<4x4x3x3xf32>, tensor<18xi8>) -> tensor<4x4x3x3xf32>
    ```
  }];
  let arguments = (ins Sd_Tensor:$weight, Sd_Tensor:$mask, Optional<Sd_Tensor>:$values);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = [{
    $weight `mask` $mask (`values` $values^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Sd_QuantizeWeightOp : Op<Sd_Dialect, "quantize_weight", [Pure, AttrSizedResultSegments]> {
  let summary = "integer codes and one scale per output channel";
  let description = [{
    With 8 bits, for each index o along `axis`: scale[o] from the largest magnitude (`minmax`) or the clipping with the least
    squared error (`mse`), codes = round half up of w / scale[o], clamped to [-127, 127]. An all-zero channel has scale 1.
    With the mean of each input channel, `correction` is what the codes take from the mean of each output: added to the
    bias it brings it back (M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
    ICCV 2019, section 4.2). With `one_scale` all channels have the scale that suits them together.

    ```mlir
    %codes, %scales = sd.quantize_weight %w {axis = 0 : i64, bits = 8 : i64, range = 1 : i32}
      : tensor<4x4x3x3xf32> -> tensor<4x4x3x3xi8>, tensor<4xf32>
    ```

    With 2 to 7 bits the codes are those of `sd.decode_weight`, in -2^(bits-1) ... 2^(bits-1) - 1. Up to `group_size` input
    channels at one tap, or at all taps with `shared_taps`, are a group with an integer scale of 1 to 16; without
    `symmetric` it has a zero point too. `group_size` 0: one group, whose scale is 1 if it is symmetric.
    C1: groups and zero points need fewer than 8 bits and axis 0. C2: group scales and zero points are
    [o, kh, kw, groups], or [o, 1, 1, groups] where all taps share them.

    ```mlir
    %codes, %scales, %groups = sd.quantize_weight %w {axis = 0 : i64, bits = 4 : i64, group_size = 64 : i64, range = 1 : i32}
      : tensor<8x96x3x3xf32> -> tensor<8x96x3x3xi8>, tensor<8xf32> groups tensor<8x3x3x2xi8>
    ```
  }];
  let arguments = (ins Sd_Tensor:$weight, Optional<Sd_Tensor>:$means, I64Attr:$axis, I64Attr:$bits,
                       Sd_RangeEstimator:$range, DefaultValuedAttr<I64Attr, "0">:$group_size,
                       DefaultValuedAttr<BoolAttr, "true">:$symmetric, DefaultValuedAttr<BoolAttr, "false">:$shared_taps,
                       DefaultValuedAttr<BoolAttr, "false">:$one_scale);
  let results = (outs Sd_Tensor:$codes, Sd_Tensor:$scales, Optional<Sd_Tensor>:$group_scales,
                      Optional<Sd_Tensor>:$zero_points, Optional<Sd_Tensor>:$correction);
  let assemblyFormat = [{
    $weight (`means` $means^)? attr-dict `:` type($weight) (`means` type($means)^)?
    `->` type($codes) `,` type($scales) (`groups` type($group_scales)^)? (`zeros` type($zero_points)^)?
    (`,` type($correction)^)?
  }];
  let hasVerifier = 1;
}

def Sd_ShareWeightOp : Op<Sd_Dialect, "share_weight", [Pure, AttrSizedOperandSegments]> {
  let summary = "indices of the few values that weights share";
  let description = [{
    Weight sharing: codes are indices of the 2^bits int8 entries of a palette, of which up to `palette_outputs` output
    channels have one (0: all), and weight = entry * scale[o]. Entries have the least squared error that int8 entries can have
    under the channels' scales, weighted by `importance` for each input channel. With `with_zero` 0 is an entry, and weights
    that are 0 mean it. With `coded_bits` entries are multiples of one number, as near to each other as lets the
    indices carry at most so many bits each, to be entropy-coded. The correction is that of
    `sd.quantize_weight`. C1: 1 to 8 bits; `coded_bits` is 0, or above 0 and at most 8. C2: weights of 2 or 4 dimensions.

    ```mlir
    %codes, %scales, %palettes = sd.share_weight %w importance %i {bits = 4 : i64}
      : tensor<8x96x3x3xf32> importance tensor<96xf32> -> tensor<8x96x3x3xi8>, tensor<8xf32>, tensor<1x16xi8>
    ```
  }];
  let arguments = (ins Sd_Tensor:$weight, Optional<Sd_Tensor>:$importance, Optional<Sd_Tensor>:$means, I64Attr:$bits,
                       DefaultValuedAttr<I64Attr, "0">:$palette_outputs, DefaultValuedAttr<BoolAttr, "false">:$with_zero,
                       DefaultValuedAttr<BoolAttr, "false">:$one_scale, DefaultValuedAttr<F64Attr, "0.0">:$coded_bits);
  let results = (outs Sd_Tensor:$codes, Sd_Tensor:$scales, Sd_Tensor:$palettes, Optional<Sd_Tensor>:$correction);
  let assemblyFormat = [{
    $weight (`importance` $importance^)? (`means` $means^)? attr-dict `:` type($weight) (`importance` type($importance)^)?
    (`means` type($means)^)? `->` type($codes) `,` type($scales) `,` type($palettes) (`,` type($correction)^)?
  }];
  let hasVerifier = 1;
}

def Sd_DecodeWeightOp : Op<Sd_Dialect, "decode_weight", [Pure, AttrSizedOperandSegments]> {
  let summary = "int8 weights of narrower codes";
  let description = [{
    weight = clamp((code - zero point) * group scale, -128, 127), with the scale and zero point of the code's group
    (`sd.quantize_weight`); a missing scale is 1, a missing zero point 0. With palettes (`sd.share_weight`) the weight is the
    entry at the code, an unsigned index, of the output channel's palette. `axis` is the dimension of the input channels: 1 as
    the model has them, or the last. Matrix layers read the result, and the package stores the codes. C1: 2 to 8 bits, 1 to 8
    with palettes; `group_size` is 0 or 16 to 256. C2: zero points come with scales of the same shape, [o, kh, kw, groups] or
    [o, 1, 1, groups]. C3: palettes come without groups and zero points.

    ```mlir
    %w8 = sd.decode_weight %codes groups %groups {axis = 1 : i64, bits = 4 : i64, group_size = 64 : i64}
      : (tensor<8x96x3x3xi8>, tensor<8x3x3x2xi8>) -> tensor<8x96x3x3xi8>
    %shared = sd.decode_weight %indices palettes %palettes {axis = 1 : i64, bits = 4 : i64}
      : (tensor<8x96x3x3xi8>, tensor<1x16xi8>) -> tensor<8x96x3x3xi8>
    ```
  }];
  let arguments = (ins Sd_Tensor:$codes, Optional<Sd_Tensor>:$group_scales, Optional<Sd_Tensor>:$zero_points,
                       Optional<Sd_Tensor>:$palettes, I64Attr:$axis, I64Attr:$bits,
                       DefaultValuedAttr<I64Attr, "0">:$group_size, DefaultValuedAttr<BoolAttr, "false">:$shared_taps,
                       DefaultValuedAttr<I64Attr, "0">:$palette_outputs);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = [{
    $codes (`groups` $group_scales^)? (`zeros` $zero_points^)? (`palettes` $palettes^)? attr-dict `:`
    functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Plain operators
//===----------------------------------------------------------------------===//

def Sd_UnaryOp : Sd_Op<"unary"> {
  let summary = "function of each element";
  let arguments = (ins Sd_UnaryFunction:$function, Sd_Tensor:$input);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$function $input attr-dict `:` functional-type(operands, results)";
}

def Sd_BinaryOp : Sd_Op<"binary"> {
  let summary = "function of two tensors, element by element, with NumPy broadcasting";
  let description = "C1: element types of the operands are equal. C2: shapes broadcast. Comparisons give i1.";
  let arguments = (ins Sd_BinaryFunction:$function, Sd_Tensor:$lhs, Sd_Tensor:$rhs);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$function $lhs `,` $rhs attr-dict `:` functional-type(operands, results)";
}

def Sd_WhereOp : Sd_Op<"where"> {
  let summary = "choice between two tensors, element by element, with broadcasting";
  let arguments = (ins Sd_Tensor:$condition, Sd_Tensor:$lhs, Sd_Tensor:$rhs);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$condition `,` $lhs `,` $rhs attr-dict `:` functional-type(operands, results)";
}

def Sd_CastOp : Op<Sd_Dialect, "cast", [Pure, SameOperandsAndResultShape]> {
  let summary = "change of the element type";
  let arguments = (ins Sd_Tensor:$input);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
}

def Sd_ReshapeOp : Op<Sd_Dialect, "reshape", [Pure]> {
  let summary = "the same elements in another shape";
  let description = "C1: as many elements. C2: quantized types are equal.";
  let arguments = (ins Sd_Tensor:$input);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Sd_TransposeOp : Sd_Op<"transpose"> {
  let summary = "permutation of the dimensions";
  let description = "result.dim(i) = input.dim(permutation[i]). C1: `permutation` is one of 0 .. rank-1.";
  let arguments = (ins Sd_Tensor:$input, DenseI64ArrayAttr:$permutation);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input $permutation attr-dict `:` functional-type(operands, results)";
  let hasFolder = 1;
}

def Sd_ConcatOp : Sd_Op<"concat"> {
  let summary = "joins tensors along one dimension";
  let description = [{
    C1: shapes are equal but for `axis`. C2: of floats and codes, part p may count 2^exponents[p] times: one exponent for each part, within
    [-24, 24]. Quantized: each part is brought to the result's scale with one rounding.
  }];
  let arguments = (ins Variadic<Sd_Tensor>:$parts, I64Attr:$axis, OptionalAttr<DenseI64ArrayAttr>:$exponents);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$parts attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Sd_SliceOp : Sd_Op<"slice"> {
  let summary = "every step-th element from start up to end, in each dimension";
  let description = "C1: one start, end and step for each dimension, clamped as NumPy does; steps are not zero.";
  let arguments = (ins Sd_Tensor:$input, DenseI64ArrayAttr:$starts, DenseI64ArrayAttr:$ends, DenseI64ArrayAttr:$steps);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` functional-type(operands, results)";
}

def Sd_GatherOp : Sd_Op<"gather"> {
  let summary = "entries along one dimension, by index";
  let arguments = (ins Sd_Tensor:$input, Sd_Tensor:$indices, I64Attr:$axis);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input `,` $indices attr-dict `:` functional-type(operands, results)";
}

def Sd_GatherNdOp : Sd_Op<"gather_nd"> {
  let summary = "slices by index tuples (ONNX GatherND)";
  let arguments = (ins Sd_Tensor:$input, Sd_Tensor:$indices, I64Attr:$batch_dims);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input `,` $indices attr-dict `:` functional-type(operands, results)";
}

def Sd_ExpandOp : Op<Sd_Dialect, "expand", [Pure]> {
  let summary = "broadcasts to a larger shape";
  let description = "C1: the input's shape broadcasts to the result's.";
  let arguments = (ins Sd_Tensor:$input);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Sd_PadOp : Sd_Op<"pad"> {
  let summary = "constant border";
  let description = "C1: one `before` and `after` for each dimension; negative ones crop. C2: result dimensions are positive.";
  let arguments = (ins Sd_Tensor:$input, DenseI64ArrayAttr:$before, DenseI64ArrayAttr:$after, F64Attr:$value);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` functional-type(operands, results)";
}

def Sd_SoftmaxOp : Sd_Op<"softmax"> {
  let summary = "exp(x - max) / sum over one dimension";
  let arguments = (ins Sd_Tensor:$input, I64Attr:$axis);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` functional-type(operands, results)";
}

def Sd_ArgMaxOp : Sd_Op<"arg_max"> {
  let summary = "index of the largest element along one dimension (i64)";
  let arguments = (ins Sd_Tensor:$input, I64Attr:$axis, BoolAttr:$keep_dims, BoolAttr:$select_last);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` functional-type(operands, results)";
}

def Sd_ReduceOp : Sd_Op<"reduce"> {
  let summary = "sum, mean, max, min or product over dimensions";
  let arguments = (ins Sd_Reduction:$function, Sd_Tensor:$input, DenseI64ArrayAttr:$axes, BoolAttr:$keep_dims);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$function $input attr-dict `:` functional-type(operands, results)";
}

def Sd_MatmulOp : Sd_Op<"matmul"> {
  let summary = "matrix product of two activations, leading dimensions broadcast";
  let description = "C1: both ranks are at least 2. C2: inner dimensions are equal. C3: leading dimensions broadcast.";
  let arguments = (ins Sd_Tensor:$lhs, Sd_Tensor:$rhs);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` functional-type(operands, results)";
}

//===----------------------------------------------------------------------===//
// Named operators
//===----------------------------------------------------------------------===//

def Sd_Conv2dOp : Sd_Op<"conv2d", [AttrSizedOperandSegments]> {
  let summary = "two-dimensional convolution with constant weights";
  let description = [{
    weights are [co, ci / groups, kh, kw]; float, or int8 codes with `weight_scales` [co]. `padding` is top, left, bottom,
    right. C1: ci of the input is groups * ci of the weights, co is a multiple of groups. C2: strides and dilations are
    positive, padding is not negative. C3: the result has at least one pixel. C4: bias is [co]. C5: codes come with scales [co], floats without.
    `tap_shifts` make the integer form by F(4x4, 3x3), rounded (docs/spec.md, section 8). C7: they are given only to quantized
    convolutions of a 3x3 window with strides and dilations of 1 and one group.

    ```mlir
    %y = sd.conv2d %x, %w bias %b {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>,
           padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64}
      : (tensor<1x8x6x4xf32>, tensor<4x4x3x3xf32>, tensor<4xf32>) -> tensor<1x8x6x4xf32>
    ```
  }];
  let arguments = (ins Sd_Tensor:$input, Sd_Tensor:$weights, Optional<Sd_Tensor>:$weight_scales, Optional<Sd_Tensor>:$bias,
                       Sd_Layout:$layout, DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$dilations,
                       DenseI64ArrayAttr:$padding, I64Attr:$groups, OptionalAttr<Sd_TapShiftsAttr>:$tap_shifts);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = [{
    $input `,` $weights (`scales` $weight_scales^)? (`bias` $bias^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Sd_LinearOp : Sd_Op<"linear", [AttrSizedOperandSegments]> {
  let summary = "y = x W^T + b over the last dimension, with constant weights";
  let description = [{
    weights are [n, k]; float, or int8 codes with `weight_scales` [n]. C1: the last dimension of the input is k. C2: bias is [n].
    C3: codes come with scales [n], floats without.
  }];
  let arguments = (ins Sd_Tensor:$input, Sd_Tensor:$weights, Optional<Sd_Tensor>:$weight_scales, Optional<Sd_Tensor>:$bias);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = [{
    $input `,` $weights (`scales` $weight_scales^)? (`bias` $bias^)? attr-dict `:` functional-type(operands, results)
  }];
}

def Sd_GroupNormOp : Sd_Op<"group_norm"> {
  let summary = "normalization over space and groups of channels, per picture";
  let description = [{
    y = (x - mean) / sqrt(variance + epsilon) * gamma[c] + beta[c]. The input has rank 3 or more; channels are dimension 1
    (nchw) or the last (nhwc). C1: groups divides the channels. C2: gamma and beta are [channels]. C3: epsilon is not negative.
  }];
  let arguments = (ins Sd_Tensor:$input, Sd_Tensor:$gamma, Sd_Tensor:$beta, I64Attr:$groups, F64Attr:$epsilon, Sd_Layout:$layout);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input `,` $gamma `,` $beta attr-dict `:` functional-type(operands, results)";
}

def Sd_LayerNormOp : Sd_Op<"layer_norm"> {
  let summary = "normalization over the last dimension";
  let description = "C1: gamma and beta are [channels]. C2: epsilon is not negative.";
  let arguments = (ins Sd_Tensor:$input, Sd_Tensor:$gamma, Optional<Sd_Tensor>:$beta, F64Attr:$epsilon);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input `,` $gamma (`,` $beta^)? attr-dict `:` functional-type(operands, results)";
}

def Sd_RmsNormOp : Sd_Op<"rms_norm"> {
  let summary = "division by the root mean square of the last dimension";
  let description = "y = x / sqrt(mean(x^2) + epsilon) * gamma[c]. C1: gamma is [channels]. C2: epsilon is not negative.";
  let arguments = (ins Sd_Tensor:$input, Sd_Tensor:$gamma, F64Attr:$epsilon);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input `,` $gamma attr-dict `:` functional-type(operands, results)";
}

def Sd_ModulateOp : Sd_Op<"modulate"> {
  let summary = "gain and offset for each channel of a batch element: adaptive norms, gates";
  let description = [{
    y = x * (offset + scale) + shift, where scale and shift have one row for all rows of a batch element; shift may be missing (0).
    C1: input [b, ..., c], scale and shift [b, 1, ..., 1, c] of the same rank, at least 2. C2: offset is in [0, 2^20].

    ```mlir
    %y = sd.modulate %x by %scale plus %shift {offset = 1.0 : f64}
      : (tensor<2x48x4xf32>, tensor<2x1x4xf32>, tensor<2x1x4xf32>) -> tensor<2x48x4xf32>
    ```
  }];
  let arguments = (ins Sd_Tensor:$input, Sd_Tensor:$scale, Optional<Sd_Tensor>:$shift, F64Attr:$offset);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input `by` $scale (`plus` $shift^)? attr-dict `:` functional-type(operands, results)";
}

def Sd_AttentionOp : Sd_Op<"attention"> {
  let summary = "softmax(scale q k^T) v, for each head";
  let description = [{
    query [b, tq, heads*d], key and value [b, tk, heads*d]. C1: ranks are 3, batches equal. C2: heads divides the channels, which are
    equal. C3: key and value have the same shape. C4: causal attention needs tq = tk. C5: scale is positive and finite.
  }];
  let arguments = (ins Sd_Tensor:$query, Sd_Tensor:$key, Sd_Tensor:$value, I64Attr:$heads, F64Attr:$scale, BoolAttr:$causal);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$query `,` $key `,` $value attr-dict `:` functional-type(operands, results)";
}

class Sd_ActivationOp<string mnemonic, string formula> : Sd_Op<mnemonic> {
  let summary = formula;
  let arguments = (ins Sd_Tensor:$input);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` functional-type(operands, results)";
}
def Sd_SiluOp : Sd_ActivationOp<"silu", "x * sigmoid(x)">;
def Sd_GeluOp : Sd_ActivationOp<"gelu", "x * (1 + erf(x / sqrt 2)) / 2">;
def Sd_QuickGeluOp : Sd_ActivationOp<"quick_gelu", "x * sigmoid(1.702 x)">;
def Sd_GeluTanhOp : Sd_ActivationOp<"gelu_tanh", "x * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2">;
def Sd_SigmoidOp : Sd_ActivationOp<"sigmoid", "1 / (1 + exp(-x))">;

def Sd_GegluOp : Sd_Op<"geglu"> {
  let summary = "left half times gelu of the right half, over the last dimension";
  let description = "C1: the last dimension is even.";
  let arguments = (ins Sd_Tensor:$input);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` functional-type(operands, results)";
}

def Sd_AddOp : Sd_Op<"add"> {
  let summary = "sum of two activations";
  let description = [{
    The second operand has the first's shape, or broadcasts over the rows of one batch element. C1: shapes are equal, or of equal rank
    with rhs [b, 1, ..., 1, c] (nhwc, tokens). Quantized: one common shift, one rounding.
  }];
  let arguments = (ins Sd_Tensor:$lhs, Sd_Tensor:$rhs);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` functional-type(operands, results)";
}

def Sd_UpsampleOp : Sd_Op<"upsample"> {
  let summary = "nearest neighbour, by whole factors";
  let description = "C1: rank 4. C2: two positive factors (height, width).";
  let arguments = (ins Sd_Tensor:$input, DenseI64ArrayAttr:$factors, Sd_Layout:$layout);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` functional-type(operands, results)";
}

def Sd_TimeEmbeddingOp : Op<Sd_Dialect, "time_embedding", [Pure]> {
  let summary = "sines and cosines of the timestep";
  let description = [{
    timesteps are numbers, [1] or [batch]. result[b, i] for i < half: cos (cos_first) or sin of t * max_period^(-i / (half - frequency_shift));
    the other half the other function. C1: timesteps has rank 1 and 1 or batch elements. C2: the result is [batch, 2 * half].
    C3: timesteps are integers, floats, or fixed point: 32-bit codes of scale 2^-f, f in 0 ... 30, without zero point.
  }];
  let arguments = (ins Sd_Tensor:$timesteps, BoolAttr:$cos_first, F64Attr:$frequency_shift, F64Attr:$max_period);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$timesteps attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Sd_EmbeddingOp : Sd_Op<"embedding", [AttrSizedOperandSegments]> {
  let summary = "rows of a table by token, plus rows of another by position";
  let description = [{
    ids [b, t]; tokens [vocabulary, c], positions [t, c]; result [b, t, c]. Tables are float, or int8 codes with one scale per row.
    C1: positions has t rows. C2: both tables have c columns. C3: codes come with scales.
  }];
  let arguments = (ins Sd_Tensor:$ids, Sd_Tensor:$tokens, Sd_Tensor:$positions,
                       Optional<Sd_Tensor>:$token_scales, Optional<Sd_Tensor>:$position_scales);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = [{
    $ids `,` $tokens `,` $positions (`token_scales` $token_scales^)? (`position_scales` $position_scales^)? attr-dict
    `:` functional-type(operands, results)
  }];
}

def Sd_PoolTokenOp : Sd_Op<"pool_token"> {
  let summary = "the hidden row at the first occurrence of a token";
  let description = "hidden [b, t, c], ids [b, t]; result [b, c]; row 0 where the token does not occur. C1: b and t agree.";
  let arguments = (ins Sd_Tensor:$hidden, Sd_Tensor:$ids, I64Attr:$token);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$hidden `,` $ids attr-dict `:` functional-type(operands, results)";
}

//===----------------------------------------------------------------------===//
// Between real numbers and codes
//===----------------------------------------------------------------------===//

def Sd_QuantizeOp : Op<Sd_Dialect, "quantize", [Pure, SameOperandsAndResultShape]> {
  let summary = "codes of real values: clamp(floor(x / scale + 1/2) + zero point)";
  let arguments = (ins Sd_Tensor:$input);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Sd_DequantizeOp : Op<Sd_Dialect, "dequantize", [Pure, SameOperandsAndResultShape]> {
  let summary = "real values of codes: scale * (q - zero point)";
  let arguments = (ins Sd_Tensor:$input);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Sd_RequantizeOp : Op<Sd_Dialect, "requantize", [Pure, SameOperandsAndResultShape]> {
  let summary = "the same value in another code";
  let arguments = (ins Sd_Tensor:$input);
  let results = (outs Sd_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

#endif // SDOPT_DIALECTS_SD_SDOPS_TD
