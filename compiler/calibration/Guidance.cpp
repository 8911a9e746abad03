//===- Guidance.cpp - what quantization does to guided noise ------------------===//

#include "compiler/calibration/Guidance.h"

#include "compiler/files/Blake3.h"

namespace sdopt {

GuidancePairs::Row GuidancePairs::describe(const Sample &sample, int64_t row) {
  const Tensor *leading = nullptr;
  for (const Tensor &input : sample.inputs)
    if (!leading || input.rank() > leading->rank())
      leading = &input;
  Blake3 same, others;
  for (const Tensor &input : sample.inputs) {
    std::span<const std::byte> bytes{input.bytes(), static_cast<size_t>(input.byteSize())};
    bool hasRows = input.rank() > 0 && leading->rank() > 0 && input.dim(0) == leading->dim(0);
    if (hasRows) {
      size_t size = bytes.size() / input.dim(0);
      bytes = bytes.subspan(row * size, size);
    }
    (&input == leading || input.rank() <= 1 ? same : others).update(bytes);
  }
  return {.latent = same.hex(), .others = others.hex(), .reference = {}, .actual = {}};
}

std::optional<GuidanceErrors> GuidancePairs::pair(const Row &unconditional,
                                                  const Row &conditional) const {
  if (unconditional.latent != conditional.latent || unconditional.others == conditional.others)
    return std::nullopt;
  GuidanceErrors errors;
  for (size_t i = 0; i < unconditional.reference.size(); ++i) {
    double u = unconditional.reference[i], c = conditional.reference[i];
    double v = unconditional.actual[i], d = conditional.actual[i];
    errors.guided.add(u + scale_ * (c - u), v + scale_ * (d - v));
    errors.signal.add(c - u, d - v);
  }
  return errors;
}

std::vector<GuidanceErrors> GuidancePairs::add(const SampleOrigin &origin, const Sample &sample,
                                               std::span<const float> reference,
                                               std::span<const float> actual) {
  std::vector<GuidanceErrors> pairs;
  if (sample.rows == 0 || reference.size() % sample.rows != 0 ||
      (origin.rows > 1 && origin.rows % 2 != 0))
    return pairs;
  size_t size = reference.size() / sample.rows;
  auto part = [size](std::span<const float> values, int64_t row) {
    std::span<const float> found = values.subspan(row * size, size);
    return std::vector<float>(found.begin(), found.end());
  };
  // Of calls that --limit left out no partner comes.
  waiting_.erase(waiting_.begin(), waiting_.lower_bound({origin.file, origin.call, 0}));
  for (int64_t r = 0; r < sample.rows; ++r) {
    int64_t row = origin.firstRow + r, half = origin.rows / 2;
    bool isConditional = origin.rows == 1 ? origin.call % 2 == 1 : row >= half;
    Row described = describe(sample, r);
    described.reference = part(reference, r);
    described.actual = part(actual, r);
    if (!isConditional) {
      Key partner = origin.rows == 1 ? Key{origin.file, origin.call + 1, 0}
                                     : Key{origin.file, origin.call, row + half};
      waiting_[partner] = std::move(described);
      continue;
    }
    auto partner = waiting_.find({origin.file, origin.call, row});
    if (partner == waiting_.end())
      continue;
    if (std::optional<GuidanceErrors> errors = pair(partner->second, described))
      pairs.push_back(*errors);
    waiting_.erase(partner);
  }
  return pairs;
}

} // namespace sdopt
