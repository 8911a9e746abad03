//===- BucketFunctions.h - a function for each bucket of timesteps -*- C++ -*-===//
//
// A module whose activations have scale tables by timestep holds its function once for each bucket
// of timesteps, ascending, the same operations with other codes:
//
//   func @unet          {sdopt.first_timestep = 1.0}     timesteps below 401
//   func @unet.bucket1  {sdopt.first_timestep = 401.0}   the others
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_DIALECTS_SD_BUCKETFUNCTIONS_H
#define SDOPT_DIALECTS_SD_BUCKETFUNCTIONS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sdopt::sd {

/// Attribute of a function: the first timestep of its bucket. Without it, it is for all timesteps.
constexpr llvm::StringLiteral kFirstTimestepAttribute = "sdopt.first_timestep";

/// Of function number `bucket` of a module.
std::string bucketName(llvm::StringRef module, size_t bucket);

/// 0 for a function without the attribute.
double firstTimestep(mlir::func::FuncOp function);

/// The functions of all buckets of the module that `function` belongs to; itself if it is for all
/// timesteps.
llvm::SmallVector<mlir::func::FuncOp> bucketFunctions(mlir::func::FuncOp function);

/// True if another function comes first: names, plans and forms of weights are that one's.
bool isLaterBucket(mlir::func::FuncOp function);

/// The last bucket that does not begin above a timestep, or the first one: as the package decides,
/// by codes with 16 fraction bits.
size_t bucketOf(llvm::ArrayRef<mlir::func::FuncOp> functions, double timestep);

} // namespace sdopt::sd

#endif // SDOPT_DIALECTS_SD_BUCKETFUNCTIONS_H
