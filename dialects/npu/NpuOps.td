//===- NpuOps.td - operations of the npu dialect ----------------*- tablegen -*-===//
//
// One operation for each engine operation of the reference NPU: the layers of compiler/schedule/Network.h. Values are
// [batch, height, width, channels] of quantized type (or i32), channel innermost; constants are expressions over
// weights. The arithmetic is that of compiler/kernels/IntegerKernels.h.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_DIALECTS_NPU_NPUOPS_TD
#define SDOPT_DIALECTS_NPU_NPUOPS_TD

include "dialects/sd/EvaluationInterface.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Npu_Dialect : Dialect {
  let name = "npu";
  let cppNamespace = "::sdopt::npu";
  let summary = "the reference NPU";
  let description = [{
    Each operation is one layer of the NPU. Scheduling adds attributes: `npu.phase` (how
    often the layer runs), `npu.winograd` (its products are those of Winograd's transforms), `npu.storage` (how its weights are stored), `npu.tiling` (how it is cut), `npu.joined` (it takes
    the tiles of the layer before it while they are in SRAM), `npu.resident` (where its result stays in SRAM for layers to come) and `npu.place` (where its result lies in the DRAM arena); tiles and DMA are not operations.
    `npu.channel_params`, `npu.table`, ... make the constants that a layer reads; they are evaluated when the package
    is emitted. `sd.quantize`, `sd.dequantize` and `sd.cast` remain at the function's boundary: the host runs them.
  }];
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = ["::sdopt::sd::SdDialect"];
  let extraClassDeclaration = [{
    static constexpr ::llvm::StringLiteral kTilingAttr = "npu.tiling";
    static constexpr ::llvm::StringLiteral kPlaceAttr = "npu.place";
    /// For each of an operation's layers: does it take the tiles of the layer before it
    /// (compiler/schedule/JoinedLayers.h)? Absent: none does.
    static constexpr ::llvm::StringLiteral kJoinedAttr = "npu.joined";
    /// Of each layer of the operation: byte offset in SRAM, channels of a block (0: not resident) and readers of its result
    /// (compiler/schedule/ResidentTensors.h). Absent: none is resident.
    static constexpr ::llvm::StringLiteral kResidentAttr = "npu.resident";
    static constexpr ::llvm::StringLiteral kStorageAttr = "npu.storage";
    /// Of a matrix layer: which forms of storage its recipe allows; absent: all.
    static constexpr ::llvm::StringLiteral kStorageRuleAttr = "npu.storage_rule";
    /// Of a convolution that is done by F(2x2, 3x3).
    static constexpr ::llvm::StringLiteral kWinogradAttr = "npu.winograd";
    /// "prompt" or "schedule" (compiler/schedule/Network.h, Phase); absent: every step.
    static constexpr ::llvm::StringLiteral kPhaseAttr = "npu.phase";
    /// On the function: bytes of the DRAM arena and their lower bound.
    static constexpr ::llvm::StringLiteral kArenaAttr = "npu.arena_bytes";
    static constexpr ::llvm::StringLiteral kArenaBoundAttr = "npu.arena_bound_bytes";
    void registerOps();
    void registerAttrs();
  }];
}

def Npu_Tensor : StaticShapeTensorOf<[AnyType]>;

// The cases have the numbers of sdopt::LoopOrder (compiler/schedule/Plan.h).
def Npu_LoopOrder : I32EnumAttr<"LoopOrderKind", "order of the two outer tile loops of a matrix layer",
    [I32EnumAttrCase<"input_resident", 0>, I32EnumAttrCase<"weight_resident", 1>,
     I32EnumAttrCase<"output_stationary", 2>]> {
  let cppNamespace = "::sdopt::npu";
  let genSpecializedAttr = 0;
}

// The cases have the numbers of sdopt::TableFunction (compiler/kernels/IntegerKernels.h).
def Npu_TableFunction : I32EnumAttr<"TableKind", "function an activation table is made of",
    [I32EnumAttrCase<"silu", 0>, I32EnumAttrCase<"gelu", 1>, I32EnumAttrCase<"quick_gelu", 2>,
     I32EnumAttrCase<"sigmoid", 3>, I32EnumAttrCase<"gelu_tanh", 4>]> {
  let cppNamespace = "::sdopt::npu";
}

