//===- Histogram.cpp - counts that merge exactly ----------------------------===//

#include "compiler/calibration/Histogram.h"

#include "compiler/kernels/TargetClones.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

constexpr int kHalf = Histogram::kBins / 2;
constexpr int kHalfExponent = 10; // kHalf = 2^10

/// Smallest exponent with low >= -kHalf 2^e and high < kHalf 2^e.
int exponentFor(float low, float high) {
  int exponent = Histogram::kSmallestExponent, binary = 0;
  if (high > 0) {
    std::frexp(high, &binary);
    exponent = std::max(exponent, binary - kHalfExponent);
  }
  if (low < 0) {
    bool powerOfTwo = std::frexp(-low, &binary) == 0.5f;
    exponent = std::max(exponent, binary - kHalfExponent - (powerOfTwo ? 1 : 0));
  }
  return exponent;
}

constexpr size_t kBlock = 512;

/// In double the product is exact, so that tiny negative numbers stay below zero.
SDOPT_CLONES void binsOf(const float *__restrict values, size_t count, double reciprocal,
                         int32_t *__restrict bins) {
  for (size_t i = 0; i < count; ++i) {
    double scaled = values[i] * reciprocal;
    int32_t bin = static_cast<int32_t>(scaled);
    bins[i] = bin - (scaled < bin ? 1 : 0) + kHalf;
  }
}

} // namespace

void Histogram::widen(int exponent) {
  int shift = std::min(exponent - exponent_, 12);
  exponent_ = std::max(exponent_, exponent);
  if (shift <= 0)
    return;
  std::vector<uint64_t> wide(kBins);
  // An arithmetic shift is the floor of a division.
  for (int i = 0; i < kBins; ++i)
    wide[((i - kHalf) >> shift) + kHalf] += counts_[i];
  counts_ = std::move(wide);
}

void Histogram::add(std::span<const float> values) {
  if (values.empty())
    return;
  float low = values[0], high = values[0];
  for (float value : values) {
    low = value < low ? value : low;
    high = value > high ? value : high;
  }
  add(values, low, high);
}

void Histogram::add(std::span<const float> values, float low, float high) {
  widen(exponentFor(low, high));
  double reciprocal = std::ldexp(1.0, -exponent_);
  std::array<int32_t, kBlock> bins;
  for (size_t first = 0; first < values.size(); first += kBlock) {
    size_t count = std::min(kBlock, values.size() - first);
    binsOf(values.data() + first, count, reciprocal, bins.data());
    for (size_t i = 0; i < count; ++i)
      ++counts_[bins[i]];
  }
}

void Histogram::merge(const Histogram &other) {
  Histogram copy = other;
  copy.widen(exponent_);
  widen(copy.exponent_);
  for (int i = 0; i < kBins; ++i)
    counts_[i] += copy.counts_[i];
}

double Histogram::center(int bin) const { return std::ldexp(bin - kHalf + 0.5, exponent_); }

bool Histogram::restore(int exponent, int firstBin, std::span<const uint64_t> counts) {
  if (exponent < kSmallestExponent || exponent > 128 || firstBin < -kHalf || firstBin > kHalf ||
      counts.size() > static_cast<size_t>(kHalf - firstBin))
    return false;
  exponent_ = exponent;
  std::fill(counts_.begin(), counts_.end(), 0);
  std::copy(counts.begin(), counts.end(), counts_.begin() + firstBin + kHalf);
  return true;
}

} // namespace sdopt
