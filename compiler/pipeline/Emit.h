//===- Emit.h - from scheduled npu IR to package sections -------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_EMIT_H
#define SDOPT_COMPILER_PIPELINE_EMIT_H

#include "absl/status/statusor.h"
#include "compiler/package/Package.h"
#include "compiler/reference/Evaluator.h"
#include "passes/schedule/NpuNetwork.h"

#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

namespace sdopt {

/// A scheduled function, ready to be written: layers, plan, commands and the expressions of its
/// constants.
struct EmittableModule {
  ModuleInfo info;
  std::vector<mlir::Value> constants; ///< parallel to info.network.constants
  /// Bytes of the codes of packed weights at their zero-order entropy, for reports.
  std::map<ConstantId, double> entropies = {};
};

/// A module without commands: they depend on what its weights take. Errors of the IR come as
/// diagnostics, of the scheduler as status.
absl::StatusOr<EmittableModule> prepareModule(mlir::func::FuncOp function, const Target &target);

/// Once all constants are packed and lie at these offsets: commands and all checks.
absl::Status completeModule(EmittableModule &module, const Target &target,
                            std::vector<int64_t> constantOffsets, int64_t constantsBytes);

/// What the schedule phase of the module that was added to `writer` last leaves for each of these
/// timesteps, in the package. Its bytes; 0 if the module has no such phase.
absl::StatusOr<int64_t> bakeSchedule(const ModuleInfo &info, const Target &target,
                                     std::span<const double> timesteps, PackageWriter &writer);

/// Both in memory, without a file: the constants one after the other as in a package.
absl::StatusOr<std::vector<std::byte>> packInMemory(EmittableModule &module, const Target &target,
                                                    const EvaluationContext &context);

/// The constants of a module that is only timed: those whose bytes depend on the weights as in a
/// package, all others zeros that nobody looks at, in pages that take no memory.
class TimedConstants {
public:
  TimedConstants() = default;
  TimedConstants(TimedConstants &&) = default;
  TimedConstants &operator=(TimedConstants &&) = default;

  /// Completes the module.
  static absl::StatusOr<TimedConstants> create(EmittableModule &module, const Target &target,
                                               const EvaluationContext &context);
  std::span<const std::byte> bytes() const { return {bytes_.get(), size_}; }

private:
  struct Free {
    void operator()(std::byte *bytes) const { std::free(bytes); }
  };
  std::unique_ptr<std::byte, Free> bytes_;
  size_t size_ = 0;
};

/// Makes the constants of a module, one at a time: a weight is quantized once for its codes and the
/// parameters of its channels.
class ConstantPacker {
public:
  /// `module` learns what its weights take.
  ConstantPacker(EmittableModule &module, const Target &target, const EvaluationContext &context);

  /// Evaluates constant `id` and packs it as the plan says. INVALID_ARGUMENT if the accumulator of
  /// a channel can leave its width.
  absl::StatusOr<std::vector<std::byte>> pack(ConstantId id);

private:
  absl::StatusOr<std::vector<std::byte>> packWeights(ConstantId id);
  absl::Status checkAccumulators(ConstantId id) const;
  void addReaders(const Network &network);

  struct Reader {
    const Layer *layer = nullptr;
    CodeFormat input;
  };

  EmittableModule &module_;
  const Target &target_;
  EvaluationContext context_;
  ConstantCache scales_;
  /// Matrix layers by weights and by params, those of the first bucket of timesteps first.
  std::multimap<ConstantId, Reader> readers_;
  std::map<ConstantId, std::vector<int64_t>> sums_; ///< sum|w| of each channel, by weights
  std::map<ConstantId, std::vector<ChannelParams>> params_;
  std::map<const Layer *, std::vector<int64_t>> bounds_; ///< tapAccumulatorBound()
};

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_EMIT_H
