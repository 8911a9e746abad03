//===- Compensation.cpp - weights that make up for those that go -------------===//

#include "compiler/prune/Compensation.h"

#include "compiler/kernels/KernelThreads.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sdopt {

namespace {

/// Columns whose mask is chosen together, and whose errors reach those behind them together.
constexpr int64_t kBlockColumns = 128;
/// Rows of one thread, columns that are brought up to date at once.
constexpr int64_t kRows = 16, kUpdatedColumns = 512;
/// Added to the moments' diagonal, of its mean.
constexpr double kDamping = 0.01;
constexpr int kIterations = 60;
/// Conjugate gradients end when the residual is this part of the first one's length.
constexpr double kResidual = 1e-5;

double product(const float *a, const float *b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i)
    sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

/// x (C + mean mean^T) of each row, or x C if `corrected`. C is symmetric.
Tensor timesMoments(const Tensor &rows, const InputMoments &moments, bool corrected) {
  const int64_t n = moments.columns();
  Tensor products = timesCovariance(rows, moments);
  if (corrected)
    return products;
  parallelFor(rows.dim(0), [&](int64_t r, int) {
    const float *row = rows.values<float>().data() + r * n;
    float *out = products.mutableValues<float>().data() + r * n;
    double mean = 0;
    for (int64_t k = 0; k < n; ++k)
      mean += row[k] * moments.mean[k];
    for (int64_t k = 0; k < n; ++k)
      out[k] = static_cast<float>(out[k] + mean * moments.mean[k]);
  });
  return products;
}

} // namespace

/// The columns of some input channels, [outputs][columns], tap by tap.
struct LayerPruning::Block {
  std::vector<int64_t> source; ///< of each column: where its weight is in a row of the layer
  std::vector<int64_t> ends;   ///< of runs of a pattern, or of single columns
  Tensor dense, now;           ///< weights before and after
  Tensor errors;               ///< what columns lost, divided by the diagonal of the factor
  Mask kept;
  std::vector<float> factor;

  int64_t columns() const { return static_cast<int64_t>(source.size()); }
};

LayerPruning::LayerPruning(const Tensor &weights, Mask mask, const PruneRequest &request)
    : weights_(weights), updated_(ElementType::F32, weights.shape()), mask_(std::move(mask)),
      request_(request), outputs_(weights.dim(0)), inputs_(weights.dim(1)),
      taps_(weights.rank() == 4 ? weights.dim(2) * weights.dim(3) : 1), means_(outputs_),
      corrections_(outputs_) {
  if (mask_.empty())
    mask_.assign(static_cast<size_t>(weights.size()), 1);
}

LayerPruning::Block LayerPruning::blockOf(const InputMoments &moments) const {
  Block block;
  const int64_t run =
      request_.sparsity && request_.sparsity->hasPattern() ? request_.sparsity->group : 1;
  for (int64_t tap = 0; tap < taps_; ++tap)
    for (int64_t c = 0; c < moments.channels; ++c) {
      block.source.push_back((moments.firstChannel + c) * taps_ + tap);
      if ((c + 1) % run == 0 || c + 1 == moments.channels)
        block.ends.push_back(block.columns());
    }
  const int64_t n = block.columns(), row = inputs_ * taps_;
  block.dense = Tensor(ElementType::F32, {outputs_, n});
  block.kept.resize(static_cast<size_t>(outputs_ * n));
  float *dense = block.dense.mutableValues<float>().data();
  for (int64_t o = 0; o < outputs_; ++o)
    for (int64_t k = 0; k < n; ++k) {
      dense[o * n + k] = weights_.values<float>()[o * row + block.source[k]];
      block.kept[o * n + k] = mask_[o * row + block.source[k]];
    }
  block.now = Tensor::of<float>({outputs_, n}, block.dense.values<float>());
  return block;
}

void LayerPruning::chooseBlock(Block &block, int64_t first, int64_t last) const {
  const int64_t n = block.columns(), width = last - first;
  const int64_t together = request_.perRow ? 1 : outputs_;
  parallelFor(outputs_ / std::max<int64_t>(1, together), [&](int64_t part, int) {
    std::vector<double> scores(static_cast<size_t>(together * width));
    for (int64_t r = 0; r < together; ++r)
      for (int64_t k = first; k < last; ++k) {
        const double ratio =
            static_cast<double>(block.now.values<float>()[(part * together + r) * n + k]) /
            block.factor[k * n + k];
        scores[r * width + k - first] = ratio * ratio;
      }
    Mask kept(scores.size());
    markLowest(scores, zeroCount(request_.sparsity->fraction, static_cast<int64_t>(scores.size())),
               kept);
    for (int64_t r = 0; r < together; ++r)
      std::copy_n(kept.begin() + r * width, width,
                  block.kept.begin() + (part * together + r) * n + first);
  });
}