//===----------------------------------------------------------------------===//
// Schedule
//===----------------------------------------------------------------------===//

class Npu_Attr<string name, string attrMnemonic> : AttrDef<Npu_Dialect, name> { let mnemonic = attrMnemonic; }

def Npu_TilingAttr : Npu_Attr<"Tiling", "tiling"> {
  let summary = "tile sizes and loop order of one layer";
  let description = "Meaning of the sizes by layer kind: compiler/schedule/Plan.h, Tiling. `buffers` = 2 is double buffering.";
  let parameters = (ins EnumParameter<Npu_LoopOrder>:$order, "int64_t":$height, "int64_t":$width,
                        "int64_t":$output_channels, "int64_t":$input_channels, "int64_t":$buffers);
  let assemblyFormat = "`<` params `>`";
}

// The cases have the numbers of sdopt::ZeroLayout (compiler/kernels/WeightStream.h).
def Npu_ZeroLayout : I32EnumAttr<"ZeroLayoutKind", "which codes of weights are stored",
    [I32EnumAttrCase<"dense", 0>, I32EnumAttrCase<"bitmap", 1>, I32EnumAttrCase<"structured", 2>,
     I32EnumAttrCase<"runs", 3>]> {
  let cppNamespace = "::sdopt::npu";
  let genSpecializedAttr = 0;
}

def Npu_StorageAttr : Npu_Attr<"Storage", "storage"> {
  let summary = "how the codes of a layer's weights are stored";
  let description = [{
    compiler/kernels/WeightStream.h, WeightForm: `kept` of each `run` input channels (structured), `lanes` of the entropy
    coder (0: not coded). The streams are expected to take `share` 64ths of the plain ones, and tell of `zero_weights` that they are 0.
  }];
  let parameters = (ins EnumParameter<Npu_ZeroLayout>:$zeros, "int64_t":$kept, "int64_t":$run, "int64_t":$lanes,
                        "int64_t":$share, "int64_t":$zero_weights);
  let assemblyFormat = "`<` params `>`";
}

def Npu_PlaceAttr : Npu_Attr<"Place", "place"> {
  let summary = "where a result lies in the DRAM arena";
  let parameters = (ins "int64_t":$offset, "int64_t":$bytes);
  let assemblyFormat = "`<` struct(params) `>`";
}

