//===- WidthSearch.h - a form for each layer under a budget -----*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_WIDTHSEARCH_H
#define SDOPT_COMPILER_PIPELINE_WIDTHSEARCH_H

#include "compiler/calibration/Sensitivity.h"
#include "compiler/recipe/Recipe.h"

namespace sdopt {

/// What the function is as its layers are marked now. Budgets and floors hold for these, not only
/// for the sums over layers that were measured alone.
struct WidthTrials {
  /// The PSNR of the function as it would be quantized.
  std::function<absl::StatusOr<double>()> psnr;
  /// Bits that a weight takes in a package: rounded, stored and tiled.
  std::function<absl::StatusOr<double>()> storedBits;
};

/// Measures what each layer of the float `function` loses, and which bytes of a package it takes,
/// at 3, 4, 5, 6 and 8 bits; in palettes at 1 and 2 bits too, or, if their indices are to be coded
/// (`coded_bits`), at 1 to 6 bits of entropy; if it was pruned: with and without that. Chooses
/// forms that meet the recipe's budget with the least error (or a PSNR with the fewest bits), and
/// leaves them on the layers for sdopt-quantize and undoPruning(). Gives what was chosen in one
/// line.
absl::StatusOr<std::string> searchWidths(mlir::func::FuncOp function, Recipe &recipe,
                                         const EvaluationContext &context,
                                         const std::vector<SampleFile> &samples,
                                         const SensitivityOptions &options,
                                         const WidthTrials &trials);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_WIDTHSEARCH_H
