//===- CollectFormats.h - the code formats of a quantized module -*- C++ -*-===//

#ifndef SDOPT_COMPILER_EXPORT_COLLECTFORMATS_H
#define SDOPT_COMPILER_EXPORT_COLLECTFORMATS_H

#include "compiler/encodings/ImposedFormats.h"
#include "dialects/sd/Sd.h"

#include <set>

namespace sdopt {

struct CollectedFormats {
  ImposedFormats formats;
  std::set<std::string> weights; ///< those that are initializers
};

/// Formats of all activations and weights, such that imposing them makes the same function again.
/// An activation that has two codes is there twice: its 8-bit one as "NAME.a8".
absl::StatusOr<CollectedFormats> collectFormats(mlir::func::FuncOp function,
                                                const EvaluationContext &context);

} // namespace sdopt

#endif // SDOPT_COMPILER_EXPORT_COLLECTFORMATS_H
