//===- LayerStatistics.h - statistics of values as they are now -*- C++ -*-===//

#ifndef SDOPT_PASSES_QUANTIZE_LAYERSTATISTICS_H
#define SDOPT_PASSES_QUANTIZE_LAYERSTATISTICS_H

#include "compiler/calibration/Statistics.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sdopt {

/// Attribute of an operation whose result is no longer what the statistics saw: the weight store's
/// key of the f32 vector by which each channel was divided.
constexpr llvm::StringLiteral kDividedAttribute = "sdopt.divided_by";
/// Attribute of an operation that was added after calibration: the value whose statistics its
/// result has, before it was divided. It may be a part of that value.
constexpr llvm::StringLiteral kStatisticsOfAttribute = "sdopt.statistics_of";
/// Attribute of a function: digest of the function that its statistics are of, if that is another.
constexpr llvm::StringLiteral kCalibratedAttribute = "sdopt.calibrated";

/// An error if there is no recipe, or no statistics of this function.
mlir::LogicalResult checkStatistics(mlir::func::FuncOp function);

/// What channels of a value were divided by; empty if they are as the statistics saw them.
mlir::FailureOr<std::vector<float>> divisors(mlir::Value value);

/// Statistics of a value as it is now: after a division without histogram, and with the extremes
/// that its channels give. An error names what is missing.
mlir::FailureOr<ValueStatistics> statisticsOf(mlir::Value value, const Statistics &statistics);
/// The smallest and largest element of a value as it is now over the calls of one of
/// Statistics::timesteps().
mlir::FailureOr<std::pair<float, float>> extremesOf(mlir::Value value, const Statistics &statistics,
                                                    size_t bucket);

/// For each input channel of a value: the mean square of its elements, or their variance if means
/// are made up for. Nothing if the statistics do not know the channels.
mlir::FailureOr<std::vector<float>> channelPowers(mlir::Value input, bool corrected,
                                                  const Statistics &statistics);
/// The mean of each channel that a layer reads; nothing if its input is constant.
mlir::FailureOr<std::vector<float>> channelMeans(mlir::Operation *layer,
                                                 const Statistics &statistics);

/// The key of what channelPowers() gives for a layer's input, in the overlay; empty for nothing.
mlir::FailureOr<std::string> storedImportance(mlir::Operation *layer, bool corrected,
                                              const Statistics &statistics);

} // namespace sdopt

#endif // SDOPT_PASSES_QUANTIZE_LAYERSTATISTICS_H
