//===- Emit.h - from scheduled npu IR to package sections -------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_EMIT_H
#define SDOPT_COMPILER_PIPELINE_EMIT_H

#include "absl/status/statusor.h"
#include "compiler/package/Package.h"
#include "compiler/reference/Evaluator.h"
#include "passes/schedule/NpuNetwork.h"

namespace sdopt {

/// A scheduled function, ready to be written: layers, plan, commands and the expressions of its
/// constants.
struct EmittableModule {
  ModuleInfo info;
  std::vector<mlir::Value> constants; ///< parallel to info.network.constants
};

/// Errors of the IR come as diagnostics, of the scheduler as status.
absl::StatusOr<EmittableModule> prepareModule(mlir::func::FuncOp function, const Target &target);

/// Evaluates constant `id` and packs it as the plan says into `out`.
absl::Status packConstant(const EmittableModule &module, ConstantId id,
                          const EvaluationContext &context, std::span<std::byte> out);

/// A module in memory as the simulator reads it from a package: constants packed, nothing written.
struct LoadedModule {
  PackageModule module;
  std::vector<std::byte> bytes;
};
absl::StatusOr<std::unique_ptr<LoadedModule>> loadModule(EmittableModule emittable,
                                                         const EvaluationContext &context);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_EMIT_H
