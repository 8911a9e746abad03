//===- Timesteps.cpp - which denoising step a call belongs to -----------------===//

#include "compiler/calibration/Timesteps.h"

#include "compiler/kernels/IntegerKernels.h"
#include "dialects/sd/Sd.h"

#include <algorithm>
#include <functional>

using namespace mlir;

namespace sdopt {

namespace {

bool reachesTimeEmbedding(Value value) {
  return llvm::any_of(value.getUsers(), [](Operation *user) {
    if (isa<sd::TimeEmbeddingOp>(user))
      return true;
    return isa<sd::CastOp, sd::ReshapeOp, sd::QuantizeOp>(user) &&
           reachesTimeEmbedding(user->getResult(0));
  });
}

} // namespace

int64_t timestepInput(func::FuncOp function) {
  for (BlockArgument argument : function.getArguments())
    if (auto type = dyn_cast<RankedTensorType>(argument.getType());
        type && type.getRank() <= 1 && reachesTimeEmbedding(argument))
      return argument.getArgNumber();
  return -1;
}

absl::StatusOr<std::vector<double>> timestepsOf(func::FuncOp function, const SampleReader &reader) {
  int64_t input = timestepInput(function);
  std::vector<double> timesteps(reader.size());
  for (int64_t i = 0; input >= 0 && i < reader.size(); ++i) {
    absl::StatusOr<Tensor> tensor = reader.readInput(i, input);
    if (!tensor.ok())
      return tensor.status();
    if (tensor->size() > 0)
      timesteps[i] = tensor->converted(ElementType::F32).values<float>()[0];
  }
  return timesteps;
}

std::vector<double> evaluationWeights(const std::vector<double> &timesteps,
                                      TimestepWeights weights) {
  std::vector<double> result(timesteps.size(), 1.0), steps = timesteps;
  std::sort(steps.begin(), steps.end(), std::greater());
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  if (weights == TimestepWeights::Uniform || steps.size() < 2)
    return result;
  const double last = deterministicLog2(static_cast<double>(steps.size()));
  for (size_t i = 0; i < timesteps.size(); ++i) {
    const auto step = std::lower_bound(steps.begin(), steps.end(), timesteps[i], std::greater());
    result[i] = 1.2 - 0.4 * deterministicLog2(static_cast<double>(step - steps.begin() + 1)) / last;
  }
  return result;
}

TimestepBuckets::TimestepBuckets(std::vector<double> timesteps, size_t count) {
  std::sort(timesteps.begin(), timesteps.end());
  size_t bucket = 0;
  for (size_t i = 0; i < timesteps.size(); ++i) {
    // A new timestep belongs where the middle of its calls lies.
    if (i == 0 || timesteps[i] != timesteps[i - 1]) {
      size_t same = std::upper_bound(timesteps.begin() + i, timesteps.end(), timesteps[i]) -
                    (timesteps.begin() + i);
      size_t wanted = (2 * i + same) * count / (2 * timesteps.size());
      if (i == 0 || wanted > bucket)
        intervals_.push_back({timesteps[i], timesteps[i]});
      bucket = wanted;
    }
    intervals_.back().last = timesteps[i];
  }
  if (intervals_.empty())
    intervals_.resize(1);
}

size_t TimestepBuckets::indexOf(double timestep) const {
  size_t index = 0;
  while (index + 1 < intervals_.size() && intervals_[index + 1].first <= timestep)
    ++index;
  return index;
}

} // namespace sdopt
