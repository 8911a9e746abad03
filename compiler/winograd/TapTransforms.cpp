#include "compiler/winograd/TapTransforms.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

namespace sdopt {
namespace {

Rational commonDenominator(std::span<const Rational> entries) {
  Rational common = 1;
  for (Rational value : entries)
    common =
        common * value.denominator() / Rational(std::gcd(common.numerator(), value.denominator()));
  return common;
}

/// Of an integer above 0.
int64_t powersOfTwo(Rational value) {
  return value.isValid() ? std::countr_zero(static_cast<uint64_t>(value.numerator())) : 0;
}

bool scaleTo(const Matrix<Rational> &from, int64_t row, Rational factor, Matrix<int64_t> &to) {
  for (int64_t i = 0; i < from.columns; ++i) {
    const Rational value = from.at(row, i) * factor;
    if (!value.isInteger())
      return false;
    to.at(row, i) = value.numerator();
  }
  return true;
}

int64_t rounded(int64_t value, int64_t shift, int64_t bits) {
  if (shift > 0)
    value = (value + (int64_t{1} << (shift - 1))) >> shift;
  const int64_t most = (int64_t{1} << (bits - 1)) - 1;
  return std::clamp(value, -most - 1, most);
}

/// T x T' of a tile of the transform's inputs.
void transform(const Matrix<int64_t> &t, const std::vector<int64_t> &tile,
               std::vector<int64_t> &half, std::vector<int64_t> &out) {
  const int64_t rows = t.rows, columns = t.columns;
  half.assign(static_cast<size_t>(rows * columns), 0);
  out.assign(static_cast<size_t>(rows * rows), 0);
  for (int64_t y = 0; y < rows; ++y)
    for (int64_t i = 0; i < columns; ++i)
      if (const int64_t factor = t.at(y, i); factor != 0)
        for (int64_t x = 0; x < columns; ++x)
          half[y * columns + x] += factor * tile[i * columns + x];
  for (int64_t y = 0; y < rows; ++y)
    for (int64_t x = 0; x < rows; ++x)
      for (int64_t j = 0; j < columns; ++j)
        out[y * rows + x] += half[y * columns + j] * t.at(x, j);
}

/// Walks the tiles of a convolution.
class Walk {
public:
  Walk(const TapTransforms &transforms, const ConvTile &tile) : t_(transforms), tile_(tile) {}

  int64_t products() const { return t_.products() * t_.products(); }

  /// Calls work(first output row, first column).
  template <typename Work> void forTiles(Work work) const {
    for (int64_t oh = 0; oh < tile_.outputHeight; oh += t_.outputs())
      for (int64_t ow = 0; ow < tile_.outputWidth; ow += t_.outputs())
        work(oh, ow);
  }

  const std::vector<int64_t> &codes(Codes x, int64_t oh, int64_t ow, int64_t channel) {
    const int64_t n = t_.products();
    in_.resize(static_cast<size_t>(n * n));
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j)
        in_[i * n + j] = code(x, oh - tile_.padTop + i, ow - tile_.padLeft + j, channel);
    transform(t_.input, in_, half_, out_);
    return out_;
  }

  const std::vector<int64_t> &weights(const int8_t *weights, int64_t output, int64_t channel) {
    const int64_t taps = t_.taps();
    in_.resize(static_cast<size_t>(taps * taps));
    for (int64_t i = 0; i < taps * taps; ++i)
      in_[i] = weights[(output * taps * taps + i) * tile_.inputChannels + channel];
    transform(t_.filter, in_, half_, out_);
    return out_;
  }

  const std::vector<int64_t> &sums(const std::vector<int64_t> &products) {
    transform(t_.output, products, half_, out_);
    return out_;
  }

private:
  int64_t code(Codes x, int64_t row, int64_t column, int64_t channel) const {
    if (row < 0 || row >= tile_.inputHeight || column < 0 || column >= tile_.inputWidth)
      return x.format.zeroPoint;
    const int64_t index = (row * tile_.inputWidth + column) * tile_.inputChannels + channel;
    return x.format.type == ElementType::I8 ? static_cast<const int8_t *>(x.data)[index]
                                            : static_cast<const int16_t *>(x.data)[index];
  }

