//===- ZeroLayouts.h - where the weights are that are not 0 -----*- C++ -*-===//
//
// The part of a weight stream that tells which codes it holds (docs/format.md, "Weights that are
// 0"). Masks have a byte for each weight of a block [outputs][taps][inputs]: 1 if its code is
// stored.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_ZEROLAYOUTS_H
#define SDOPT_COMPILER_KERNELS_ZEROLAYOUTS_H

#include "compiler/kernels/WeightStream.h"

#include <optional>
#include <vector>

namespace sdopt {

/// Bits that tell which `kept` of `run` places: the least that number the combinations.
int64_t combinationBits(int64_t kept, int64_t run);

/// Codes that a Structured block stores, and the bytes that tell where.
int64_t structuredCodes(const WeightForm &form, const WeightExtent &block);
int64_t structuredBytes(const WeightForm &form, const WeightExtent &block);

/// Appends what tells where the stored codes are, and the codes in their order. `weights` are what
/// `codes` mean. False if a run has more weights other than 0 than the form keeps.
bool writeZeros(const WeightForm &form, const WeightExtent &block, std::span<const int8_t> weights,
                std::span<const int8_t> codes, std::vector<std::byte> &stream,
                std::vector<int8_t> &stored);

/// Where the codes of a stream go.
struct StoredPlaces {
  /// Of each stored code, in their order; negative: it is of no weight of the block.
  std::vector<int64_t> places;
  size_t bytes = 0; ///< of the stream that told it
};
/// Nothing if `stream` does not begin with such a part. Not for Dense.
std::optional<StoredPlaces> readZeros(const WeightForm &form, const WeightExtent &block,
                                      std::span<const std::byte> stream);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_ZEROLAYOUTS_H
