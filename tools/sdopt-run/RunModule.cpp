//===- RunModule.cpp - recorded samples through one module ----------------===//

#include "tools/sdopt-run/RunModule.h"

#include "absl/strings/str_cat.h"
#include "compiler/files/AtomicFile.h"
#include "compiler/report/Numbers.h"
#include "compiler/simulator/ChromeTrace.h"
#include "compiler/weights/Safetensors.h"
#include "compiler/weights/TensorFile.h"
#include "tools/process/Process.h"
#include "tools/sdopt-run/ModuleRunner.h"
#include "tools/sdopt-run/Progress.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace sdopt {

namespace {

absl::StatusOr<const PackageModule *> findModule(const Package &package,
                                                 const RunModuleOptions &options) {
  if (const PackageModule *module = package.find(options.module))
    return module;
  std::string present;
  for (const PackageModule &module : package.modules())
    present += (present.empty() ? "" : " ") + module.info.network.name;
  return absl::NotFoundError(
      absl::StrCat(options.package, ": no module '", options.module, "'; there are: ", present));
}

/// Floats of any width as F32, which is what a module's boundary takes.
Tensor widened(const Tensor &value) {
  bool isFloat = value.type() == ElementType::F16 || value.type() == ElementType::BF16 ||
                 value.type() == ElementType::F64;
  return isFloat ? value.converted(ElementType::F32) : value;
}

/// A NaN or an infinity has no code, and no PSNR.
std::optional<size_t> firstNotFinite(const Tensor &tensor) {
  if (tensor.type() != ElementType::F32)
    return std::nullopt;
  auto values = tensor.values<float>();
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      return i;
  return std::nullopt;
}

absl::StatusOr<TensorMap> readTensors(const TensorFile &file, const std::string &path) {
  TensorMap tensors;
  for (const std::string &name : file.names()) {
    absl::StatusOr<Tensor> value = file.get(name);
    if (!value.ok())
      return value.status();
    tensors[name] = widened(*value);
    if (std::optional<size_t> element = firstNotFinite(tensors[name]))
      return absl::InvalidArgumentError(
          absl::StrCat("'", path, "': tensor '", name, "' is not finite at element ", *element));
  }
  return tensors;
}

void printTotals(const ModuleTotals &totals) {
  const RunStatistics &sum = totals.sum;
  auto runs = static_cast<double>(totals.runs);
  auto perRun = [&](double value, const char *unit) { return withPrefix(value / runs, unit); };
  std::cout << totals.name << ": " << grouped(totals.runs) << " runs, each "
            << grouped(sum.cycles / totals.runs) << " cycles (" << perRun(sum.seconds, "s") << "), "
            << perRun(sum.energy, "J") << ", DRAM "
            << perRun(static_cast<double>(sum.dramReadBytes), "B") << " read, "
            << perRun(static_cast<double>(sum.dramWriteBytes), "B") << " written, SRAM peak "
            << withPrefix(static_cast<double>(sum.sramPeakBytes), "B") << "\n";
}

/// Seconds of each run of a module, by the clock and of all threads together.
class Pace {
public:
  void runEnded(double clock) {
    clock_.push_back(clock - std::exchange(lastClock_, clock));
    std::clock_t used = std::clock();
    used_.push_back(static_cast<double>(used - std::exchange(lastUsed_, used)) / CLOCKS_PER_SEC);
  }

