//===- Sensitivity.cpp - what the output loses by one layer -----------------===//

#include "compiler/calibration/Sensitivity.h"

#include "absl/strings/str_cat.h"
#include "compiler/calibration/ErrorSums.h"
#include "compiler/calibration/OrderedWork.h"
#include "compiler/calibration/Statistics.h"
#include "compiler/calibration/ThreadShares.h"
#include "compiler/calibration/sensitivity.pb.h"
#include "compiler/files/AtomicFile.h"
#include "compiler/files/Blake3.h"
#include "compiler/files/PartialFiles.h"
#include "compiler/files/WholeFile.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/reference/MemoryNeed.h"

#include <filesystem>
#include <mutex>

using namespace mlir;

namespace sdopt {

namespace {

constexpr uint32_t kVersion = 2;

struct Measurement {
  double loss = 0;
  int64_t bits = 0;
};

/// Measurements by layer and form, in a file that grows with them.
class Cache {
public:
  Cache(const SensitivityOptions &options, const std::string &key) {
    constexpr size_t kDigits = 16;
    if (!options.cacheFolder.empty())
      file_ = options.cacheFolder + "/" + options.cacheName + "-" + key.substr(0, kDigits) +
              ".sensitivity.pb";
    cache_.set_version(kVersion);
    cache_.set_key(key);
  }

  absl::Status load() {
    if (file_.empty())
      return absl::OkStatus();
    if (!std::filesystem::exists(file_)) {
      absl::Status status = makeFolder(std::filesystem::path(file_).parent_path());
      return status.ok() ? save() : status; // told now, not after the first measurement
    }
    absl::StatusOr<std::string> bytes = readFile(file_);
    if (!bytes.ok())
      return bytes.status();
    calibration::SensitivityCache read;
    if (!read.ParseFromString(*bytes) || read.version() != kVersion)
      return absl::InvalidArgumentError(absl::StrCat("'", file_, "' is no file of sensitivities"));
    if (read.key() != cache_.key())
      return absl::InvalidArgumentError(
          absl::StrCat("'", file_,
                       "' holds sensitivities of another model or of other samples, as its name "
                       "does not say; remove it"));
    cache_ = std::move(read);
    for (const calibration::LayerLoss &loss : cache_.losses())
      if (!(loss.loss() >= 0) || loss.bits() < 0)
        return absl::InvalidArgumentError(
            absl::StrCat("'", file_, "' has no loss for layer '", loss.layer(), "'"));
    return absl::OkStatus();
  }

  std::optional<Measurement> find(const std::string &layer, const std::string &form) const {
    for (const calibration::LayerLoss &loss : cache_.losses())
      if (loss.layer() == layer && loss.form() == form)
        return Measurement{loss.loss(), loss.bits()};
    return std::nullopt;
  }

  absl::Status add(const std::string &layer, const std::string &form, const Measurement &measured) {
    calibration::LayerLoss &added = *cache_.add_losses();
    added.set_layer(layer);
    added.set_form(form);
    added.set_loss(measured.loss);
    added.set_bits(measured.bits);
    return file_.empty() ? absl::OkStatus()
                         : writeFileAtomically(file_, cache_.SerializeAsString());
  }

private:
  absl::Status save() const { return writeFileAtomically(file_, cache_.SerializeAsString()); }

  std::string file_;
  calibration::SensitivityCache cache_;
};

using Results = std::vector<std::vector<Tensor>>; ///< [evaluation][result]

absl::StatusOr<Results> evaluate(func::FuncOp function, const EvaluationContext &context,
                                 const std::vector<Sample> &samples) {
  Evaluator evaluator(function, context);
  Results results;
  for (const Sample &sample : samples) {
    FailureOr<SmallVector<Tensor>> values = evaluator.run(sample.inputs);
    if (failed(values))
      return absl::InternalError("an evaluation of the samples failed");
    results.emplace_back(values->begin(), values->end());
  }
  return results;
}

ErrorSums compareResults(const Results &reference, const Results &actual) {
  ErrorSums sums;
  for (size_t i = 0; i < reference.size(); ++i)
    for (size_t j = 0; j < reference[i].size(); ++j)
      if (reference[i][j].type() == ElementType::F32)
        sums.add(compare(reference[i][j].values<float>(), actual[i][j].values<float>()));
  return sums;
}

/// A copy of the function, for one thread.
class Copy {
public:
  /// One copy at a time changes, under `mutex`: all are of one context.
  Copy(func::FuncOp function, std::mutex &mutex)
      : mutex_(mutex), module_(function->getParentOfType<ModuleOp>().clone()),
        function_(module_->lookupSymbol<func::FuncOp>(function.getName())) {
    for (auto [from, to] : llvm::zip_equal(function.getBody().front(), function_.getBody().front()))
      operations_[&from] = &to;
  }

  struct Run {
    Results results;
    int64_t bits = 0;
  };

