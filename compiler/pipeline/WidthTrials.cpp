//===- WidthTrials.cpp - what searched forms of weights take in a package ----===//

#include "compiler/pipeline/ModuleCompiler.h"
#include "compiler/pipeline/WeightReport.h"
#include "passes/prune/PrunedWeights.h"

using namespace mlir;

namespace sdopt {

absl::StatusOr<double> ModuleCompiler::storedBits() {
  progress("trial of a budget");
  trial_.emplace();
  const auto remarksBefore = static_cast<ptrdiff_t>(remarks_.size());
  OwningOpRef<ModuleOp> marked = std::exchange(module_, module_->clone());
  absl::StatusOr<double> bits = storedBitsOfTrial();
  module_ = std::move(marked);
  remarks_.erase(remarks_.begin() + remarksBefore, remarks_.end());
  return bits;
}

absl::StatusOr<double> ModuleCompiler::storedBitsOfTrial() {
  const auto remarksBefore = static_cast<ptrdiff_t>(remarks_.size());
  undoMarkedPruning(function(*module_));
  if (absl::Status status = round(); !status.ok())
    return status;
  trial_->module = module_->clone();
  trial_->remarks.assign(remarks_.begin() + remarksBefore, remarks_.end());
  for (auto passes : {&ModuleCompiler::runQuantizePasses, &ModuleCompiler::runLowerPasses,
                      &ModuleCompiler::runSchedulePasses})
    if (absl::Status status = (this->*passes)(); !status.ok())
      return status;
  absl::StatusOr<EmittableModule> emittable = prepareModule(function(*module_), target_);
  if (!emittable.ok())
    return emittable.status();
  // What coded weights take is known once they are packed.
  ConstantPacker packer(*emittable, target_, evaluation_);
  for (size_t i = 0; i < emittable->constants.size(); ++i)
    if (emittable->info.network.constants[i].kind == ConstantKind::Weights)
      if (auto packed = packer.pack(static_cast<ConstantId>(i)); !packed.ok())
        return packed.status();
  return storedBitsPerWeight(emittable->info, /*rows=*/false);
}

void ModuleCompiler::takeTrial() {
  module_ = std::move(trial_->module);
  remarks_.insert(remarks_.end(), trial_->remarks.begin(), trial_->remarks.end());
  trial_.reset();
}

} // namespace sdopt
