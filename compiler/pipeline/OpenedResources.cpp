//===- OpenedResources.cpp - who owns what passes read ------------------------===//

#include "compiler/pipeline/OpenedResources.h"

#include "compiler/kernels/IntegerKernels.h"

namespace sdopt {

namespace {

absl::Status openTensors(const std::string &path, std::unique_ptr<TensorFile> &owner,
                         const TensorFile *&lent) {
  if (path.empty())
    return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<TensorFile>> file = TensorFile::open(path);
  if (!file.ok())
    return file.status();
  owner = *std::move(file);
  lent = owner.get();
  return absl::OkStatus();
}

} // namespace

void OpenedResources::lendTo(mlir::MLIRContext &context) {
  lent_ = &sd::resources(&context);
  lent_->evaluation = {.kernels = &fastKernels(), .weights = &weights, .scales = &scales};
  lent_->overlay = &weights;
  lent_->imposed = &imposed;
}

void OpenedResources::lendStatistics(Statistics known) {
  statistics = std::move(known);
  lent_->statistics = &statistics;
}

absl::Status OpenedResources::openMasks(const std::string &path) {
  return openTensors(path, masks, lent_->masks);
}

absl::Status OpenedResources::openCodebooks(const std::string &path) {
  return openTensors(path, codebooks, lent_->codebooks);
}

} // namespace sdopt
