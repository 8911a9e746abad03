// Decodes weights of some layers at a time.

#include "compiler/simulator/DecodedWeights.h"

#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/MemoryLimit.h"
#include "compiler/kernels/RecycledTensor.h"

#include <algorithm>

namespace sdopt {
namespace {

/// Weights that are decoded at once, if a layer does not have more.
constexpr int64_t kAhead = 16 << 20;

int64_t codedWeights(const WholeWeights &part) {
  return part.form.isPlainInt8() ? 0 : part.block.extent.weights();
}

int64_t codedWeights(const WholeLayer &layer) {
  int64_t sum = 0;
  for (const WholeWeights &part : layer.weights)
    sum += codedWeights(part);
  return sum;
}

struct Job {
  const WholeWeights *part;
  int8_t *weights;
  bool isSound = true;
};

} // namespace

std::span<const WeightTile> DecodedWeights::of(size_t layer) {
  if (layer < first_ || layer >= first_ + tiles_.size())
    decode(layer);
  return tiles_[layer - first_];
}

void DecodedWeights::decode(size_t first) {
  int64_t coded = codedWeights(layers_[first]);
  const bool fits = keptBytes(coded) >= coded;
  const int64_t most = fits ? keptBytes(kAhead) : 0;
  size_t end = first + 1;
  for (; end < layers_.size() && coded + codedWeights(layers_[end]) <= most; ++end)
    coded += codedWeights(layers_[end]);
  first_ = first;
  tiles_.assign(end - first, {});
  if (!fits)
    return;
  if (decoded_.byteSize() < coded) { // all use the same pages if they can
    decoded_ = Tensor();
    decoded_ = recycledTensor(ElementType::I8, {std::max(coded, most)});
  }
  int8_t *next = decoded_.mutableValues<int8_t>().data();
  std::vector<Job> jobs;
  for (size_t i = first; i < end; ++i)
    for (const WholeWeights &part : layers_[i].weights) {
      const WeightBlock &block = part.block;
      const std::byte *stored = constants_.data() + block.offset;
      const bool isPlain = part.form.isPlainInt8();
      tiles_[i - first].push_back({block.firstOutput, block.extent.outputs, block.firstInput,
                                   block.extent.inputs,
                                   isPlain ? reinterpret_cast<const int8_t *>(stored) : next});
      if (isPlain)
        continue;
      jobs.push_back({&part, next});
      next += codedWeights(part);
    }
  // The largest first, so that no thread is left with one in the end.
  std::vector<Job *> order;
  for (Job &job : jobs)
    order.push_back(&job);
  std::ranges::stable_sort(order, std::greater<>(),
                           [](const Job *job) { return codedWeights(*job->part); });
  parallelFor(static_cast<int64_t>(order.size()), [&](int64_t i, int) {
    Job &job = *order[i];
    const WeightBlock &block = job.part->block;
    job.isSound = decodeWeights(
        job.part->form, block.extent,
        constants_.subspan(static_cast<size_t>(block.offset), static_cast<size_t>(block.bytes)),
        job.weights);
  });
  size_t job = 0;
  for (size_t i = first; i < end; ++i)
    for (const WholeWeights &part : layers_[i].weights)
      if (!part.form.isPlainInt8() && !jobs[job++].isSound)
        tiles_[i - first].clear();
}

} // namespace sdopt
