#include "compiler/winograd/WinogradBounds.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace sdopt {
namespace {

int64_t magnitude(Interval interval) {
  return std::max(std::abs(interval.least), std::abs(interval.most));
}

Matrix<int64_t> magnitudes(const Matrix<Interval> &ranges) {
  Matrix<int64_t> result(ranges.rows, ranges.columns);
  std::ranges::transform(ranges.entries, result.entries.begin(), magnitude);
  return result;
}

/// The most terms of that magnitude whose sum is below 2^(bits - 1).
int64_t terms(int64_t magnitude, int64_t bits) {
  return ((int64_t{1} << (bits - 1)) - 1) / std::max<int64_t>(magnitude, 1);
}

} // namespace

int64_t signedBits(Interval interval) {
  const auto bits = [](int64_t value) {
    return std::bit_width(static_cast<uint64_t>(value < 0 ? ~value : value)) + 1;
  };
  return std::max(bits(interval.least), bits(interval.most));
}

Interval productsOf(Interval a, Interval b) {
  const auto [least, most] =
      std::minmax({a.least * b.least, a.least * b.most, a.most * b.least, a.most * b.most});
  return {least, most};
}

Matrix<Interval> transformedRanges(const Matrix<int64_t> &transform, Interval each) {
  Matrix<Interval> ranges(transform.rows, transform.rows);
  for (int64_t y = 0; y < transform.rows; ++y)
    for (int64_t x = 0; x < transform.rows; ++x)
      for (int64_t a : transform.row(y))
        for (int64_t b : transform.row(x)) {
          const Interval term = productsOf({a * b, a * b}, each);
          ranges.at(y, x).least += term.least;
          ranges.at(y, x).most += term.most;
        }
  return ranges;
}

int64_t WinogradBounds::channelsOfSums(int64_t bits) const { return terms(largestProduct, bits); }
int64_t WinogradBounds::channelsOfResults(int64_t bits) const { return terms(largestResult, bits); }

WinogradBounds winogradBounds(const IntegerTransforms &transforms, Interval codes,
                              Interval weights) {
  const Matrix<Interval> inputs = transformedRanges(transforms.input, codes),
                         filters = transformedRanges(transforms.filter, weights);
  const Matrix<int64_t> x = magnitudes(inputs), w = magnitudes(filters);
  WinogradBounds bounds;
  for (size_t i = 0; i < inputs.entries.size(); ++i) {
    bounds.inputBits = std::max(bounds.inputBits, signedBits(inputs.entries[i]));
    bounds.filterBits = std::max(bounds.filterBits, signedBits(filters.entries[i]));
    bounds.productBits =
        std::max(bounds.productBits, signedBits(productsOf(inputs.entries[i], filters.entries[i])));
    bounds.largestProduct = std::max(bounds.largestProduct, x.entries[i] * w.entries[i]);
  }
  const int64_t taps = transforms.taps();
  bounds.largestResult =
      transforms.scale * transforms.scale * taps * taps * magnitude(productsOf(codes, weights));
  return bounds;
}

} // namespace sdopt
