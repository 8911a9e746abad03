//===- Store.cpp - the smallest form of each layer's weights ------------------===//

#include "compiler/reference/Evaluator.h"
#include "compiler/reference/StoredCodes.h"
#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/WeightStorage.h"
#include "passes/schedule/NpuNetwork.h"
#include "passes/schedule/Passes.h"

#include "dialects/sd/BucketFunctions.h"
#include "dialects/sd/Resources.h"
#include "mlir/IR/Remarks.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_STORE
#include "passes/schedule/Passes.h.inc"

namespace {

/// "38912 bytes as 4 bit, ...; tried: plain 65536, ..."
std::string text(const StorageChoice &choice) {
  std::string out = std::to_string(choice.best().bytes) + " bytes as " + name(choice.best().form) +
                    "; codes carry " + std::to_string(static_cast<int64_t>(choice.entropy)) +
                    " bytes; tried";
  for (size_t i = 0; i < choice.tried.size(); ++i) {
    const MeasuredForm &measured = choice.tried[i];
    out += (i == 0 ? " " : ", ") + name(measured.form) + ": " + std::to_string(measured.bytes) +
           (measured.isFast ? "" : " (slower)");
  }
  return out;
}

std::optional<Storage> ruleOf(Operation *op) {
  auto rule = op->getAttrOfType<StringAttr>(npu::NpuDialect::kStorageRuleAttr);
  return rule ? parseStorage(rule.getValue()) : Storage::Auto;
}

/// What the layer does with `share` of its weights.
WeightUse useOf(const MatrixShape &shape, WinogradForm winograd, double share,
                const Target &target) {
  const auto products =
      static_cast<double>(shape.batch * shape.vertical.output * shape.horizontal.output) *
      static_cast<double>(shape.weightCount());
  return weightUse(share * products, shape.wideInput, winograd, target);
}

/// Outputs that tell what all of them are like: every n-th of a large layer, none of a small one,
/// which is looked at as a whole.
SmallVector<int64_t> sampledOutputs(const MatrixShape &shape) {
  constexpr int64_t kShare = 16, kLeastWeights = 4 * kMeasuredBlock;
  const int64_t row = shape.taps() * shape.inputChannels, all = shape.outputChannels;
  const int64_t count = std::max(all / kShare, ceilDiv(kLeastWeights, row));
  SmallVector<int64_t> outputs;
  if (2 * count <= all)
    for (int64_t i = 0; i < count; ++i)
      outputs.push_back(i * all / count);
  return outputs;
}

/// How the weights of one layer can be stored.
class LayerStorage {
public:
  LayerStorage(npu::Conv2dOp op, const MatrixShape &shape, Storage rule, const Resources &resources,
               ConstantCache &scales)
      : op_(op), shape_(shape), rule_(rule), resources_(resources), scales_(scales) {}

  FailureOr<StorageChoice> choose(WinogradForm winograd) {
    // Layouts of zeros need to know all of them.
    if (!codes_ && shape_.weights.isPlainInt8()) {
      FailureOr<std::optional<StorageChoice>> choice = ofSample(winograd);
      if (failed(choice))
        return failure();
      if (*choice)
        return **choice;
    }
    if (!codes_) {
      FailureOr<StoredCodes> codes = storedCodes(op_.getCodes(), resources_.evaluation, scales_);
      if (failed(codes))
        return failure();
      codes_ = *std::move(codes);
    }
    return of(codes_->weights, codes_->meant, winograd);
  }

private:
  FailureOr<std::optional<StorageChoice>> ofSample(WinogradForm winograd) {
    const std::optional<StorageChoice> none;
    const SmallVector<int64_t> outputs = sampledOutputs(shape_);
    if (outputs.empty() || (rule_ != Storage::Auto && rule_ != Storage::Entropy))
      return none;
    FailureOr<std::optional<Tensor>> weights =
        weightsOfOutputs(op_.getCodes(), outputs, resources_.evaluation);
    if (failed(weights))
      return failure();
    if (!*weights)
      return none;
    const Tensor &some = **weights;
    StorageChoice choice = of({some.values<int8_t>(), {}, {}}, some, winograd);
    if (hasManyZeros(choice.zeros, some.size()))
      return none;
    choice.extend(some.size(), shape_.weightCount());
    return std::optional(std::move(choice));
  }

  StorageChoice of(const StoredWeights &weights, const Tensor &meant, WinogradForm winograd) const {
    const double share =
        static_cast<double>(meant.size()) / static_cast<double>(shape_.weightCount());
    return chooseStorage(shape_.weights, weights, meant.values<int8_t>(),
                         {meant.dim(0), shape_.taps(), shape_.inputChannels}, rule_,
                         useOf(shape_, winograd, share, *resources_.target), *resources_.target);
  }

  npu::Conv2dOp op_;
  const MatrixShape &shape_;
  const Storage rule_;
  const Resources &resources_;
  ConstantCache &scales_;
  std::optional<StoredCodes> codes_;
};

struct StorePass : impl::StoreBase<StorePass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (sd::isLaterBucket(function))
      return;
    const Resources &resources = sd::resources(&getContext());
    if (!resources.target) {
      function.emitOpError("needs a target to choose forms of weights");
      return signalPassFailure();
    }
    for (Operation &op : function.getBody().front())
      op.removeAttr(npu::NpuDialect::kStorageAttr);
    FailureOr<NpuNetwork> npu = networkOf(function);
    if (failed(npu))
      return signalPassFailure();
    ConstantCache scales;
    for (size_t i = 0; i < npu->layerOps.size(); ++i)
      if (auto conv = dyn_cast<npu::Conv2dOp>(npu->layerOps[i]))
        if (failed(store(conv, npu->network, npu->network.layers[i], resources, scales)))
          return signalPassFailure();
  }

  static LogicalResult store(npu::Conv2dOp op, const Network &network, const Layer &layer,
                             const Resources &resources, ConstantCache &scales) {
    std::optional<Storage> rule = ruleOf(op);
    if (!rule)
      return op.emitOpError("has no storage rule ")
             << op->getAttr(npu::NpuDialect::kStorageRuleAttr);
    if (*rule == Storage::Plain)
      return success();
    const auto shape = std::get<MatrixShape>(shapeOf(network, layer));
    LayerStorage storage(op, shape, *rule, resources, scales);
    FailureOr<StorageChoice> chosen = storage.choose(shape.winograd);
    if (succeeded(chosen) && shape.winograd == WinogradForm::F2x2 &&
        isMostlyZeros(chosen->zeros, shape.weightCount())) {
      op->removeAttr(npu::NpuDialect::kWinogradAttr);
      chosen = storage.choose(WinogradForm::None);
    }
    if (failed(chosen))
      return failure();
    const StorageChoice &choice = *chosen;
    remark::analysis(op.getLoc(), remark::RemarkOpts::name("store").category("store"))
        << text(choice);
    const WeightForm &form = choice.best().form;
    if (form.varies())
      op->setAttr(npu::NpuDialect::kStorageAttr,
                  npu::StorageAttr::get(
                      op.getContext(), static_cast<npu::ZeroLayoutKind>(form.zeros), form.kept,
                      form.run, form.lanes, choice.share(), form.tellsZeros() ? choice.zeros : 0));
    return success();
  }
};

} // namespace
} // namespace sdopt
