//===- CompareCodes.h - the first code that differs -------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_COMPARECODES_H
#define SDOPT_COMPILER_PIPELINE_COMPARECODES_H

#include "compiler/pipeline/Verify.h"

namespace sdopt {

/// Compares two I8 or I16 tensors of one value and counts it. DATA_LOSS with the first element that
/// differs. Shapes may differ (of a view), element counts may not.
absl::Status compareCodes(const std::string &name, const std::string &op, const Tensor &before,
                          const Tensor &after, const std::string &step, VerifyCounts &counts);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_COMPARECODES_H
