//===- Emit.h - from scheduled npu IR to package sections -------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_EMIT_H
#define SDOPT_COMPILER_PIPELINE_EMIT_H

#include "absl/status/statusor.h"
#include "compiler/package/Package.h"
#include "compiler/reference/Evaluator.h"
#include "passes/schedule/NpuNetwork.h"

#include <map>
#include <vector>

namespace sdopt {

/// A scheduled function, ready to be written: layers, plan, commands and the expressions of its
/// constants.
struct EmittableModule {
  ModuleInfo info;
  std::vector<mlir::Value> constants; ///< parallel to info.network.constants
};

/// Errors of the IR come as diagnostics, of the scheduler as status.
absl::StatusOr<EmittableModule> prepareModule(mlir::func::FuncOp function, const Target &target);

/// Makes the constants of a module, one at a time: a weight is quantized once for its codes and the
/// parameters of its channels.
class ConstantPacker {
public:
  ConstantPacker(const EmittableModule &module, const EvaluationContext &context);

  /// Evaluates constant `id` and packs it as the plan says into `out`. INVALID_ARGUMENT if the
  /// accumulator of a channel can leave its width.
  absl::Status pack(ConstantId id, std::span<std::byte> out);

private:
  absl::Status packWeights(ConstantId id, std::span<std::byte> out);
  absl::Status checkAccumulators(ConstantId id) const;

  const EmittableModule &module_;
  EvaluationContext context_;
  ConstantCache scales_;
  std::multimap<ConstantId, const Layer *> readers_; ///< matrix layers by weights and by params
  std::map<ConstantId, std::vector<int64_t>> sums_;  ///< sum|w| of each channel, by weights
  std::map<ConstantId, std::vector<ChannelParams>> params_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_EMIT_H
