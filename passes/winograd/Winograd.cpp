//===- Winograd.cpp - which convolutions take fewer products ------------------===//

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/WinogradLayers.h"
#include "passes/schedule/NpuNetwork.h"
#include "passes/winograd/Passes.h"

#include "dialects/sd/Resources.h"
#include "mlir/IR/Remarks.h"

#include <map>

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_WINOGRAD
#include "passes/winograd/Passes.h.inc"

namespace {

std::string cycles(const std::optional<int64_t> &count) {
  return count ? std::to_string(*count) + " cycles" : "no tiling that fits";
}

struct WinogradPass : impl::WinogradBase<WinogradPass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    const Target *target = sd::resources(&getContext()).target;
    if (!target) {
      function.emitOpError("needs a target to choose convolutions by winograd");
      return signalPassFailure();
    }
    for (Operation &op : function.getBody().front())
      op.removeAttr(npu::NpuDialect::kWinogradAttr);
    FailureOr<NpuNetwork> npu = networkOf(function);
    if (failed(npu))
      return signalPassFailure();
    if (!multipliesTransformed(target->array.multiplier))
      return;
    const Network &network = npu->network;
    std::map<std::vector<int64_t>, WinogradChoice> known;
    for (size_t i = 0; i < npu->layerOps.size(); ++i) {
      auto conv = dyn_cast<npu::Conv2dOp>(npu->layerOps[i]);
      if (!conv)
        continue;
      const Layer &layer = network.layers[i];
      const LayerShape shape = shapeOf(network, layer);
      const auto &matrix = std::get<MatrixLayer>(layer.spec);
      if (!winogradProblem(matrix, network.constants[matrix.weights],
                           std::get<MatrixShape>(shape).inputChannels)
               .empty())
        continue;
      auto [choice, isNew] = known.try_emplace(signature(shape));
      if (isNew)
        choice->second = winogradChoice(network, layer, *target);
      mark(conv, choice->second);
    }
  }

  static void mark(npu::Conv2dOp op, const WinogradChoice &choice) {
    const std::string both =
        cycles(choice.winograd) + " by winograd, " + cycles(choice.direct) + " without";
    const auto options = remark::RemarkOpts::name("winograd").category("winograd");
    if (!choice.pays()) {
      remark::missed(op.getLoc(), options) << both;
      return;
    }
    remark::passed(op.getLoc(), options) << both;
    op->setAttr(npu::NpuDialect::kWinogradAttr, UnitAttr::get(op.getContext()));
  }
};

} // namespace
} // namespace sdopt
