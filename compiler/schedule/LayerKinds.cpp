// Names of kinds, orders, queues and commands; the work of a layer.

#include "compiler/schedule/Command.h"
#include "compiler/schedule/Network.h"
#include "compiler/schedule/Plan.h"
#include "compiler/schedule/WinogradLayers.h"

namespace sdopt {
namespace {

struct KindNameOf {
  const char *operator()(const MatrixLayer &s) const {
    return s.kernelHeight == 1 && s.kernelWidth == 1 ? "linear" : "conv";
  }
  const char *operator()(const CombineLayer &) const { return "combine"; }
  const char *operator()(const TableLayer &) const { return "table"; }
  const char *operator()(const GegluLayer &) const { return "geglu"; }
  const char *operator()(const NormLayer &s) const {
    if (!s.perRow)
      return "group_norm";
    return s.params.centered ? "layer_norm" : "rms_norm";
  }
  const char *operator()(const AttentionLayer &) const { return "attention"; }
  const char *operator()(const UpsampleLayer &) const { return "upsample"; }
  const char *operator()(const PermuteLayer &) const { return "permute"; }
  const char *operator()(const EmbeddingLayer &) const { return "embedding"; }
  const char *operator()(const TimeEmbeddingLayer &) const { return "time_embedding"; }
  const char *operator()(const PoolTokenLayer &) const { return "pool_token"; }
  const char *operator()(const ModulateLayer &) const { return "modulate"; }
  const char *operator()(const SliceLayer &) const { return "slice"; }
  const char *operator()(const ConstantLayer &) const { return "constant"; }
};

struct MnemonicOf {
  const char *operator()(const DmaLoad &) const { return "dma.load"; }
  const char *operator()(const DmaWeights &) const { return "dma.weights"; }
  const char *operator()(const DmaStore &) const { return "dma.store"; }
  const char *operator()(const DmaGather &) const { return "dma.gather"; }
  const char *operator()(const ConvCommand &c) const {
    static constexpr const char *kNames[] = {"conv", "conv.winograd", "conv.winograd4"};
    return kNames[static_cast<size_t>(c.winograd)];
  }
  const char *operator()(const RequantizeCommand &) const { return "requantize"; }
  const char *operator()(const CombineCommand &) const { return "combine"; }
  const char *operator()(const TableCommand &) const { return "table"; }
  const char *operator()(const GegluCommand &c) const {
    return c.gate < 0 ? "geglu" : "geglu.halves";
  }
  const char *operator()(const NormSumsCommand &) const { return "norm.sums"; }
  const char *operator()(const NormApplyCommand &) const { return "norm.apply"; }
  const char *operator()(const AttentionMaximaCommand &) const { return "attention.maxima"; }
  const char *operator()(const AttentionAccumulateCommand &) const {
    return "attention.accumulate";
  }
  const char *operator()(const AttentionFinishCommand &) const { return "attention.finish"; }
  const char *operator()(const TimeEmbeddingCommand &) const { return "time_embedding"; }
  const char *operator()(const EmbedCommand &) const { return "embed"; }
  const char *operator()(const PoolTokenCommand &) const { return "pool_token"; }
  const char *operator()(const ModulateCommand &) const { return "modulate"; }
};

} // namespace

const char *name(Phase phase) {
  static constexpr const char *kNames[kPhases] = {"prompt", "schedule", "step"};
  return kNames[static_cast<int>(phase)];
}

const char *name(Queue queue) {
  static constexpr const char *kNames[kQueues] = {"in", "array", "vector", "out"};
  return kNames[static_cast<int>(queue)];
}

const char *name(LoopOrder order) {
  static constexpr const char *kNames[] = {"input-resident", "weight-resident",
                                           "output-stationary"};
  return kNames[static_cast<int>(order)];
}

const char *kindName(const Layer &layer) { return std::visit(KindNameOf(), layer.spec); }

const char *mnemonic(const Command &command) { return std::visit(MnemonicOf(), command.args); }

int64_t multiplyAccumulates(const Network &network, const Layer &layer) {
  const auto dims = [&](TensorId id) { return network.tensors[id].dims; };
  if (const auto *matrix = std::get_if<MatrixLayer>(&layer.spec)) {
    const auto x = dims(layer.inputs[0]), y = dims(layer.output);
    if (matrix->winograd != WinogradForm::None)
      return y[0] * winogradTiles(matrix->winograd, y[1], y[2]) *
             workOf(matrix->winograd).products * x[3] * y[3];
    return y[0] * y[1] * y[2] * y[3] * matrix->kernelHeight * matrix->kernelWidth * x[3];
  }
  if (std::holds_alternative<AttentionLayer>(layer.spec)) {
    // Scores and weighted sum, every head: queries x keys x headDim each.
    const auto q = dims(layer.inputs[0]), k = dims(layer.inputs[1]);
    return 2 * q[0] * q[2] * k[2] * q[3];
  }
  return 0;
}

} // namespace sdopt
