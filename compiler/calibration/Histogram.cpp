//===- Histogram.cpp - counts that merge exactly ----------------------------===//

#include "compiler/calibration/Histogram.h"

#include "compiler/kernels/TargetClones.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sdopt {

namespace {

constexpr size_t kBlock = 512;

/// A greater one gives the same bins.
constexpr int kLargestShift = 30;

/// In double the product is exact, so that tiny negative numbers stay below zero.
SDOPT_CLONES void binsOf(const float *__restrict values, size_t count, double reciprocal,
                         int32_t half, int32_t *__restrict bins) {
  for (size_t i = 0; i < count; ++i) {
    double scaled = values[i] * reciprocal;
    int32_t bin = static_cast<int32_t>(scaled);
    bins[i] = bin - (scaled < bin ? 1 : 0) + half;
  }
}

} // namespace

/// Smallest exponent with low >= -half 2^e and high < half 2^e.
int Histogram::exponentFor(float low, float high) const {
  const int halfExponent = std::countr_zero(static_cast<unsigned>(half()));
  int exponent = kSmallestExponent, binary = 0;
  if (high > 0) {
    std::frexp(high, &binary);
    exponent = std::max(exponent, binary - halfExponent);
  }
  if (low < 0) {
    bool powerOfTwo = std::frexp(-low, &binary) == 0.5f;
    exponent = std::max(exponent, binary - halfExponent - (powerOfTwo ? 1 : 0));
  }
  return exponent;
}

void Histogram::widen(int exponent) {
  int shift = std::min(exponent - exponent_, kLargestShift);
  exponent_ = std::max(exponent_, exponent);
  if (shift <= 0)
    return;
  std::vector<uint64_t> wide(counts_.size());
  // An arithmetic shift is the floor of a division.
  for (int i = 0; i < bins(); ++i)
    wide[((i - half()) >> shift) + half()] += counts_[i];
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
    binsOf(values.data() + first, count, reciprocal, half(), bins.data());
    for (size_t i = 0; i < count; ++i)
      ++counts_[bins[i]];
  }
}

void Histogram::merge(const Histogram &other) {
  // As wide as the other's bins would be if there were as many as here.
  int coarser = std::countr_zero(static_cast<unsigned>(other.bins())) -
                std::countr_zero(static_cast<unsigned>(bins()));
  widen(std::max(other.exponent_ + coarser, kSmallestExponent));
  int shift = std::min(exponent_ - other.exponent_, kLargestShift);
  for (int i = 0; i < other.bins(); ++i)
    counts_[((i - other.half()) >> shift) + half()] += other.counts_[i];
}

double Histogram::center(int bin) const { return std::ldexp(bin - half() + 0.5, exponent_); }

double Histogram::edge(int bin) const { return std::ldexp(bin - half(), exponent_); }

bool Histogram::restore(int exponent, int firstBin, std::span<const uint64_t> counts) {
  if (exponent < kSmallestExponent || exponent > 128 || firstBin < -half() || firstBin > half() ||
      counts.size() > static_cast<size_t>(half() - firstBin))
    return false;
  exponent_ = exponent;
  std::fill(counts_.begin(), counts_.end(), 0);
  std::copy(counts.begin(), counts.end(), counts_.begin() + firstBin + half());
  return true;
}

} // namespace sdopt
