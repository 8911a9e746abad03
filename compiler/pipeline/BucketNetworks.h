//===- BucketNetworks.h - one plan, codes for each bucket of timesteps -*- C++ -*-===//
//
// Functions of the buckets of timesteps (dialects/sd/BucketFunctions.h) have the same operations.
// Scheduled is the first alone: the others take its plan and its weights.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PIPELINE_BUCKETNETWORKS_H
#define SDOPT_COMPILER_PIPELINE_BUCKETNETWORKS_H

#include "passes/schedule/NpuNetwork.h"

namespace sdopt {

/// The network of the first bucket with the codes of `function`. Constants that differ are added to
/// those of `first`. Operations or weights that differ are an error on the function.
mlir::FailureOr<Network> bucketNetwork(mlir::func::FuncOp function, NpuNetwork &first);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_BUCKETNETWORKS_H
