//===- Network.h - a module as plain layers ---------------------*- C++ -*-===//
//
// What the scheduler works on: the `npu` dialect without MLIR. One Layer per engine operation,
// tensors in DRAM, constants by index. Filled from npu IR by passes/schedule, by hand in tests.
//
// Running example (tests, docs): a 4-channel 3x3 convolution on an 1x8x6x4 picture.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_NETWORK_H
#define SDOPT_COMPILER_SCHEDULE_NETWORK_H

#include "compiler/kernels/IntegerKernels.h"
#include "compiler/kernels/TapWinograd.h"
#include "compiler/kernels/WeightStream.h"

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace sdopt {

using TensorId = int32_t;
using ConstantId = int32_t;
inline constexpr int32_t kNone = -1;

/// Where a tensor's bytes come from and go to.
enum class TensorRole : uint8_t { Intermediate = 0, Input = 1, Output = 2 };

/// An activation in DRAM: dense [batch, height, width, channels], channel innermost. Token
/// sequences have height 1, width = tokens. Integer inputs (token ids, timesteps) are I32; I32 with
/// a scale other than 1 holds real numbers in fixed point (fractional timesteps).
struct TensorInfo {
  std::string name; ///< stable value name, unique in the module
  std::array<int64_t, 4> dims = {1, 1, 1, 1};
  ElementType type = ElementType::I16;
  TensorRole role = TensorRole::Intermediate;
  /// A view of the same bytes as another tensor (a free reshape), or kNone.
  TensorId aliasOf = kNone;
  float scale = 1.0f; ///< real value of one code; for input/output conversion and reports
  int32_t zeroPoint = 0;
  /// For inputs and outputs: the ONNX shape, e.g. 2x4x16x16 or 2x77x64; the elements are in the
  /// same order as in dims (changes of layout are layers).
  Shape logicalShape;

  int64_t elements() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
  int64_t bytes() const { return elements() * byteWidth(type); }
  CodeFormat format() const { return {type, zeroPoint}; }
};

/// What a constant holds; decides its layout in the package.
enum class ConstantKind : uint8_t {
  Weights = 0,        ///< [co][kh][kw][ci]; packed into tile order by the plan
  ChannelParams = 1,  ///< ChannelParams[co]
  NormChannels = 2,   ///< NormChannel[c]
  Table = 3,          ///< int32 entries
  Rows = 4,           ///< int8 [rows][channels], gathered row by row
  RowMultipliers = 5, ///< int32 [rows]
  Codes = 6           ///< int8 or int16 codes of an activation that is the same in every run
};

inline constexpr int64_t kShareUnit = 64;

struct ConstantInfo {
  std::string name; ///< of the ONNX tensor it comes from, with a suffix
  ConstantKind kind = ConstantKind::Weights;
  int64_t bytes = 0;    ///< of Weights: of the int8 array that they mean
  WeightForm form = {}; ///< how Weights are stored; raw for all else
  /// Of Weights whose form varies: what is expected of a stream, in kShareUnit-ths of the bytes of
  /// form.plain(), 1 to kShareUnit; and, once they are packed, what the stream of each block takes,
  /// in the order of weightBlocks().
  int64_t share = kShareUnit;
  std::vector<int64_t> blockBytes = {};
  int64_t zeros = 0; ///< weights of 0 that the form tells
};

// Parameters of each layer kind. Inputs are TensorIds in Layer::inputs, in the order given here.

/// Convolution or linear layer; inputs {x}. kernel, stride, dilation, padding as in ConvTile.
struct MatrixLayer {
  int64_t kernelHeight = 1, kernelWidth = 1, strideH = 1, strideW = 1, dilationH = 1, dilationW = 1;
  int64_t padTop = 0, padLeft = 0, padBottom = 0, padRight = 0;
  ConstantId weights = kNone; ///< Weights
  ConstantId params = kNone;  ///< ChannelParams
  /// F4x4 is part of what the layer means: its params expect kTapScale times the sums. F2x2 is a
  /// choice of the schedule.
  WinogradForm winograd = WinogradForm::None;
  TapShifts taps = {}; ///< of F4x4
};

/// inputs {a} or {a, b}; b is of a's dims, or [batch,1,1,channels] if params.broadcastRows.
/// The result may be a channel slice of a wider output (concat): columns [channelOffset,
/// channelOffset + channels).
struct CombineLayer {
  CombineParams params;
  int64_t channelOffset = 0;
};

/// inputs {x}; pointwise.
struct TableLayer {
  ConstantId table = kNone;
};

/// inputs {x} with 2*channels columns.
struct GegluLayer {
  GegluParams params;
  ConstantId table = kNone;
};

/// inputs {x}. Group norm: `groups` per picture, sums over height x width x channels/groups. Layer
/// norm: perRow = true, one group of all channels in each (batch, height, width); not centered for
/// the root mean square norm.
struct NormLayer {
  NormParams params;
  int64_t groups = 1;
  bool perRow = false;
  ConstantId channels = kNone; ///< NormChannels
};

/// inputs {q, k, v}: [batch, 1, tokens, heads * headDim].
struct AttentionLayer {
  AttentionParams params;
  int64_t heads = 1;
};

/// inputs {x}; nearest-neighbour, integer factors.
struct UpsampleLayer {
  int64_t factorH = 2, factorW = 2;
};

/// inputs {x}; output dim i is input dim permutation[i] of the 4-D view.
struct PermuteLayer {
  std::array<int32_t, 4> permutation = {0, 1, 2, 3};
};

/// inputs {ids}: I32 [batch,1,tokens,1]; output [batch,1,tokens,channels].
struct EmbeddingLayer {
  int32_t shift = 25;
  int64_t vocabulary = 0;
  ConstantId tokens = kNone;              ///< Rows [vocabulary][channels]
  ConstantId tokenMultipliers = kNone;    ///< RowMultipliers [vocabulary]
  ConstantId positions = kNone;           ///< Rows [tokens][channels]
  ConstantId positionMultipliers = kNone; ///< RowMultipliers [tokens]
};

/// inputs {t}: I32 (fixed point with params.fractionBits), one value or one per batch element;
/// output [batch,1,1,2*halfDim].
struct TimeEmbeddingLayer {
  TimeEmbeddingParams params;
  ConstantId steps = kNone; ///< Table: uint32[halfDim]
  ConstantId sine = kNone;  ///< Table: kTableKnots16
};

/// inputs {hidden, ids}: row of `hidden` at the first position where ids == token (row 0 if
/// nowhere); hidden [batch,1,tokens,c], output [batch,1,1,c].
struct PoolTokenLayer {
  int32_t token = 0;
};

/// inputs {x, scale} or {x, scale, shift}: the latter [batch,1,1,channels], one row for all of x's.
struct ModulateLayer {
  ModulateParams params;
};

/// inputs {x}; the block of the output's dims that begins at `starts`.
struct SliceLayer {
  std::array<int64_t, 4> starts = {0, 0, 0, 0};
};

/// No inputs: brings codes from the constants to the arena.
struct ConstantLayer {
  ConstantId codes = kNone; ///< Codes, of the output's dims
};

using LayerSpec =
    std::variant<MatrixLayer, CombineLayer, TableLayer, GegluLayer, NormLayer, AttentionLayer,
                 UpsampleLayer, PermuteLayer, EmbeddingLayer, TimeEmbeddingLayer, PoolTokenLayer,
                 ModulateLayer, SliceLayer, ConstantLayer>;

/// How often a layer runs while pictures are painted: what depends on the prompt alone (keys and
/// values of cross-attention) once per prompt, what depends on the timestep alone once per timestep
/// of the schedule, all else in every step.
enum class Phase : uint8_t { Prompt = 0, Schedule = 1, Step = 2 };
inline constexpr int kPhases = 3;
/// "prompt", "schedule", "step".
const char *name(Phase phase);

struct Layer {
  std::string name;                   ///< of the value it makes
  std::vector<std::string> onnxNodes; ///< where it comes from
  std::vector<TensorId> inputs;
  TensorId output = kNone;
  LayerSpec spec;
  Phase phase = Phase::Step;
};

/// One module (text encoder, UNet, ...) as the NPU runs it: layers in order of execution, phase
/// after phase. A phase may run again after the ones before it have; bytes that it leaves for
/// later ones stay untouched by them.
struct Network {
  std::string name;
  std::vector<TensorInfo> tensors;
  std::vector<ConstantInfo> constants;
  std::vector<Layer> layers;
};

/// "conv", "linear", "combine", "table", ...: the names used in reports.
const char *kindName(const Layer &layer);

/// Owners of the bytes that layers of `phase` make and later phases (or the outputs) need, by
/// index.
std::vector<TensorId> keptTensors(const Network &network, Phase phase);

/// Multiply-accumulates of the layer (both products of attention counted; of a layer by Winograd
/// those of its transformed codes, in tiles of outputs from the first pixel on).
int64_t multiplyAccumulates(const Network &network, const Layer &layer);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_NETWORK_H
