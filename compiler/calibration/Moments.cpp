//===- Moments.cpp - how the inputs of layers depend on each other -----------===//

#include "compiler/calibration/Moments.h"

#include "absl/strings/str_cat.h"
#include "compiler/calibration/NotFinite.h"
#include "compiler/kernels/FloatMatmul.h"
#include "compiler/kernels/FloatPanels.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/prune/InputPower.h"

#include <cmath>

using namespace mlir;

namespace sdopt {

namespace {

/// Rows that count of one evaluation, those that are multiplied at once, and columns of a product.
constexpr int64_t kRowsOfEvaluation = 1024, kRowsAtOnce = 256, kColumnBlock = 256;

} // namespace

KernelWindow windowOf(Operation *layer) {
  ArrayRef<int64_t> input = cast<RankedTensorType>(layer->getOperand(0).getType()).getShape();
  KernelWindow window{.channels = input.back()};
  auto conv = dyn_cast<sd::Conv2dOp>(layer);
  if (!conv)
    return window;
  ArrayRef<int64_t> weights = cast<RankedTensorType>(conv.getWeights().getType()).getShape();
  ArrayRef<int64_t> output = cast<RankedTensorType>(conv.getType()).getShape();
  window.height = input[1];
  window.width = input[2];
  window.outHeight = output[1];
  window.outWidth = output[2];
  window.kernelHeight = weights[2];
  window.kernelWidth = weights[3];
  window.strideH = conv.getStrides()[0];
  window.strideW = conv.getStrides()[1];
  window.dilationH = conv.getDilations()[0];
  window.dilationW = conv.getDilations()[1];
  window.top = conv.getPadding()[0];
  window.left = conv.getPadding()[1];
  return window;
}

class MomentsSum::Accumulation {
public:
  explicit Accumulation(const MomentsRequest &request) : window_(windowOf(request.layer)) {
    moments_.firstChannel = request.firstChannel;
    moments_.channels = request.channels;
    moments_.taps = window_.taps();
    const int64_t n = moments_.columns();
    moments_.mean.resize(static_cast<size_t>(n));
    moments_.magnitude.resize(static_cast<size_t>(n));
    moments_.covariance.resize(static_cast<size_t>(n * n));
  }

  bool add(const Tensor &input, int64_t count, int64_t batch, double weight) {
    const int64_t places = window_.outHeight * window_.outWidth;
    int64_t rows = input.size() / (window_.height * window_.width * window_.channels) * places;
    if (input.rank() > 1 && input.dim(0) == batch)
      rows = rows / batch * count;
    const int64_t step = std::max<int64_t>(1, (rows + kRowsOfEvaluation - 1) / kRowsOfEvaluation);
    const int64_t used = (rows + step - 1) / step;
    for (int64_t first = 0; first < used; first += kRowsAtOnce)
      addRows(input.values<float>().data(), first * step, step, std::min(kRowsAtOnce, used - first),
              weight);
    return std::isfinite(checksum_);
  }

  InputMoments take() {
    const int64_t n = moments_.columns();
    std::vector<float> &covariance = moments_.covariance;
    const double rows = rows_ > 0 ? rows_ : 1.0;
    for (double &mean : moments_.mean)
      mean /= rows;
    for (double &magnitude : moments_.magnitude)
      magnitude /= rows;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = i; j < n; ++j) {
        const double moment = covariance[i * n + j] / rows - moments_.mean[i] * moments_.mean[j];
        covariance[i * n + j] = covariance[j * n + i] = static_cast<float>(moment);
      }
    for (int64_t i = 0; i < n && rows_ > 0; ++i)
      moments_.mean[i] += shift_[i];
    return std::move(moments_);
  }

private:
  /// The columns of row `index`, without the shift.
  void gather(const float *input, int64_t index, float *row) const {
    const int64_t x = index % window_.outWidth, y = index / window_.outWidth % window_.outHeight;
    const int64_t picture = index / window_.outWidth / window_.outHeight;
    for (int64_t tap = 0; tap < window_.taps(); ++tap, row += moments_.channels) {
      const int64_t h =
          y * window_.strideH - window_.top + tap / window_.kernelWidth * window_.dilationH;
      const int64_t w =
          x * window_.strideW - window_.left + tap % window_.kernelWidth * window_.dilationW;
      if (h < 0 || h >= window_.height || w < 0 || w >= window_.width) {
        std::fill_n(row, moments_.channels, 0.0f);
        continue;
      }
      const float *pixel =
          input + ((picture * window_.height + h) * window_.width + w) * window_.channels;
      std::copy_n(pixel + moments_.firstChannel, moments_.channels, row);
    }
  }