// Sd_TapShiftsAttr; its file would define the enumerations of the sd dialect again.
def Npu_TapShifts : Attr<CPred<"::llvm::isa<::sdopt::sd::TapShiftsAttr>($_self)">, "#sd.tap_shifts"> {
  let storageType = "::sdopt::sd::TapShiftsAttr";
  let returnType = storageType;
  let convertFromStorage = "$_self";
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

class Npu_Op<string mnemonic, list<Trait> traits = []> : Op<Npu_Dialect, mnemonic, traits # [Pure]>;

def Npu_ChannelParamsOp : Npu_Op<"channel_params"> {
  let summary = "bias, multiplier and shift of each output channel";
  let description = [{
    Packs `ChannelParams` (16 bytes: bias in units of input scale times weight scale, multiplier, shift) as [channels, 2] i64.
  }];
  let arguments = (ins Npu_Tensor:$scales, Optional<Npu_Tensor>:$bias, F64Attr:$input_scale, F64Attr:$output_scale);
  let results = (outs Npu_Tensor:$result);
  let assemblyFormat = "$scales (`bias` $bias^)? attr-dict `:` functional-type(operands, results)";
}

def Npu_NormChannelsOp : Npu_Op<"norm_channels"> {
  let summary = "gamma and beta of each channel in fixed point";
  let description = "Packs `NormChannel` (16 bytes) as [channels, 2] i64, for the `shift` that the norm states.";
  let arguments = (ins Npu_Tensor:$gamma, Optional<Npu_Tensor>:$beta, I64Attr:$count, F64Attr:$epsilon,
                       F64Attr:$input_scale, F64Attr:$output_scale);
  let results = (outs Npu_Tensor:$result);
  let assemblyFormat = "$gamma (`beta` $beta^)? attr-dict `:` functional-type(operands, results)";
}

def Npu_ActivationTableOp : Npu_Op<"activation_table"> {
  let summary = "table of an activation function";
  let description = "`makeTable` of compiler/kernels/IntegerKernels.h: 1,025 knots for 16-bit input, 256 entries for 8-bit.";
  let arguments = (ins Npu_TableFunction:$function, TypeAttr:$input_type, F64Attr:$output_scale);
  let results = (outs Npu_Tensor:$result);
  let assemblyFormat = "$function attr-dict `:` type($result)";
}

def Npu_SineTableOp : Npu_Op<"sine_table"> {
  let summary = "one turn of the sine";
  let arguments = (ins F64Attr:$output_scale);
  let results = (outs Npu_Tensor:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
}

def Npu_TimeStepsOp : Npu_Op<"time_steps"> {
  let summary = "phase increments of the sinusoidal time embedding";
  let arguments = (ins F64Attr:$frequency_shift, F64Attr:$max_period);
  let results = (outs Npu_Tensor:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
}

def Npu_RowMultipliersOp : Npu_Op<"row_multipliers"> {
  let summary = "multiplier of each row of an embedding table, round(scale / output_scale * 2^shift)";
  let arguments = (ins Npu_Tensor:$scales, F64Attr:$output_scale, I64Attr:$shift);
  let results = (outs Npu_Tensor:$result);
  let assemblyFormat = "$scales attr-dict `:` functional-type(operands, results)";
}

//===----------------------------------------------------------------------===//
// Layers
//===----------------------------------------------------------------------===//

class Npu_Layer<string mnemonic, list<Trait> traits = []> : Npu_Op<mnemonic, traits> {
  let results = (outs Npu_Tensor:$result);
}

def Npu_ViewOp : Npu_Op<"view"> {
  let summary = "the same bytes in another shape; costs nothing";
  let arguments = (ins Npu_Tensor:$input);
  let results = (outs Npu_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Npu_Conv2dOp : Npu_Layer<"conv2d"> {
  let summary = "convolution or linear layer (1x1): MatrixLayer";
  let description = [{
    codes are [co, kh, kw, ci] i8; params [co, 2] i64 of npu.channel_params; padding is top, left, bottom, right. With `tap_shifts` by
    F(4x4, 3x3), rounded: then the params are for sums 576 times as large.
  }];
  let arguments = (ins Npu_Tensor:$input, Npu_Tensor:$codes, Npu_Tensor:$params, DenseI64ArrayAttr:$strides,
                       DenseI64ArrayAttr:$dilations, DenseI64ArrayAttr:$padding,
                       OptionalAttr<Npu_TapShifts>:$tap_shifts);
  let assemblyFormat = "$input `,` $codes `,` $params attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Npu_CombineOp : Npu_Layer<"combine"> {
  let summary = "sum of two scaled values, or one value in another code: CombineLayer";
  let arguments = (ins Npu_Tensor:$lhs, Optional<Npu_Tensor>:$rhs, I32Attr:$lhs_multiplier, I32Attr:$rhs_multiplier,
                       I32Attr:$shift, BoolAttr:$broadcast_rows);
  let assemblyFormat = "$lhs (`,` $rhs^)? attr-dict `:` functional-type(operands, results)";
}

def Npu_ConcatOp : Npu_Layer<"concat"> {
  let summary = "channel slices written side by side, each brought to the result's scale: one CombineLayer per part";
  let arguments = (ins Variadic<Npu_Tensor>:$parts, DenseI32ArrayAttr:$multipliers, DenseI32ArrayAttr:$shifts);
  let assemblyFormat = "$parts attr-dict `:` functional-type(operands, results)";
}

def Npu_TableOp : Npu_Layer<"table"> {
  let summary = "function of each code by table: TableLayer";
  let arguments = (ins Npu_Tensor:$input, Npu_Tensor:$table);
  let assemblyFormat = "$input `,` $table attr-dict `:` functional-type(operands, results)";
}

def Npu_GegluOp : Npu_Layer<"geglu"> {
  let summary = "left half times gelu of the right half: GegluLayer";
  let arguments = (ins Npu_Tensor:$input, Npu_Tensor:$table, I32Attr:$multiplier, I32Attr:$shift);
  let assemblyFormat = "$input `,` $table attr-dict `:` functional-type(operands, results)";
}

def Npu_NormOp : Npu_Layer<"norm"> {
  let summary = "group norm, or layer norm with per_row, root mean square norm with uncentered too: NormLayer";
  let description = "epsilon is round(eps / input_scale^2 * 2^32), count the elements of one group.";
  let arguments = (ins Npu_Tensor:$input, Npu_Tensor:$channels, I64Attr:$groups, BoolAttr:$per_row, I64Attr:$count,
                       I64Attr:$epsilon, I32Attr:$shift, UnitAttr:$uncentered);
  let assemblyFormat = "$input `,` $channels attr-dict `:` functional-type(operands, results)";
}

def Npu_AttentionOp : Npu_Layer<"attention"> {
  let summary = "softmax(q k^T) v for each head: AttentionLayer";
  let arguments = (ins Npu_Tensor:$query, Npu_Tensor:$key, Npu_Tensor:$value, I64Attr:$heads, BoolAttr:$causal,
                       I32Attr:$exponent_multiplier, I32Attr:$exponent_shift, I32Attr:$output_multiplier,
                       I32Attr:$output_shift);
  let assemblyFormat = "$query `,` $key `,` $value attr-dict `:` functional-type(operands, results)";
}

def Npu_ModulateOp : Npu_Layer<"modulate"> {
  let summary = "gain and offset for each channel of a batch element: ModulateLayer";
  let arguments = (ins Npu_Tensor:$input, Npu_Tensor:$scale, Optional<Npu_Tensor>:$offsets, I64Attr:$scale_multiplier,
                       I64Attr:$unit, I64Attr:$offsets_multiplier, I32Attr:$shift);
  let assemblyFormat = "$input `,` $scale (`,` $offsets^)? attr-dict `:` functional-type(operands, results)";
}

def Npu_SliceOp : Npu_Layer<"slice"> {
  let summary = "a block of a value: SliceLayer";
  let arguments = (ins Npu_Tensor:$input, DenseI64ArrayAttr:$starts);
  let assemblyFormat = "$input attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Npu_ConstantOp : Npu_Layer<"constant"> {
  let summary = "codes of the package as a value: ConstantLayer";
  let arguments = (ins Npu_Tensor:$codes);
  let assemblyFormat = "$codes attr-dict `:` functional-type(operands, results)";
}

def Npu_UpsampleOp : Npu_Layer<"upsample"> {
  let summary = "nearest neighbour: UpsampleLayer";
  let arguments = (ins Npu_Tensor:$input, DenseI64ArrayAttr:$factors);
  let assemblyFormat = "$input attr-dict `:` functional-type(operands, results)";
}

def Npu_PermuteOp : Npu_Layer<"permute"> {
  let summary = "permutation of the dimensions: PermuteLayer";
  let arguments = (ins Npu_Tensor:$input, DenseI64ArrayAttr:$permutation);
  let assemblyFormat = "$input attr-dict `:` functional-type(operands, results)";
}

def Npu_EmbeddingOp : Npu_Layer<"embedding"> {
  let summary = "token and position rows: EmbeddingLayer";
  let arguments = (ins Npu_Tensor:$ids, Npu_Tensor:$tokens, Npu_Tensor:$token_multipliers, Npu_Tensor:$positions,
                       Npu_Tensor:$position_multipliers, I32Attr:$shift);
  let assemblyFormat = "operands attr-dict `:` functional-type(operands, results)";
}

def Npu_TimeEmbeddingOp : Npu_Layer<"time_embedding"> {
  let summary = "sines and cosines of the timestep: TimeEmbeddingLayer";
  let description = "timesteps are integers, or fixed point with `fraction_bits`.";
  let arguments = (ins Npu_Tensor:$timesteps, Npu_Tensor:$steps, Npu_Tensor:$sine, BoolAttr:$cos_first,
                       DefaultValuedAttr<I32Attr, "0">:$fraction_bits);
  let assemblyFormat = "operands attr-dict `:` functional-type(operands, results)";
}

def Npu_PoolTokenOp : Npu_Layer<"pool_token"> {
  let summary = "the hidden row at the first occurrence of a token: PoolTokenLayer";
  let arguments = (ins Npu_Tensor:$hidden, Npu_Tensor:$ids, I64Attr:$token);
  let assemblyFormat = "$hidden `,` $ids attr-dict `:` functional-type(operands, results)";
}

#endif // SDOPT_DIALECTS_NPU_NPUOPS_TD
