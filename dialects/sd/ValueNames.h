//===- ValueNames.h - stable names of values --------------------*- C++ -*-===//
//
// A value's name is the ONNX tensor name it stands for, kept in the location: NameLoc(name, child),
// where the child holds the ONNX nodes (NameLoc each, fused if several).
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_DIALECTS_SD_VALUENAMES_H
#define SDOPT_DIALECTS_SD_VALUENAMES_H

#include "mlir/IR/Location.h"
#include "mlir/IR/Operation.h"
#include "mlir/IR/Value.h"

#include <string>
#include <vector>

namespace sdopt::sd {

/// NameLoc(name, fused(nodes)).
mlir::Location makeValueLoc(mlir::MLIRContext *context, llvm::StringRef name,
                            llvm::ArrayRef<std::string> onnxNodes);

/// The location of an op that replaces `root` and absorbs `others`: the name of root, the ONNX
/// nodes of all (in order, without repeats).
mlir::Location fuseLocs(mlir::Operation *root, llvm::ArrayRef<mlir::Operation *> others);

/// The same nodes under another name (name + suffix, for values that a pass adds).
mlir::Location renamedLoc(mlir::Location loc, llvm::StringRef suffix);

/// Name of a value: of the function argument (attribute sd.name) or of the defining op (with "#i"
/// for a later result). Empty if it has none.
std::string valueName(mlir::Value value);

/// ONNX nodes an operation stands for, in order.
std::vector<std::string> onnxNodes(mlir::Operation *op);

} // namespace sdopt::sd

#endif // SDOPT_DIALECTS_SD_VALUENAMES_H