  const TapTransforms &t_;
  const ConvTile &tile_;
  std::vector<int64_t> in_, half_, out_;
};

Matrix<Interval> emptyRanges(const TapTransforms &t) {
  return Matrix<Interval>(t.products(), t.products());
}

void extend(Matrix<Interval> &ranges, const std::vector<int64_t> &values) {
  for (size_t p = 0; p < values.size(); ++p) {
    ranges.entries[p].least = std::min(ranges.entries[p].least, values[p]);
    ranges.entries[p].most = std::max(ranges.entries[p].most, values[p]);
  }
}

} // namespace

absl::StatusOr<TapTransforms> tapTransforms(const RationalTransforms &from) {
  const int64_t n = from.products();
  std::vector<Rational> denominators;
  Rational odd = 1;
  int64_t mostTwos = 0;
  for (int64_t j = 0; j < n; ++j) {
    denominators.push_back(commonDenominator(from.filter.row(j)));
    const int64_t twos = powersOfTwo(denominators.back());
    mostTwos = std::max(mostTwos, twos);
    const Rational part = denominators.back() / Rational(int64_t{1} << twos);
    odd = odd * part / Rational(std::gcd(odd.numerator(), part.numerator()));
  }
  const Rational output = commonDenominator(from.output.entries),
                 input = commonDenominator(from.input.entries);
  const Rational scale =
      odd * Rational(int64_t{1} << std::min<int64_t>(mostTwos, 62)) * output * input;
  TapTransforms to;
  to.output = Matrix<int64_t>(from.output.rows, n);
  to.filter = Matrix<int64_t>(n, from.filter.columns);
  to.input = Matrix<int64_t>(n, n);
  bool fits = scale.isValid();
  for (int64_t i = 0; i < from.output.rows; ++i)
    fits = fits && scaleTo(from.output, i, output, to.output);
  for (int64_t j = 0; fits && j < n; ++j) {
    const int64_t twos = powersOfTwo(denominators[j]);
    to.exponents.push_back(mostTwos - twos);
    fits = scaleTo(from.filter, j, odd * Rational(int64_t{1} << twos), to.filter) &&
           scaleTo(from.input, j, input, to.input);
  }
  if (!fits)
    return absl::OutOfRangeError(absl::StrCat("an entry of F(", from.outputs(), ", ", from.taps(),
                                              ") in integers leaves 63 bits"));
  to.scale = scale.numerator();
  return to;
}

bool convolves(const TapTransforms &t) {
  // Exponents belong to the output side as well as to the filter.
  IntegerTransforms weighted{{t.output, t.filter, t.input}, t.scale};
  for (int64_t i = 0; i < t.outputs(); ++i)
    for (int64_t j = 0; j < t.products(); ++j)
      weighted.output.at(i, j) *= int64_t{1} << t.exponents[j];
  return convolves(weighted);
}

Matrix<int64_t> leastShifts(const Matrix<Interval> &ranges, int64_t bits) {
  Matrix<int64_t> shifts(ranges.rows, ranges.columns);
  for (size_t p = 0; p < ranges.entries.size(); ++p) {
    const auto fits = [&](int64_t value) {
      return rounded(value, shifts.entries[p], 63) == rounded(value, shifts.entries[p], bits);
    };
    while (!fits(ranges.entries[p].least) || !fits(ranges.entries[p].most))
      ++shifts.entries[p];
  }
  return shifts;
}

Matrix<Interval> observedCodes(const TapTransforms &transforms, const ConvTile &tile, Codes x) {
  Matrix<Interval> ranges = emptyRanges(transforms);
  Walk walk(transforms, tile);
  walk.forTiles([&](int64_t oh, int64_t ow) {
    for (int64_t i = 0; i < tile.inputChannels; ++i)
      extend(ranges, walk.codes(x, oh, ow, i));
  });
  return ranges;
}

