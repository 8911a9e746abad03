//===- Terminal.cpp - what a person sees --------------------------------------===//

#include "Terminal.h"

#include "compiler/report/Sweep.h"
#include "tools/process/Process.h"

#include <chrono>
#include <cstdio>
#include <unistd.h>

namespace sdopt {

namespace {

/// State of the progress line.
struct ProgressLine {
  bool terminal = isatty(STDERR_FILENO) != 0;
  bool open = false;
  std::string
      task; ///< text up to the counter, to print each task once where lines can't be replaced
  std::chrono::steady_clock::time_point start, shown;
  int lastTenth = 0;

  void show(const std::string &text) {
    auto now = std::chrono::steady_clock::now();
    std::string name = text.substr(0, text.find_first_of("0123456789"));
    bool first = name != task;
    if (first) {
      task = name;
      start = now;
      lastTenth = 0;
    }
    double seconds = std::chrono::duration<double>(now - start).count();
    Counter counter = parse(text);
    if (terminal) {
      if (!first && now - shown < std::chrono::milliseconds(50))
        return;
      std::fprintf(stderr, "\r\033[K%s%s", text.c_str(), remaining(counter, seconds).c_str());
      open = true;
    } else {
      // In a log: each task once, and long ones at each tenth of the way.
      int tenth = counter.all > 0 ? static_cast<int>(10 * counter.done / counter.all) : 0;
      if (!first && (seconds < 2 || tenth <= lastTenth))
        return;
      lastTenth = tenth;
      std::fprintf(stderr, "%s%s\n", text.c_str(), remaining(counter, seconds).c_str());
    }
    shown = now;
  }

  struct Counter {
    double done = 0, all = 0;
  };

  /// Of a text that ends in "done/all".
  static Counter parse(const std::string &text) {
    size_t slash = text.rfind('/'), blank = text.rfind(' ');
    if (slash == std::string::npos || blank == std::string::npos || blank > slash)
      return {};
    return {std::strtod(text.c_str() + blank + 1, nullptr),
            std::strtod(text.c_str() + slash + 1, nullptr)};
  }

  /// ", 12/s, 3 s left".
  static std::string remaining(const Counter &counter, double seconds) {
    if (counter.done <= 0 || seconds < 0.5)
      return "";
    char buffer[64];
    std::snprintf(buffer, sizeof(buffer), ", %.1f/s, %.0f s left", counter.done / seconds,
                  (counter.all - counter.done) * seconds / counter.done);
    return buffer;
  }

  void close() {
    if (open)
      std::fputs("\r\033[K", stderr);
    open = false;
  }
};

ProgressLine &line() {
  static ProgressLine instance;
  return instance;
}

} // namespace

Messages terminalMessages(bool quiet) {
  auto print = [](const char *prefix, std::string_view text) {
    line().close();
    std::fprintf(stderr, "%s%.*s\n", prefix, static_cast<int>(text.size()), text.data());
  };
  Messages messages;
  messages.warning = [print](std::string_view text) { print("sdopt-compile: warning: ", text); };
  if (quiet)
    return messages;
  messages.progress = [](std::string_view text) { line().show(std::string(text)); };
  messages.line = [print](std::string_view text) { print("", text); };
  return messages;
}

void finishProgress() { line().close(); }

/// What one PSNR hides of a diffusion model.
static void printSteps(const ModuleReport &module) {
  if (!module.has_worst_bucket_psnr())
    return;
  std::printf("%s: worst timesteps %.1f dB, worst call %.1f dB", module.name().c_str(),
              module.worst_bucket_psnr(), module.worst_psnr());
  if (module.guidance_pairs() > 0)
    std::printf(", guided %.1f dB, signal of guidance %.1f dB, cosine at least %.4f",
                module.guided_psnr(), module.guidance_sqnr(), module.guidance_cosine());
  std::printf("\n");
}

static void print(const CompileOptions &options, const CompileResult &result) {
  if (!options.explain.empty()) {
    std::printf("%s", result.explanation.c_str());
    return;
  }
  if (options.printInputs) {
    for (const std::string &input : result.inputs)
      std::printf("%s\n", input.c_str());
    return;
  }
  if (!options.sweep.empty()) {
    std::printf("%s", sweepTable(result.sweep).c_str());
    return;
  }
  const Report &report = result.report;
  if (options.output.empty()) {
    std::printf("stopped after %s; snapshots in %s\n", name(*options.stopAfter),
                options.stageFolder.c_str());
    return;
  }
  std::printf("%-14s %10s %10s %9s %13s %11s %10s %9s\n", "module", "parameters", "package",
              "PSNR dB", "cycles", "DRAM MB", "SRAM KiB", "mJ");
  for (const ModuleReport &module : report.modules()) {
    char quality[16] = "-";
    if (module.samples() > 0)
      std::snprintf(quality, sizeof(quality), "%.1f", module.psnr());
    std::printf("%-14s %10lld %10lld %9s %13lld %11.2f %10.0f %9.3f\n", module.name().c_str(),
                static_cast<long long>(module.parameters()),
                static_cast<long long>(module.package_bytes()), quality,
                static_cast<long long>(module.cycles()),
                static_cast<double>(module.dram_read_bytes() + module.dram_write_bytes()) / 1e6,
                static_cast<double>(module.sram_peak_bytes()) / 1024, module.energy() * 1e3);
  }
  for (const ModuleReport &module : report.modules())
    printSteps(module);
  const PipelineReport &pipeline = report.pipeline();
  std::printf("%s: %lld bytes; %s, %s", options.output.c_str(),
              static_cast<long long>(report.package_bytes()), report.target().c_str(),
              report.recipe().c_str());
  if (pipeline.steps() > 0)
    std::printf(", %d steps: %.3f images/s, %.3f images/s/W (modelled)", pipeline.steps(),
                pipeline.images_per_second(), pipeline.images_per_second_per_watt());
  std::printf("\n");
  for (const GateResult &gate : result.gates)
    std::printf("gate %s: %s\n", gate.passed ? "passed" : "FAILED", describe(gate).c_str());
  for (const Regression &regression : result.regressions)
    std::printf("baseline: %s\n", describe(regression).c_str());
}

absl::Status printResult(const CompileOptions &options, const CompileResult &result) {
  finishProgress();
  print(options, result);
  return flushStandardOutput();
}

} // namespace sdopt
