//===- OpenedResources.h - who owns what passes read ------------*- C++ -*-===//
//
// Passes borrow what they read besides the IR (dialects/sd/Resources.h). Here it is owned: by
// sdopt-compile for each module, by sdopt-opt for what --sdopt-open-resources opens.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PIPELINE_OPENEDRESOURCES_H
#define SDOPT_COMPILER_PIPELINE_OPENEDRESOURCES_H

#include "compiler/calibration/Statistics.h"
#include "compiler/encodings/ImposedFormats.h"
#include "compiler/weights/ScaleCache.h"
#include "compiler/weights/TensorFile.h"
#include "compiler/weights/WeightStore.h"
#include "dialects/sd/Resources.h"

namespace sdopt {

struct OpenedResources {
  WeightStore weights;
  ScaleCache scales;
  ImposedFormats imposed;
  Statistics statistics;
  std::unique_ptr<TensorFile> masks, codebooks; ///< null: none were given

  /// Lends weights, scales and imposed formats to the passes of a context that does not outlive
  /// this; the rest as soon as it is there.
  void lendTo(mlir::MLIRContext &context);
  void lendStatistics(Statistics known);
  /// Nothing for an empty path.
  absl::Status openMasks(const std::string &path);
  absl::Status openCodebooks(const std::string &path);

private:
  Resources *lent_ = nullptr;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_OPENEDRESOURCES_H
