//===- Store.cpp - the smallest form of each layer's weights ------------------===//

#include "compiler/reference/Evaluator.h"
#include "compiler/reference/StoredCodes.h"
#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/WeightStorage.h"
#include "passes/schedule/NpuNetwork.h"
#include "passes/schedule/Passes.h"

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

WeightUse useOf(const MatrixShape &shape, const Target &target) {
  const auto products =
      static_cast<double>(shape.batch * shape.vertical.output * shape.horizontal.output) *
      static_cast<double>(shape.weightCount());
  return weightUse(products, shape.wideInput, shape.winograd, target);
}

struct StorePass : impl::StoreBase<StorePass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
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
    FailureOr<StoredCodes> codes = storedCodes(op.getCodes(), resources.evaluation, scales);
    if (failed(codes))
      return failure();
    auto shape = std::get<MatrixShape>(shapeOf(network, layer));
    const auto choose = [&] {
      return chooseStorage(shape.weights, codes->weights, codes->meant.values<int8_t>(),
                           {shape.outputChannels, shape.taps(), shape.inputChannels}, *rule,
                           useOf(shape, *resources.target), *resources.target);
    };
    StorageChoice choice = choose();
    if (shape.winograd && isMostlyZeros(choice.zeros, shape.weightCount())) {
      op->removeAttr(npu::NpuDialect::kWinogradAttr);
      shape.winograd = false;
      choice = choose();
    }
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
