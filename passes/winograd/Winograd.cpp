//===- Winograd.cpp - which convolutions take fewer products ------------------===//

#include "compiler/kernels/KernelThreads.h"
#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/WinogradLayers.h"
#include "passes/schedule/NpuNetwork.h"
#include "passes/winograd/Passes.h"

#include "dialects/sd/BucketFunctions.h"
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
    if (sd::isLaterBucket(function))
      return;
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
    if (!multipliesTransformed(WinogradForm::F2x2, target->array.multiplier))
      return;
    const Network &network = npu->network;
    std::map<std::vector<int64_t>, size_t> known;
    SmallVector<const Layer *> different;
    SmallVector<std::pair<npu::Conv2dOp, size_t>> layers;
    for (size_t i = 0; i < npu->layerOps.size(); ++i) {
      auto conv = dyn_cast<npu::Conv2dOp>(npu->layerOps[i]);
      if (!conv || conv.getTapShifts())
        continue;
      const Layer &layer = network.layers[i];
      const LayerShape shape = shapeOf(network, layer);
      const auto &matrix = std::get<MatrixLayer>(layer.spec);
      if (!winogradProblem(WinogradForm::F2x2, matrix, network.constants[matrix.weights],
                           std::get<MatrixShape>(shape).inputChannels)
               .empty())
        continue;
      auto [found, isNew] = known.try_emplace(signature(shape), different.size());
      if (isNew)
        different.push_back(&layer);
      layers.push_back({conv, found->second});
    }
    std::vector<WinogradChoice> choices(different.size());
    parallelFor(static_cast<int64_t>(different.size()), [&](int64_t i, int) {
      choices[i] = winogradChoice(network, *different[i], *target);
    });
    for (auto [conv, index] : layers)
      mark(conv, choices[index]);
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