  /// To stderr: what stdout says depends on nothing but the inputs. The first run also prepares
  /// weights, so the fastest is the steady state.
  void print(const std::string &module) {
    if (clock_.empty())
      return;
    std::sort(clock_.begin(), clock_.end());
    std::cerr << module << ": one run took " << significant(clock_.front()) << " s (fastest of "
              << clock_.size() << ", median " << significant(clock_[clock_.size() / 2]) << " s), "
              << significant(*std::min_element(used_.begin(), used_.end()))
              << " s of processor time\n";
  }

private:
  std::vector<double> clock_, used_;
  double lastClock_ = 0;
  std::clock_t lastUsed_ = std::clock();
};

void printQuality(const TensorMap &recorded, const TensorMap &outputs) {
  for (const auto &[name, value] : outputs) {
    auto reference = recorded.find(name);
    if (reference == recorded.end())
      continue;
    if (reference->second.shape() != value.shape() ||
        reference->second.type() != ElementType::F32 || value.type() != ElementType::F32)
      std::cout << "  " << name << ": " << toString(value.shape())
                << ", not compared with the recorded " << toString(reference->second.shape())
                << "\n";
    else
      std::cout << "  " << name << ": PSNR "
                << decibels(peakSignalToNoise(reference->second, value))
                << " against the recorded output\n";
  }
}

std::string traceOf(const ModuleInfo &module, const std::vector<TraceEvent> &events) {
  std::vector<std::string> names;
  for (const Layer &layer : module.network.layers)
    names.push_back(layer.name);
  return writeChromeTrace(module.program, names, events);
}

/// Both or none.
absl::Status writeOutputs(const RunModuleOptions &options, const ModuleInfo &module,
                          const TensorMap &outputs, const std::vector<TraceEvent> &events) {
  std::unique_ptr<AtomicFile> trace;
  if (!options.trace.empty()) {
    auto file = AtomicFile::create(options.trace);
    absl::Status status = file.ok() ? (*file)->write(traceOf(module, events)) : file.status();
    if (!status.ok())
      return status;
    trace = *std::move(file);
  }
  absl::Status status;
  if (!options.output.empty())
    status = writeSafetensors(options.output, {outputs.begin(), outputs.end()});
  return status.ok() && trace ? trace->commit() : status;
}

/// An output in the place of an input would be gone before anyone noticed.
absl::Status checkOverwriting(const RunModuleOptions &options) {
  std::error_code error;
  for (const std::string &output : {options.output, options.trace})
    for (const std::string &input : {options.package, options.inputs})
      if (std::filesystem::equivalent(output, input, error))
        return absl::InvalidArgumentError("cannot write '" + output + "': it is read");
  auto place = [&](const std::string &path) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(path, error), error);
  };
  if (!options.output.empty() && !options.trace.empty() &&
      place(options.output) == place(options.trace))
    return absl::InvalidArgumentError("outputs and trace are both to be '" + options.output + "'");
  return absl::OkStatus();
}

} // namespace

double peakSignalToNoise(const Tensor &reference, const Tensor &value) {
  double peak = 0, squares = 0;
  auto a = reference.values<float>(), b = value.values<float>();
  for (size_t i = 0; i < a.size(); ++i) {
    double difference = static_cast<double>(a[i]) - b[i];
    peak = std::max(peak, std::fabs(static_cast<double>(a[i])));
    squares += difference * difference;
  }
  if (squares == 0)
    return std::numeric_limits<double>::infinity();
  return 20 * std::log10(peak / std::sqrt(squares / static_cast<double>(a.size())));
}

absl::Status runModuleCommand(const RunModuleOptions &options) {
  if (absl::Status status = checkOverwriting(options); !status.ok())
    return status;
  auto package = Package::open(options.package);
  if (!package.ok())
    return package.status();
  absl::StatusOr<const PackageModule *> module = findModule(**package, options);
  if (!module.ok())
    return module.status();
  absl::StatusOr<Target> target =
      parseTarget((*package)->provenance().target, options.package + ": target");
  if (!target.ok())
    return target.status();
  auto file = TensorFile::open(options.inputs);
  if (!file.ok())
    return file.status();
  absl::StatusOr<TensorMap> recorded = readTensors(**file, options.inputs);
  if (!recorded.ok())
    return recorded.status();

  ModuleRunner runner(**module, *target);
  std::vector<TraceEvent> events;
  Pace pace;
  Progress progress(options.module);
  absl::StatusOr<TensorMap> outputs = runner.run(
      *recorded, options.trace.empty() ? nullptr : &events, [&](int64_t done, int64_t records) {
        pace.runEnded(progress.seconds());
        progress.show(done, records, "runs");
      });
  progress.finish();
  pace.print(options.module);
  if (!outputs.ok())
    return absl::Status(outputs.status().code(),
                        absl::StrCat(options.inputs, ": ", outputs.status().message()));
  printTotals(runner.totals());
  printQuality(*recorded, *outputs);
  if (absl::Status status = flushStandardOutput(); !status.ok())
    return status;
  return writeOutputs(options, (*module)->info, *outputs, events);
}

} // namespace sdopt