Matrix<Interval> observedWeights(const TapTransforms &transforms, const ConvTile &tile,
                                 const int8_t *weights) {
  Matrix<Interval> ranges = emptyRanges(transforms);
  Walk walk(transforms, tile);
  for (int64_t o = 0; o < tile.outputChannels; ++o)
    for (int64_t i = 0; i < tile.inputChannels; ++i)
      extend(ranges, walk.weights(weights, o, i));
  return ranges;
}

std::vector<int64_t> tapConvolve(const TapConvolution &convolution, const ConvTile &tile, Codes x,
                                 const int8_t *weights) {
  const TapTransforms &t = convolution.transforms;
  const TapShiftMatrices &shifts = convolution.shifts;
  const int64_t n = t.products(), taps = n * n, channels = tile.inputChannels;
  Walk walk(t, tile);
  std::vector<int64_t> u, v, total(static_cast<size_t>(tile.outputChannels), 0);
  for (int64_t o = 0; o < tile.outputChannels; ++o)
    for (int64_t i = 0; i < channels; ++i) {
      const std::vector<int64_t> &exact = walk.weights(weights, o, i);
      for (int64_t p = 0; p < taps; ++p)
        u.push_back(rounded(exact[p], shifts.weights.entries[p], convolution.weightBits));
      for (int64_t k = 0; k < t.taps() * t.taps(); ++k)
        total[o] += weights[(o * t.taps() * t.taps() + k) * channels + i];
    }
  std::vector<int64_t> result(
      static_cast<size_t>(tile.outputHeight * tile.outputWidth * tile.outputChannels));
  v.resize(static_cast<size_t>(channels * taps));
  std::vector<int64_t> m(static_cast<size_t>(taps));
  walk.forTiles([&](int64_t oh, int64_t ow) {
    for (int64_t i = 0; i < channels; ++i) {
      const std::vector<int64_t> &exact = walk.codes(x, oh, ow, i);
      for (int64_t p = 0; p < taps; ++p)
        v[i * taps + p] = rounded(exact[p], shifts.codes.entries[p], convolution.codeBits);
    }
    for (int64_t o = 0; o < tile.outputChannels; ++o) {
      std::ranges::fill(m, 0);
      for (int64_t i = 0; i < channels; ++i)
        for (int64_t p = 0; p < taps; ++p)
          m[p] += u[(o * channels + i) * taps + p] * v[i * taps + p];
      for (int64_t p = 0; p < taps; ++p)
        m[p] *= int64_t{1} << (t.exponents[p / n] + t.exponents[p % n] + shifts.codes.entries[p] +
                               shifts.weights.entries[p]);
      const std::vector<int64_t> &y = walk.sums(m);
      for (int64_t a = 0; a < t.outputs() && oh + a < tile.outputHeight; ++a)
        for (int64_t b = 0; b < t.outputs() && ow + b < tile.outputWidth; ++b)
          result[((oh + a) * tile.outputWidth + ow + b) * tile.outputChannels + o] =
              y[a * t.outputs() + b] - t.scale * t.scale * x.format.zeroPoint * total[o];
    }
  });
  return result;
}

double tapSqnr(const TapConvolution &convolution, const ConvTile &tile, Codes x,
               const int8_t *weights) {
  const std::vector<int64_t> y = tapConvolve(convolution, tile, x, weights);
  std::vector<int64_t> exact(y.size(), 0);
  fastKernels().convAccumulate(tile, x, weights, exact.data());
  const auto scale = static_cast<double>(convolution.transforms.scale);
  double signal = 0, noise = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    const auto sum = static_cast<double>(exact[i]);
    const double error = static_cast<double>(y[i]) / (scale * scale) - sum;
    signal += sum * sum;
    noise += error * error;
  }
  return noise == 0 ? std::numeric_limits<double>::infinity() : 10 * std::log10(signal / noise);
}

} // namespace sdopt