  void addRows(const float *input, int64_t first, int64_t step, int64_t count, double weight) {
    const int64_t n = moments_.columns();
    rows_ += weight * static_cast<double>(count);
    std::vector<float> rows(static_cast<size_t>(count * n)), columns(rows.size());
    parallelFor(count,
                [&](int64_t r, int) { gather(input, first + r * step, rows.data() + r * n); });
    // Sums of squares lose what is small beside the mean: columns are shifted by their first mean.
    if (shift_.empty()) {
      shift_.resize(static_cast<size_t>(n));
      for (int64_t i = 0; i < n; ++i) {
        double sum = 0;
        for (int64_t r = 0; r < count; ++r)
          sum += rows[r * n + i];
        shift_[i] = static_cast<float>(sum / static_cast<double>(count));
      }
    }
    for (int64_t r = 0; r < count; ++r)
      for (int64_t i = 0; i < n; ++i) {
        float &x = rows[r * n + i];
        moments_.magnitude[i] += weight * std::fabs(x);
        x -= shift_[i];
        moments_.mean[i] += weight * x;
      }
    for (double sum : moments_.mean)
      checksum_ += sum;
    transposeMatrix(reinterpret_cast<const uint32_t *>(rows.data()), n, count, n,
                    reinterpret_cast<uint32_t *>(columns.data()), count);
    if (weight != 1)
      for (float &x : columns)
        x = static_cast<float>(weight * x);
    multiplyUpper(rows.data(), columns.data(), count);
  }

  /// Adds the upper triangle of rows^T rows, block by block.
  void multiplyUpper(const float *rows, const float *columns, int64_t count) {
    const int64_t n = moments_.columns();
    std::vector<float> block(static_cast<size_t>(std::min(kColumnBlock, n) * n));
    for (int64_t first = 0; first < n; first += kColumnBlock) {
      const int64_t height = std::min(kColumnBlock, n - first), width = n - first;
      FloatProduct product{.m = height,
                           .n = width,
                           .depth = count,
                           .rows = matrixRows(columns + first * count, count),
                           .columns = rows + first,
                           .columnsStride = n,
                           .out = block.data(),
                           .outStride = width};
      multiply({&product, 1});
      for (int64_t i = 0; i < height; ++i)
        for (int64_t j = 0; j < width; ++j)
          moments_.covariance[(first + i) * n + first + j] += block[i * width + j];
    }
  }

  KernelWindow window_;
  InputMoments moments_;
  std::vector<float> shift_;
  double rows_ = 0;
  double checksum_ = 0;
};

MomentsSum::MomentsSum(const MomentsRequest &request)
    : sum_(std::make_unique<Accumulation>(request)) {}
MomentsSum::~MomentsSum() = default;
MomentsSum::MomentsSum(MomentsSum &&) noexcept = default;

bool MomentsSum::add(const Tensor &input, int64_t rows, int64_t batch, double weight) {
  return sum_->add(input, rows, batch, weight);
}

InputMoments MomentsSum::take() { return sum_->take(); }

int64_t batchOf(const Sample &sample) {
  int64_t batch = 1;
  for (const Tensor &input : sample.inputs)
    if (input.rank() > 1)
      batch = std::max(batch, input.dim(0));
  return batch;
}

int64_t momentBytes(const MomentsRequest &request) {
  const int64_t columns = request.channels * windowOf(request.layer).taps();
  return columns * columns * static_cast<int64_t>(sizeof(float));
}

std::vector<std::pair<size_t, size_t>> cutIntoPasses(const std::vector<MomentsRequest> &requests,
                                                     int64_t limit) {
  std::vector<std::pair<size_t, size_t>> passes;
  int64_t bytes = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const int64_t more = momentBytes(requests[i]);
    if (i == 0 || bytes + more > limit) {
      passes.emplace_back(i, i);
      bytes = 0;
    }
    bytes += more;
    passes.back().second = i + 1;
  }
  return passes;
}

absl::StatusOr<std::vector<InputMoments>>
collectMoments(func::FuncOp function, const EvaluationContext &context,
               const std::vector<SampleFile> &samples, const std::vector<MomentsRequest> &requests,
               const std::function<void(double done, int64_t total)> &progress) {
  absl::StatusOr<SampleReader> reader = SampleReader::open(function, samples);
  if (!reader.ok())
    return reader.status();
  std::vector<MomentsSum> sums;
  llvm::DenseMap<Value, std::vector<size_t>> readers;
  for (const MomentsRequest &request : requests) {
    readers[request.layer->getOperand(0)].push_back(sums.size());
    sums.emplace_back(request);
  }
  Evaluator evaluator(function, context);
  for (int64_t i = 0; i < reader->size(); ++i) {
    absl::StatusOr<Sample> sample = reader->read(i);
    if (!sample.ok())
      return sample.status();
    const int64_t batch = batchOf(*sample);
    Value bad;
    auto observe = [&](Value value, const Tensor &tensor) {
      auto found = readers.find(value);
      if (found == readers.end())
        return;
      for (size_t reading : found->second)
        if (!sums[reading].add(tensor, sample->rows, batch) && !bad)
          bad = value;
    };
    if (failed(evaluator.run(sample->inputs, observe)))
      return absl::InternalError(
          absl::StrCat("evaluation ", i, " of the samples failed; see the messages above"));
    if (bad)
      return notFinite(bad, i, context);
    if (progress)
      progress(static_cast<double>(i + 1), reader->size());
  }
  std::vector<InputMoments> result;
  for (MomentsSum &sum : sums)
    result.push_back(sum.take());
  return result;
}

} // namespace sdopt