void LayerPruning::sweepRow(Block &block, int64_t output, int64_t first, int64_t last) const {
  const int64_t n = block.columns();
  float *row = block.now.mutableValues<float>().data() + output * n;
  float *errors = block.errors.mutableValues<float>().data() + output * n;
  uint8_t *kept = block.kept.data() + output * n;
  const bool choosesRuns = request_.sparsity && request_.sparsity->hasPattern();
  auto end = std::upper_bound(block.ends.begin(), block.ends.end(), first);
  for (int64_t k = first; k < last; ++k) {
    if (choosesRuns && (k == first || k == *end)) {
      end += k != first;
      std::array<double, kLargestPattern> scores;
      const auto count = static_cast<size_t>(*end - k);
      for (size_t i = 0; i < count; ++i) {
        const double ratio = static_cast<double>(row[k + i]) / block.factor[(k + i) * (n + 1)];
        scores[i] = ratio * ratio;
      }
      markLowest({scores.data(), count},
                 std::max<int64_t>(0, static_cast<int64_t>(count) - request_.sparsity->kept),
                 {kept + k, count});
    }
    errors[k] = 0;
    if (kept[k])
      continue;
    errors[k] = row[k] / block.factor[k * n + k];
    row[k] = 0;
    subtractScaled(row + k + 1, block.factor.data() + k * n + k + 1, errors[k], last - k - 1);
  }
}

void LayerPruning::sweep(Block &block) const {
  const int64_t n = block.columns();
  block.errors = Tensor(ElementType::F32, {outputs_, n});
  const bool choosesFraction = request_.sparsity && !request_.sparsity->hasPattern();
  for (int64_t first = 0, last = 0; first < n; first = last) {
    // Runs are never parted.
    last =
        *std::lower_bound(block.ends.begin(), block.ends.end(), std::min(n, first + kBlockColumns));
    if (choosesFraction)
      chooseBlock(block, first, last);
    parallelRanges(outputs_, kRows, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o)
        sweepRow(block, o, first, last);
      float *rows = block.now.mutableValues<float>().data();
      const float *errors = block.errors.values<float>().data();
      for (int64_t at = last; at < n; at += kUpdatedColumns)
        for (int64_t o = begin; o < end; ++o)
          for (int64_t k = first; k < last; ++k)
            if (errors[o * n + k] != 0)
              subtractScaled(rows + o * n + at, block.factor.data() + k * n + at, errors[o * n + k],
                             std::min(kUpdatedColumns, n - at));
    });
  }
}

