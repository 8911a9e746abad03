//===- NpuNetwork.h - between npu IR and the plain network ------*- C++ -*-===//
//
// The adapter between IR and plain data: compiler/schedule knows no MLIR, npu IR no tiles.
// networkOf() reads a function as layers, planOf() reads its schedule attributes, setPlan() writes
// them.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_PASSES_SCHEDULE_NPUNETWORK_H
#define SDOPT_PASSES_SCHEDULE_NPUNETWORK_H

#include "compiler/schedule/Plan.h"
#include "dialects/npu/Npu.h"

namespace sdopt {

/// A function as layers, with the way back to the IR.
struct NpuNetwork {
  Network network;
  std::vector<mlir::Value>
      constants; ///< expression of each constant, parallel to network.constants
  std::vector<mlir::Operation *>
      layerOps; ///< operation of each layer (a concat has one layer for each part)
};

/// Errors are emitted on the operation that has no layer.
mlir::FailureOr<NpuNetwork> networkOf(mlir::func::FuncOp function);

/// Writes tilings, offsets and arena size as attributes.
void setPlan(const NpuNetwork &npu, const Plan &plan, mlir::func::FuncOp function);

/// Reads them back; a missing attribute is an error on its operation.
mlir::FailureOr<Plan> planOf(const NpuNetwork &npu, mlir::func::FuncOp function,
                             const Target &target);

} // namespace sdopt

#endif // SDOPT_PASSES_SCHEDULE_NPUNETWORK_H
