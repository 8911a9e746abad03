//===- ZeroLayouts.cpp - where the weights are that are not 0 ----------------===//

#include "compiler/kernels/ZeroLayouts.h"

#include "compiler/kernels/BitStream.h"

#include <algorithm>
#include <array>
#include <bit>

namespace sdopt {

namespace {

constexpr int64_t kRunBits = 4;
constexpr int64_t kLongestZeros = (1 << kRunBits) - 1; ///< before one stored code
constexpr int64_t kCountBits = 32;

int64_t bytesOf(int64_t bits) { return (bits + 7) / 8; }

int64_t binomial(int64_t n, int64_t k) {
  int64_t result = 1;
  for (int64_t i = 1; i <= k; ++i)
    result = result * (n - k + i) / i;
  return k > n ? 0 : result;
}

int64_t runsOfRow(const WeightForm &form, const WeightExtent &block) {
  return (block.firstInRun + block.inputs + form.run - 1) / form.run;
}

/// The number of a set of places among those of as many places, as sets are ordered by their
/// largest place first (the order of the masks as numbers).
uint32_t rankOf(uint32_t mask) {
  int64_t rank = 0, members = 0;
  for (; mask != 0; mask &= mask - 1)
    rank += binomial(std::countr_zero(mask), ++members);
  return static_cast<uint32_t>(rank);
}

/// Masks by rank.
std::vector<uint16_t> masksOf(int64_t kept, int64_t run) {
  std::vector<uint16_t> masks;
  const uint32_t end = uint32_t{1} << run;
  for (uint32_t mask = (uint32_t{1} << kept) - 1; mask < end;) {
    masks.push_back(static_cast<uint16_t>(mask));
    const uint32_t lowest = mask & (~mask + 1), carried = mask + lowest;
    mask = carried | ((mask ^ carried) / lowest >> 2); // the next with as many bits
  }
  return masks;
}

/// Calls body(first, mask of those in the block) for each run of a block; `first` is where the
/// run's place 0 would be. Stops when body says false.
template <typename Body>
bool forRuns(const WeightForm &form, const WeightExtent &block, Body body) {
  const int64_t rows = block.outputs * block.taps, runs = runsOfRow(form, block);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t r = 0; r < runs; ++r) {
      const int64_t begin = r * form.run - block.firstInRun;
      const int64_t low = std::max<int64_t>(0, -begin),
                    high = std::min(form.run, block.inputs - begin);
      const uint32_t inside = (uint32_t{1} << high) - (uint32_t{1} << low);
      if (!body(row * block.inputs + begin, inside))
        return false;
    }
  return true;
}

/// The places that are kept: those of weights other than 0, then others of the block, then any.
std::optional<uint32_t> choosePlaces(uint32_t needed, uint32_t inside, const WeightForm &form) {
  if (std::popcount(needed) > form.kept)
    return std::nullopt;
  const uint32_t all = (uint32_t{1} << form.run) - 1;
  uint32_t chosen = needed;
  for (uint32_t more : {inside & ~needed, all & ~inside})
    for (; more != 0 && std::popcount(chosen) < form.kept; more &= more - 1)
      chosen |= more & (~more + 1);
  return chosen;
}

bool writeStructured(const WeightForm &form, const WeightExtent &block,
                     std::span<const int8_t> weights, std::span<const int8_t> codes,
                     std::vector<std::byte> &stream, std::vector<int8_t> &stored) {
  BitAppender bits(stream);
  const int64_t width = combinationBits(form.kept, form.run);
  const bool fits = forRuns(form, block, [&](int64_t first, uint32_t inside) {
    uint32_t needed = 0;
    for (uint32_t rest = inside; rest != 0; rest &= rest - 1)
      if (const int place = std::countr_zero(rest); weights[first + place] != 0)
        needed |= uint32_t{1} << place;
    const std::optional<uint32_t> chosen = choosePlaces(needed, inside, form);
    if (!chosen)
      return false;
    bits.add(rankOf(*chosen), width);
    for (uint32_t rest = *chosen; rest != 0; rest &= rest - 1) {
      const int place = std::countr_zero(rest);
      stored.push_back((inside >> place & 1) != 0 ? codes[first + place] : int8_t{0});
    }
    return true;
  });
  bits.finish();
  return fits;
}

void writeBitmap(std::span<const int8_t> weights, std::span<const int8_t> codes,
                 std::vector<std::byte> &stream, std::vector<int8_t> &stored) {
  BitAppender bits(stream);
  for (size_t i = 0; i < weights.size(); ++i) {
    bits.add(weights[i] != 0 ? 1 : 0, 1);
    if (weights[i] != 0)
      stored.push_back(codes[i]);
  }
  bits.finish();
}

void writeRuns(std::span<const int8_t> weights, std::span<const int8_t> codes,
               std::vector<std::byte> &stream, std::vector<int8_t> &stored) {
  std::vector<uint8_t> zeros; // before each stored code
  int64_t run = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0 && run < kLongestZeros) {
      ++run;
      continue;
    }
    zeros.push_back(static_cast<uint8_t>(run));
    stored.push_back(codes[i]);
    run = 0;
  }
  // A code at the end of a long run may have only zeros after it.
  BitAppender bits(stream);
  bits.add(static_cast<uint32_t>(zeros.size()), kCountBits);
  for (uint8_t count : zeros)
    bits.add(count, kRunBits);
  bits.finish();
}

