//===- SplitTimesteps.cpp - a function for each bucket of timesteps -----------===//

#include "passes/quantize/LayerStatistics.h"
#include "passes/quantize/Passes.h"

#include "absl/strings/str_cat.h"
#include "dialects/sd/BucketFunctions.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Remarks.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_SPLITTIMESTEPS
#include "passes/quantize/Passes.h.inc"

namespace {

struct SplitTimestepsPass : impl::SplitTimestepsBase<SplitTimestepsPass> {
  void runOnOperation() override {
    const Resources &resources = sd::resources(&getContext());
    for (func::FuncOp function : llvm::to_vector(getOperation().getOps<func::FuncOp>())) {
      if (failed(checkStatistics(function)))
        return signalPassFailure();
      const auto &intervals = resources.statistics->timesteps();
      const auto most = static_cast<size_t>(resources.recipe->timestepBuckets);
      if (most < 2 || timestepInput(function) < 0)
        continue;
      if (intervals.size() > most) {
        function.emitOpError("has statistics of ")
            << intervals.size()
            << " buckets of timesteps but the recipe says 'timestep_buckets: " << most
            << "'; calibrate again with this recipe";
        return signalPassFailure();
      }
      split(function, intervals);
    }
  }

private:
  static void split(func::FuncOp function, ArrayRef<TimestepBuckets::Interval> intervals) {
    const auto options = remark::RemarkOpts::name("split-timesteps").category("quantize");
    if (intervals.size() < 2) {
      remark::missed(function.getLoc(), options) << "the samples are of one timestep";
      return;
    }
    OpBuilder builder(function);
    if (!function->hasAttr(kCalibratedAttribute))
      function->setAttr(kCalibratedAttribute, builder.getStringAttr(functionDigest(function)));
    std::string firsts;
    func::FuncOp last = function;
    for (auto [i, interval] : llvm::enumerate(intervals)) {
      func::FuncOp bucket = function;
      if (i > 0) {
        bucket = function.clone();
        bucket.setSymName(sd::bucketName(function.getSymName(), i));
        builder.setInsertionPointAfter(last);
        builder.insert(bucket);
      }
      bucket->setAttr(sd::kFirstTimestepAttribute, builder.getF64FloatAttr(interval.first));
      firsts += (i > 0 ? ", " : "") + absl::StrCat(interval.first);
      last = bucket;
    }
    remark::passed(function.getLoc(), options)
        << "scales of their own for the timesteps from " + firsts + " on";
  }
};

} // namespace
} // namespace sdopt
