//===- Picture.cpp - pictures in memory -------------------------------------===//

#include "tools/sdopt-run/Picture.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

constexpr int kFractionBits = 14;

/// The weights with which old samples make one new sample; they sum to 2^kFractionBits.
struct Filter {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

/// New sample i covers [i * from, (i + 1) * from) in units of 1/to of an old one.
Filter areaFilter(int64_t i, int64_t from, int64_t to) {
  Filter filter;
  int64_t begin = i * from, end = begin + from;
  filter.first = begin / to;
  int64_t given = 0, covered = 0;
  for (int64_t old = filter.first; old * to < end; ++old) {
    covered += std::min(end, (old + 1) * to) - std::max(begin, old * to);
    // Rounding the running sum, not each weight, keeps the total exact.
    int64_t upToHere = ((covered << kFractionBits) + from / 2) / from;
    filter.weights.push_back(static_cast<int32_t>(upToHere - given));
    given = upToHere;
  }
  return filter;
}

/// Catmull-Rom at `centre`, an old coordinate with kFractionBits: R. Keys, "Cubic convolution
/// interpolation for digital image processing", 1981, a = -1/2. Samples outside repeat the edge.
Filter cubicFilter(int64_t centre, int64_t from) {
  int64_t whole = centre >> kFractionBits;
  int64_t one = int64_t{1} << kFractionBits, t = centre & (one - 1);
  int64_t t2 = t * t >> kFractionBits, t3 = t2 * t >> kFractionBits;
  int64_t weights[4] = {(-t + 2 * t2 - t3) / 2, 0, (t + 4 * t2 - 3 * t3) / 2, (t3 - t2) / 2};
  weights[1] = one - weights[0] - weights[2] - weights[3];
  Filter filter;
  filter.first = std::clamp<int64_t>(whole - 1, 0, from - 1);
  int64_t last = std::clamp<int64_t>(whole + 2, 0, from - 1);
  filter.weights.assign(static_cast<size_t>(last - filter.first + 1), 0);
  for (int64_t tap = 0; tap < 4; ++tap)
    filter.weights[std::clamp<int64_t>(whole - 1 + tap, 0, from - 1) - filter.first] +=
        static_cast<int32_t>(weights[tap]);
  return filter;
}

/// Centre of new sample i: (i + 1/2) * from / to - 1/2.
Filter growFilter(int64_t i, int64_t from, int64_t to) {
  return cubicFilter((((2 * i + 1) * from) << kFractionBits) / (2 * to) -
                         (int64_t{1} << (kFractionBits - 1)),
                     from);
}

std::vector<Filter> filters(int64_t from, int64_t to) {
  std::vector<Filter> result;
  for (int64_t i = 0; i < to; ++i)
    result.push_back(to <= from ? areaFilter(i, from, to) : growFilter(i, from, to));
  return result;
}

/// Weighted sum of samples `stride` apart, rounded half up.
uint8_t apply(const Filter &filter, const uint8_t *samples, int64_t stride) {
  int64_t sum = int64_t{1} << (kFractionBits - 1);
  for (size_t i = 0; i < filter.weights.size(); ++i)
    sum += int64_t{filter.weights[i]} * samples[(filter.first + static_cast<int64_t>(i)) * stride];
  return static_cast<uint8_t>(std::clamp<int64_t>(sum >> kFractionBits, 0, 255));
}

/// One filter for each column and row of the result.
Picture filtered(const Picture &picture, const std::vector<Filter> &columns,
                 const std::vector<Filter> &rows) {
  auto width = static_cast<int64_t>(columns.size()), height = static_cast<int64_t>(rows.size());
  Picture wide(width, picture.height);
  for (int64_t y = 0; y < picture.height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < 3; ++c)
        wide.at(x, y)[c] = apply(columns[x], picture.at(0, y) + c, 3);
  Picture result(width, height);
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < 3; ++c)
        result.at(x, y)[c] = apply(rows[y], wide.at(x, 0) + c, width * 3);
  return result;
}

/// The middle `part` of n samples, as n samples.
std::vector<Filter> viewFilters(int64_t n, double part) {
  std::vector<Filter> result;
  double middle = static_cast<double>(n) / 2;
  for (int64_t i = 0; i < n; ++i) {
    double centre = (static_cast<double>(i) + 0.5 - middle) * part + middle - 0.5;
    result.push_back(
        cubicFilter(static_cast<int64_t>(std::floor(centre * (1 << kFractionBits) + 0.5)), n));
  }
  return result;
}

Picture cropped(const Picture &picture, int64_t left, int64_t top, int64_t width, int64_t height) {
  Picture part(width, height);
  for (int64_t y = 0; y < height; ++y)
    std::copy_n(picture.at(left, top + y), width * 3, part.at(0, y));
  return part;
}

} // namespace

Picture resized(const Picture &picture, int64_t width, int64_t height) {
  return filtered(picture, filters(picture.width, width), filters(picture.height, height));
}

Picture viewed(const Picture &picture, double partX, double partY) {
  return filtered(picture, viewFilters(picture.width, partX), viewFilters(picture.height, partY));
}

Picture fitted(const Picture &picture, int64_t width, int64_t height) {
  int64_t partWidth = picture.width, partHeight = picture.height;
  if (picture.width * height > picture.height * width)
    partWidth = std::max<int64_t>(1, picture.height * width / height);
  else
    partHeight = std::max<int64_t>(1, picture.width * height / width);
  Picture part = cropped(picture, (picture.width - partWidth) / 2,
                         (picture.height - partHeight) / 2, partWidth, partHeight);
  return resized(part, width, height);
}

Tensor toTensor(const Picture &picture) {
  Tensor tensor(ElementType::F32, {1, 3, picture.height, picture.width});
  auto values = tensor.mutableValues<float>();
  int64_t plane = picture.height * picture.width;
  for (int64_t i = 0; i < plane; ++i)
    for (int64_t c = 0; c < 3; ++c)
      values[c * plane + i] = static_cast<float>(picture.rgb[i * 3 + c]) / 127.5f - 1.0f;
  return tensor;
}

Picture toPicture(const Tensor &tensor) {
  Picture picture(tensor.dim(-1), tensor.dim(-2));
  auto values = tensor.values<float>();
  int64_t plane = picture.height * picture.width;
  for (int64_t i = 0; i < plane; ++i)
    for (int64_t c = 0; c < 3; ++c) {
      float level = (values[c * plane + i] + 1.0f) * 127.5f + 0.5f;
      // The comparison is false for not-a-number.
      picture.rgb[i * 3 + c] = level >= 0 ? static_cast<uint8_t>(std::min(level, 255.0f)) : 0;
    }
  return picture;
}

} // namespace sdopt
