//===- BucketNetworks.cpp - one plan, codes for each bucket of timesteps ------===//

#include "compiler/pipeline/BucketNetworks.h"

using namespace mlir;

namespace sdopt {

namespace {

/// The same operations on the same weights, wherever they stand.
bool isSameExpression(Value a, Value b) {
  auto x = dyn_cast<OpResult>(a), y = dyn_cast<OpResult>(b);
  if (!x || !y || x.getResultNumber() != y.getResultNumber() || x.getType() != y.getType())
    return false;
  Operation *p = x.getOwner(), *q = y.getOwner();
  return p->getName() == q->getName() && p->getAttrDictionary() == q->getAttrDictionary() &&
         p->getNumOperands() == q->getNumOperands() &&
         llvm::all_of(llvm::zip(p->getOperands(), q->getOperands()), [](auto pair) {
           return isSameExpression(std::get<0>(pair), std::get<1>(pair));
         });
}

/// The constants that a layer reads.
struct ConstantFields {
  using Fields = std::vector<ConstantId *>;
  Fields operator()(MatrixLayer &s) const { return {&s.weights, &s.params}; }
  Fields operator()(TableLayer &s) const { return {&s.table}; }
  Fields operator()(GegluLayer &s) const { return {&s.table}; }
  Fields operator()(NormLayer &s) const { return {&s.channels}; }
  Fields operator()(EmbeddingLayer &s) const {
    return {&s.tokens, &s.tokenMultipliers, &s.positions, &s.positionMultipliers};
  }
  Fields operator()(TimeEmbeddingLayer &s) const { return {&s.steps, &s.sine}; }
  Fields operator()(ConstantLayer &s) const { return {&s.codes}; }
  Fields operator()(auto &) const { return {}; }
};

bool isSameTensor(const TensorInfo &a, const TensorInfo &b) {
  return a.dims == b.dims && a.type == b.type && a.role == b.role && a.aliasOf == b.aliasOf;
}

bool isSameLayer(const Layer &a, const Layer &b) {
  return a.inputs == b.inputs && a.output == b.output && a.phase == b.phase &&
         a.spec.index() == b.spec.index();
}

class Merger {
public:
  Merger(func::FuncOp function, NpuNetwork &first, NpuNetwork own)
      : function_(function), first_(first), own_(std::move(own)),
        ids_(own_.constants.size(), kNone) {}

  FailureOr<Network> run() {
    Network result = first_.network;
    const Network &own = own_.network;
    if (!std::ranges::equal(result.tensors, own.tensors, isSameTensor) ||
        !std::ranges::equal(result.layers, own.layers, isSameLayer))
      return function_.emitOpError("has other operations than the first bucket of timesteps");
    for (size_t i = 0; i < own.tensors.size(); ++i) {
      result.tensors[i].scale = own.tensors[i].scale;
      result.tensors[i].zeroPoint = own.tensors[i].zeroPoint;
    }
    for (size_t i = 0; i < own.layers.size(); ++i) {
      LayerSpec spec = own.layers[i].spec;
      const auto now = std::visit(ConstantFields(), spec);
      const auto before = std::visit(ConstantFields(), result.layers[i].spec);
      for (size_t c = 0; c < now.size(); ++c) {
        *now[c] = constant(*now[c], *before[c]);
        if (*now[c] == kNone)
          return own_.layerOps[i]->emitOpError("has other weights than in the first bucket of "
                                               "timesteps");
      }
      if (auto *matrix = std::get_if<MatrixLayer>(&spec)) {
        const auto &first = std::get<MatrixLayer>(result.layers[i].spec);
        const auto hasTaps = [](const MatrixLayer &layer) {
          return layer.winograd == WinogradForm::F4x4;
        };
        if (hasTaps(*matrix) != hasTaps(first) || matrix->taps != first.taps)
          return own_.layerOps[i]->emitOpError("has other tap shifts than in the first bucket of "
                                               "timesteps");
        matrix->winograd = first.winograd;
      }
      result.layers[i].spec = spec;
    }
    return result;
  }

private:
  /// The constant of the package for the function's constant `own`, where the first bucket reads
  /// `before`; kNone for weights of its own.
  ConstantId constant(ConstantId own, ConstantId before) {
    const Value value = own_.constants[own];
    if (isSameExpression(first_.constants[before], value))
      return before;
    ConstantInfo info = own_.network.constants[own];
    ConstantId &id = ids_[own];
    if (id != kNone || info.kind == ConstantKind::Weights)
      return id;
    id = static_cast<ConstantId>(first_.constants.size());
    info.name += function_.getName().substr(function_.getName().rfind('.'));
    first_.network.constants.push_back(std::move(info));
    first_.constants.push_back(value);
    return id;
  }

  func::FuncOp function_;
  NpuNetwork &first_;
  NpuNetwork own_;
  std::vector<ConstantId> ids_; ///< of the function's constants that were added
};

} // namespace

FailureOr<Network> bucketNetwork(func::FuncOp function, NpuNetwork &first) {
  FailureOr<NpuNetwork> own = networkOf(function);
  if (failed(own))
    return failure();
  return Merger(function, first, *std::move(own)).run();
}

} // namespace sdopt
