//===- InputMoments.cpp - what a layer reads, to second order ----------------===//

#include "compiler/quantization/InputMoments.h"

#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/TargetClones.h"
#include "compiler/quantization/SignalToNoise.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace sdopt {

namespace {

constexpr double kDamping = 0.01;
/// Columns of a panel of the Cholesky decomposition.
constexpr int64_t kPanel = 64;
constexpr int kLanes = 8;
using Lanes __attribute__((vector_size(kLanes * sizeof(double)))) = double;

inline __attribute__((always_inline)) double dot(const double *a, const double *b, int64_t count) {
  Lanes sums{};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Lanes x, y;
    std::memcpy(&x, a + i, sizeof(x));
    std::memcpy(&y, b + i, sizeof(y));
    sums += x * y;
  }
  double total = 0;
  for (int lane = 0; lane < kLanes; ++lane)
    total += sums[lane];
  for (; i < count; ++i)
    total += a[i] * b[i];
  return total;
}

/// Row i of a panel's columns [first, last), of the decomposition.
SDOPT_CLONES void solveRow(double *matrix, int64_t n, int64_t i, int64_t first, int64_t last) {
  double *row = matrix + i * n;
  for (int64_t j = first; j < last; ++j) {
    const double *other = matrix + j * n;
    row[j] = (row[j] - dot(row + first, other + first, j - first)) / other[j];
  }
}

/// What the panel [first, last) takes from columns [last, i] of row i.
SDOPT_CLONES void updateRow(double *matrix, int64_t n, int64_t i, int64_t first, int64_t last) {
  double *row = matrix + i * n;
  for (int64_t j = last; j <= i; ++j)
    row[j] -= dot(row + first, matrix + j * n + first, last - first);
}

/// Cholesky decomposition M M^T of the lower triangle, in place; false if it is not positive
/// definite.
bool decompose(std::vector<double> &matrix, int64_t n) {
  constexpr int64_t kRows = 16;
  double *a = matrix.data();
  for (int64_t first = 0; first < n; first += kPanel) {
    const int64_t last = std::min(n, first + kPanel);
    for (int64_t i = first; i < last; ++i) {
      solveRow(a, n, i, first, i);
      double *row = a + i * n;
      const double square = row[i] - dot(row + first, row + first, i - first);
      if (!(square > 0) || !std::isfinite(square))
        return false;
      row[i] = std::sqrt(square);
    }
    parallelRanges(n - last, kRows, [&](int64_t begin, int64_t end) {
      for (int64_t i = last + begin; i < last + end; ++i)
        solveRow(a, n, i, first, last);
    });
    parallelRanges(n - last, kRows, [&](int64_t begin, int64_t end) {
      for (int64_t i = last + begin; i < last + end; ++i)
        updateRow(a, n, i, first, last);
    });
  }
  return true;
}

/// Rows from `first` of the inverse's columns [first, first + kPanel), inverse[row][kPanel].
SDOPT_CLONES void invertPanel(const double *factor, int64_t n, int64_t first, double *inverse) {
  for (int64_t i = first; i < n; ++i) {
    double sums[kPanel] = {};
    if (i < first + kPanel)
      sums[i - first] = 1;
    for (int64_t k = first; k < i; ++k) {
      const double scale = factor[i * n + k];
      const double *row = inverse + k * kPanel;
      for (int64_t c = 0; c < kPanel; ++c)
        sums[c] -= scale * row[c];
    }
    const double diagonal = factor[i * n + i];
    for (int64_t c = 0; c < kPanel; ++c)
      inverse[i * kPanel + c] = sums[c] / diagonal;
  }
}

/// P M^-1 P of a lower triangle M, P being the reversal of all columns: an upper triangle.
std::vector<float> reversedInverse(const std::vector<double> &factor, int64_t n) {
  std::vector<float> upper(static_cast<size_t>(n * n), 0.0f);
  parallelRanges(n, kPanel, [&](int64_t first, int64_t last) {
    std::vector<double> inverse(static_cast<size_t>(n * kPanel));
    invertPanel(factor.data(), n, first, inverse.data());
    for (int64_t i = first; i < n; ++i)
      for (int64_t c = first; c < std::min(last, i + 1); ++c)
        upper[(n - 1 - i) * n + (n - 1 - c)] = static_cast<float>(inverse[i * kPanel + c - first]);
  });
  return upper;
}

} // namespace

std::vector<float> inverseFactor(const InputMoments &moments, std::span<const int64_t> order,
                                 bool secondMoments) {
  const auto n = static_cast<int64_t>(order.size());
  const auto moment = [&](int64_t a, int64_t b) {
    const double mean = secondMoments ? moments.mean[a] * moments.mean[b] : 0;
    return moments.covariance[a * moments.columns() + b] + mean;
  };
  double trace = 0;
  for (int64_t column : order)
    trace += moment(column, column);
  const double average = n > 0 ? trace / static_cast<double>(n) : 0;
  std::vector<double> factor(static_cast<size_t>(n * n));
  for (double damping = kDamping;; damping *= 10) {
    // H = U^-1 U^-T with an upper triangle U^-1, which a Cholesky decomposition of H gives that
    // begins at the last column.
    const bool known = average > 0 && std::isfinite(average) && damping < 1e6;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = order[n - 1 - i];
      for (int64_t j = 0; j <= i; ++j)
        factor[i * n + j] = known ? moment(row, order[n - 1 - j]) : 0;
      factor[i * n + i] += known ? damping * average : 1;
    }
    if (decompose(factor, n))
      return reversedInverse(factor, n);
  }
}

Tensor timesCovariance(const Tensor &rows, const InputMoments &moments) {
  const int64_t columns = moments.columns();
  return matmul(rows, Tensor(ElementType::F32, {columns, columns}, nullptr,
                             reinterpret_cast<const std::byte *>(moments.covariance.data())));
}

std::vector<RowPower> rowPowers(const Tensor &rows, const InputMoments &moments) {
  const int64_t columns = moments.columns();
  const Tensor products = timesCovariance(rows, moments);
  std::vector<RowPower> powers(static_cast<size_t>(rows.dim(0)));
  for (int64_t r = 0; r < rows.dim(0); ++r) {
    double variance = 0;
    for (int64_t k = 0; k < columns; ++k) {
      const double value = rows.values<float>()[r * columns + k];
      variance += value * products.values<float>()[r * columns + k];
      powers[r].mean += value * moments.mean[k];
    }
    powers[r].variance = std::max(variance, 0.0);
  }
  return powers;
}

double OutputPower::sqnrBefore() const { return signalToNoise(signal, before); }
double OutputPower::sqnrAfter() const { return signalToNoise(signal, after); }

SDOPT_CLONES void subtractScaled(float *__restrict row, const float *__restrict other, float scale,
                                 int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    row[i] -= scale * other[i];
}

} // namespace sdopt
