//===- WeightReport.h - what the weights of a module take -------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_WEIGHTREPORT_H
#define SDOPT_COMPILER_PIPELINE_WEIGHTREPORT_H

#include "compiler/report/Report.h"
#include "compiler/schedule/Plan.h"

#include <map>

namespace sdopt {

struct ModuleInfo;

/// The scale of an output channel or row, which counts as a part of its weights.
constexpr int64_t kScaleBytes = 4;

double bitsPerWeight(int64_t storedBytes, int64_t weights);

/// Of all weights of a module as they are packed, scales included; rows of embeddings too if `rows`
/// is set.
double storedBitsPerWeight(const ModuleInfo &info, bool rows);

/// Sets the sizes of weights in the reports of a module's layers, and their sums by form.
/// `entropies`: bytes of codes at their zero-order entropy.
void addWeightSizes(const ModuleInfo &info, const std::map<ConstantId, double> &entropies,
                    ModuleReport &report);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_WEIGHTREPORT_H