  absl::StatusOr<Run> run(Operation *layer, const WidthVariant &variant,
                          const EvaluationContext &context, const std::vector<Sample> &samples) {
    Operation *op = operations_.lookup(layer);
    SmallVector<Value> before(op->getOperands());
    LogicalResult applied = failure();
    {
      std::lock_guard lock(mutex_);
      applied = variant.apply(op);
    }
    FailureOr<int64_t> bits = failure();
    if (succeeded(applied))
      bits = variant.bits(op);
    if (failed(bits))
      return absl::InternalError(
          absl::StrCat("layer '", sd::valueName(layer->getResult(0)), "' can't be narrowed"));
    absl::StatusOr<Results> results = evaluate(function_, context, samples);
    std::lock_guard lock(mutex_);
    SmallVector<Value> narrowed(op->getOperands());
    op->setOperands(before);
    for (Value value : narrowed)
      eraseUnused(value);
    if (!results.ok())
      return results.status();
    return Run{*std::move(results), *bits};
  }

private:
  static void eraseUnused(Value value) {
    Operation *op = value.getDefiningOp();
    if (!op || !op->use_empty())
      return;
    SmallVector<Value> operands(op->getOperands());
    op->erase();
    for (Value operand : operands)
      eraseUnused(operand);
  }

  std::mutex &mutex_;
  OwningOpRef<ModuleOp> module_;
  func::FuncOp function_;
  llvm::DenseMap<Operation *, Operation *> operations_;
};

struct Task {
  size_t layer, variant;
};

} // namespace

absl::StatusOr<Sensitivity> measureSensitivity(func::FuncOp function,
                                               const std::vector<LayerVariants> &layers,
                                               const EvaluationContext &context,
                                               const std::vector<SampleFile> &files,
                                               const SensitivityOptions &options) {
  absl::StatusOr<SampleReader> reader = SampleReader::open(function, files, options.limit);
  if (!reader.ok())
    return reader.status();
  absl::StatusOr<std::string> digest = reader->digest();
  if (!digest.ok())
    return digest.status();
  const std::string deciding = functionDigest(function) + " " + *digest + " " + options.decides;
  Cache cache(options, blake3Hex(std::as_bytes(std::span(deciding))));
  if (absl::Status status = cache.load(); !status.ok())
    return status;
  std::vector<Sample> samples;
  for (int64_t i = 0; i < reader->size(); ++i) {
    absl::StatusOr<Sample> sample = reader->read(i);
    if (!sample.ok())
      return sample.status();
    samples.push_back(*std::move(sample));
  }

  Sensitivity result;
  std::vector<Task> tasks;
  int64_t total = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    result.losses.emplace_back(layers[i].variants.size(), 0.0);
    result.bits.emplace_back(layers[i].variants.size(), 0);
    for (size_t j = 0; j < layers[i].variants.size(); ++j, ++total)
      if (auto known = cache.find(sd::valueName(layers[i].layer->getResult(0)),
                                  layers[i].variants[j].form)) {
        result.losses[i][j] = known->loss;
        result.bits[i][j] = known->bits;
      } else {
        tasks.push_back({i, j});
      }
  }
  ThreadShares shares(options.threads, static_cast<int64_t>(tasks.size()),
                      leastEvaluationBytes(function));
  absl::StatusOr<Results> reference = evaluate(function, context, samples);
  if (!reference.ok())
    return reference.status();
  ErrorSums signal = compareResults(*reference, *reference);
  if (!(signal.reference > 0))
    return absl::InvalidArgumentError("all results of the samples are zero");
  result.peakToMean =
      signal.largest * signal.largest * static_cast<double>(signal.count) / signal.reference;

  std::mutex mutex;
  std::vector<std::unique_ptr<Copy>> copies(static_cast<size_t>(std::max(shares.samples(), 1)));
  for (std::unique_ptr<Copy> &copy : copies)
    copy = std::make_unique<Copy>(function, mutex);
  absl::Status saved;
  int64_t done = total - static_cast<int64_t>(tasks.size());
  absl::Status status = runInOrder<Measurement>(
      static_cast<int64_t>(tasks.size()), shares.samples(),
      [&](int worker, int64_t i) -> absl::StatusOr<Measurement> {
        const LayerVariants &layer = layers[tasks[i].layer];
        absl::StatusOr<Copy::Run> actual =
            copies[worker]->run(layer.layer, layer.variants[tasks[i].variant], context, samples);
        if (!actual.ok())
          return actual.status();
        return Measurement{compareResults(*reference, actual->results).error / signal.reference,
                           actual->bits};
      },
      [&](int64_t i, const Measurement &measured) {
        const LayerVariants &layer = layers[tasks[i].layer];
        result.losses[tasks[i].layer][tasks[i].variant] = measured.loss;
        result.bits[tasks[i].layer][tasks[i].variant] = measured.bits;
        if (saved.ok())
          saved = cache.add(sd::valueName(layer.layer->getResult(0)),
                            layer.variants[tasks[i].variant].form, measured);
        if (options.progress)
          options.progress(++done, total);
      });
  if (!status.ok())
    return status;
  if (!saved.ok())
    return saved;
  return result;
}

} // namespace sdopt