/// Minimizes, from where the rows are, by gradients without the pruned columns and divided by the
/// diagonal.
void LayerPruning::solve(Block &block, const InputMoments &moments) const {
  const int64_t n = block.columns(), count = outputs_ * n;
  std::vector<double> diagonal(static_cast<size_t>(n));
  double trace = 0;
  for (int64_t k = 0; k < n; ++k) {
    const double mean = request_.corrected ? 0 : moments.mean[k];
    diagonal[k] = moments.covariance[k * n + k] + mean * mean;
    trace += diagonal[k];
  }
  const double damping = kDamping * trace / static_cast<double>(std::max<int64_t>(1, n));
  if (!(trace > 0) || !std::isfinite(trace))
    return;
  const auto apply = [&](const Tensor &rows) {
    Tensor products = timesMoments(rows, moments, request_.corrected);
    float *out = products.mutableValues<float>().data();
    for (int64_t i = 0; i < count; ++i)
      out[i] = static_cast<float>(out[i] + damping * rows.values<float>()[i]);
    return products;
  };
  Tensor lost(ElementType::F32, {outputs_, n}), direction(ElementType::F32, {outputs_, n});
  for (int64_t i = 0; i < count; ++i)
    lost.mutableValues<float>()[i] = block.dense.values<float>()[i] - block.now.values<float>()[i];
  Tensor residual = apply(lost);
  std::vector<double> power(static_cast<size_t>(outputs_)), enough(power.size());
  // Of a row: the residual divided by the diagonal, and its product with the residual.
  const auto preconditioned = [&](int64_t o, std::vector<float> &out) {
    const float *from = residual.values<float>().data() + o * n;
    for (int64_t k = 0; k < n; ++k)
      out[k] = block.kept[o * n + k] ? static_cast<float>(from[k] / (diagonal[k] + damping)) : 0;
    return product(out.data(), from, n);
  };
  for (int64_t o = 0; o < outputs_; ++o) {
    std::vector<float> row(static_cast<size_t>(n));
    power[o] = preconditioned(o, row);
    enough[o] = power[o] * kResidual * kResidual;
    std::ranges::copy(row, direction.mutableValues<float>().begin() + o * n);
  }
  for (int iteration = 0; iteration < kIterations; ++iteration) {
    const Tensor products = apply(direction);
    parallelFor(outputs_, [&](int64_t o, int) {
      float *along = direction.mutableValues<float>().data() + o * n;
      float *rest = residual.mutableValues<float>().data() + o * n;
      float *now = block.now.mutableValues<float>().data() + o * n;
      const float *change = products.values<float>().data() + o * n;
      const double curvature = product(along, change, n);
      if (!(power[o] > enough[o]) || !(curvature > 0)) {
        std::fill_n(along, n, 0.0f);
        return;
      }
      const auto step = static_cast<float>(power[o] / curvature);
      for (int64_t k = 0; k < n; ++k) {
        now[k] += step * along[k];
        rest[k] -= step * change[k];
      }
      std::vector<float> row(static_cast<size_t>(n));
      const double next = preconditioned(o, row);
      const auto turn = static_cast<float>(next / power[o]);
      power[o] = next;
      for (int64_t k = 0; k < n; ++k)
        along[k] = row[k] + turn * along[k];
    });
  }
}

void LayerPruning::keepBetter(const Block &block, const InputMoments &moments) {
  const int64_t n = block.columns(), row = inputs_ * taps_;
  Tensor masked(ElementType::F32, {outputs_, n}), updated(ElementType::F32, {outputs_, n});
  for (int64_t i = 0; i < outputs_ * n; ++i) {
    const float dense = block.dense.values<float>()[i];
    masked.mutableValues<float>()[i] = block.kept[i] ? 0 : dense;
    updated.mutableValues<float>()[i] = dense - (block.kept[i] ? block.now.values<float>()[i] : 0);
  }
  const std::vector<RowPower> signal = rowPowers(block.dense, moments),
                              before = rowPowers(masked, moments),
                              after = rowPowers(updated, moments);
  for (int64_t o = 0; o < outputs_; ++o) {
    const auto counted = [&](const RowPower &power) {
      return power.variance + (request_.corrected ? 0 : power.mean * power.mean);
    };
    const bool better =
        (request_.sweep || request_.leastSquares) && counted(after[o]) < counted(before[o]);
    power_.signal += signal[o].variance;
    power_.before += counted(before[o]);
    power_.after += counted((better ? after : before)[o]);
    means_[o] += signal[o].mean;
    corrections_[o] += (better ? after : before)[o].mean;
    for (int64_t k = 0; k < n; ++k) {
      const int64_t at = o * row + block.source[k];
      const uint8_t kept = mask_[at] = block.kept[o * n + k];
      updated_.mutableValues<float>()[at] =
          kept ? (better ? block.now : block.dense).values<float>()[o * n + k] : 0;
    }
  }
}

void LayerPruning::prune(const InputMoments &moments) {
  Block block = blockOf(moments);
  if (request_.sweep || request_.sparsity) {
    std::vector<int64_t> order(block.source.size());
    std::iota(order.begin(), order.end(), int64_t(0));
    block.factor = inverseFactor(moments, order, /*secondMoments=*/!request_.corrected);
    sweep(block);
  }
  if (request_.leastSquares) {
    for (int64_t i = 0; i < block.now.size(); ++i)
      if (!block.kept[i])
        block.now.mutableValues<float>()[i] = 0;
    solve(block, moments);
  }
  keepBetter(block, moments);
}

Tensor LayerPruning::correction() const {
  Tensor result(ElementType::F32, {outputs_});
  for (int64_t o = 0; o < outputs_; ++o)
    result.mutableValues<float>()[o] = static_cast<float>(corrections_[o]);
  return result;
}

OutputPower LayerPruning::power() const {
  OutputPower power = power_;
  for (double mean : means_)
    power.signal += mean * mean;
  return power;
}

} // namespace sdopt