std::optional<StoredPlaces> readStructured(const WeightForm &form, const WeightExtent &block,
                                           std::span<const std::byte> stream) {
  StoredPlaces result;
  result.bytes = static_cast<size_t>(structuredBytes(form, block));
  if (stream.size() < result.bytes)
    return std::nullopt;
  result.places.reserve(static_cast<size_t>(structuredCodes(form, block)));
  BitReader bits(stream.first(result.bytes));
  const int64_t width = combinationBits(form.kept, form.run);
  const std::vector<uint16_t> masks = masksOf(form.kept, form.run);
  const bool known = forRuns(form, block, [&](int64_t first, uint32_t inside) {
    const uint32_t rank = bits.take(width);
    if (rank >= masks.size())
      return false;
    for (uint32_t rest = masks[rank]; rest != 0; rest &= rest - 1) {
      const int place = std::countr_zero(rest);
      result.places.push_back((inside >> place & 1) != 0 ? first + place : -1);
    }
    return true;
  });
  if (!known || !bits.restIsZero())
    return std::nullopt;
  return result;
}

std::optional<StoredPlaces> readBitmap(const WeightExtent &block,
                                       std::span<const std::byte> stream) {
  StoredPlaces result;
  const int64_t weights = block.weights();
  result.bytes = static_cast<size_t>(bytesOf(weights));
  if (stream.size() < result.bytes)
    return std::nullopt;
  for (int64_t byte = 0; byte < static_cast<int64_t>(result.bytes); ++byte)
    for (auto rest = static_cast<uint32_t>(stream[byte]); rest != 0; rest &= rest - 1)
      result.places.push_back(8 * byte + std::countr_zero(rest));
  if (!result.places.empty() && result.places.back() >= weights)
    return std::nullopt;
  return result;
}

std::optional<StoredPlaces> readRuns(const WeightExtent &block, std::span<const std::byte> stream) {
  StoredPlaces result;
  BitReader bits(stream);
  const int64_t count = bits.take(kCountBits), weights = block.weights();
  if (count > weights || bits.overrun())
    return std::nullopt;
  int64_t place = -1;
  for (int64_t i = 0; i < count; ++i) {
    place += 1 + bits.take(kRunBits);
    if (place >= weights)
      return std::nullopt;
    result.places.push_back(place);
  }
  result.bytes = bits.position();
  if (bits.overrun() || !bits.restIsZero())
    return std::nullopt;
  return result;
}

} // namespace

int64_t combinationBits(int64_t kept, int64_t run) {
  return std::bit_width(static_cast<uint64_t>(binomial(run, kept)) - 1);
}

int64_t structuredCodes(const WeightForm &form, const WeightExtent &block) {
  return block.outputs * block.taps * runsOfRow(form, block) * form.kept;
}

int64_t structuredBytes(const WeightForm &form, const WeightExtent &block) {
  return bytesOf(block.outputs * block.taps * runsOfRow(form, block) *
                 combinationBits(form.kept, form.run));
}

bool writeZeros(const WeightForm &form, const WeightExtent &block, std::span<const int8_t> weights,
                std::span<const int8_t> codes, std::vector<std::byte> &stream,
                std::vector<int8_t> &stored) {
  switch (form.zeros) {
  case ZeroLayout::Structured:
    return writeStructured(form, block, weights, codes, stream, stored);
  case ZeroLayout::Bitmap:
    writeBitmap(weights, codes, stream, stored);
    break;
  case ZeroLayout::Runs:
    writeRuns(weights, codes, stream, stored);
    break;
  case ZeroLayout::Dense:
    stored.assign(codes.begin(), codes.end());
    break;
  }
  return true;
}

std::optional<StoredPlaces> readZeros(const WeightForm &form, const WeightExtent &block,
                                      std::span<const std::byte> stream) {
  switch (form.zeros) {
  case ZeroLayout::Structured:
    return readStructured(form, block, stream);
  case ZeroLayout::Bitmap:
    return readBitmap(block, stream);
  case ZeroLayout::Runs:
    return readRuns(block, stream);
  case ZeroLayout::Dense:
    break;
  }
  return std::nullopt;
}

} // namespace sdopt
