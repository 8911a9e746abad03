//===- CorrelatedRows.h - inputs that depend on each other ------*- C++ -*-===//

#ifndef SDOPT_TESTS_QUANTIZATION_CORRELATEDROWS_H
#define SDOPT_TESTS_QUANTIZATION_CORRELATEDROWS_H

#include "compiler/quantization/InputMoments.h"

#include <random>
#include <vector>

namespace sdopt {

/// Sums of twelve uniform numbers.
class Numbers {
public:
  explicit Numbers(uint32_t seed) : random_(seed) {}
  double operator()() {
    double sum = -6;
    for (int i = 0; i < 12; ++i)
      sum += (static_cast<double>(random_()) + 0.5) / 4294967296.0;
    return sum;
  }

private:
  std::mt19937 random_;
};

inline Tensor gaussian(Shape shape, uint32_t seed) {
  Tensor tensor(ElementType::F32, std::move(shape));
  Numbers numbers(seed);
  for (float &value : tensor.mutableValues<float>())
    value = static_cast<float>(numbers());
  return tensor;
}

/// Rows whose columns have a mean and follow each other.
inline std::vector<std::vector<double>> correlated(int64_t rows, int64_t columns, uint32_t seed) {
  Numbers numbers(seed);
  std::vector<std::vector<double>> result(rows, std::vector<double>(columns));
  for (std::vector<double> &row : result) {
    double common = numbers(), before = 0;
    for (double &x : row) {
      before = 0.8 * before + 0.6 * numbers();
      x = before + 0.5 * common + 0.7;
    }
  }
  return result;
}

inline InputMoments momentsOf(const std::vector<std::vector<double>> &rows, int64_t channels,
                              int64_t taps, int64_t firstChannel = 0) {
  InputMoments moments{.firstChannel = firstChannel, .channels = channels, .taps = taps};
  const int64_t n = moments.columns();
  moments.mean.resize(n);
  std::vector<double> sums(n * n);
  for (const std::vector<double> &row : rows)
    for (int64_t i = 0; i < n; ++i)
      moments.mean[i] += row[i] / static_cast<double>(rows.size());
  for (const std::vector<double> &row : rows)
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j)
        sums[i * n + j] += (row[i] - moments.mean[i]) * (row[j] - moments.mean[j]) /
                           static_cast<double>(rows.size());
  moments.covariance.assign(sums.begin(), sums.end());
  return moments;
}

} // namespace sdopt

#endif // SDOPT_TESTS_QUANTIZATION_CORRELATEDROWS_H
