//===- Schedule.cpp - tiles and places ----------------------------------------===//

#include "compiler/schedule/SramLayout.h"
#include "compiler/schedule/TileSearch.h"
#include "passes/schedule/NpuNetwork.h"
#include "passes/schedule/Passes.h"

#include "dialects/sd/BucketFunctions.h"
#include "mlir/IR/Remarks.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_SCHEDULE
#include "passes/schedule/Passes.h.inc"

namespace {

struct SchedulePass : impl::ScheduleBase<SchedulePass> {
  using ScheduleBase::ScheduleBase;

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (sd::isLaterBucket(function))
      return;
    const Target *target = sd::resources(&getContext()).target;
    if (!target) {
      function.emitOpError("needs a target to be scheduled");
      return signalPassFailure();
    }
    FailureOr<NpuNetwork> npu = networkOf(function);
    if (failed(npu))
      return signalPassFailure();
    absl::StatusOr<Plan> plan =
        planNetwork(npu->network, *target, {.joins = join, .residents = resident});
    absl::Status status = plan.status();
    if (status.ok())
      status = checkPlan(npu->network, *plan, *target);
    if (!status.ok()) {
      function.emitOpError() << std::string(status.message());
      return signalPassFailure();
    }
    setPlan(*npu, *plan, function);
    for (size_t i = 0; i < npu->layerOps.size(); ++i)
      mlir::remark::passed(npu->layerOps[i]->getLoc(),
                           mlir::remark::RemarkOpts::name("tile").category("schedule"))
          << (planText(plan->layers[i]) + ", DRAM " +
              std::to_string(plan->layers[i].cost.dramReadBytes +
                             plan->layers[i].cost.dramWriteBytes) +
              " bytes (bound " + std::to_string(plan->layers[i].cost.lowerBoundBytes) + ")");
  }
};

} // namespace
} // namespace sdopt
