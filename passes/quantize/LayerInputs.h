//===- LayerInputs.h - what layers read, are called and are set to -*- C++ -*-===//

#ifndef SDOPT_PASSES_QUANTIZE_LAYERINPUTS_H
#define SDOPT_PASSES_QUANTIZE_LAYERINPUTS_H

#include "compiler/calibration/Statistics.h"
#include "compiler/kernels/WeightStream.h"
#include "compiler/recipe/Recipe.h"
#include "dialects/sd/Sd.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"

namespace sdopt {

/// True if the result has the code of operand 0.
bool keepsCode(mlir::Operation *op);
/// The value whose code `value` carries.
mlir::Value codeRoot(mlir::Value value);

/// The recipe's settings of an operation of `function`.
LayerRecipe layerSettings(Recipe &recipe, mlir::func::FuncOp function, mlir::Operation *op);

/// What a layer's weights are called in files that leave and come back (masks, codebooks): the
/// module path of the weights ("down_blocks.0.resnets.1.conv1.weight"), or the layer's name if
/// there is none.
std::string exchangeName(mlir::Operation *layer);

/// A layer, its names (of values, ONNX nodes and weights) and which rule gives each setting.
struct ExplainedLayer {
  std::string type;
  std::vector<std::string> names, settings;
};
std::vector<ExplainedLayer> explainLayers(const Recipe &recipe, mlir::func::FuncOp function);

/// Every layer of a normalized function that quantization will look up: rules that fit none are
/// known before there are statistics.
void matchLayers(Recipe &recipe, mlir::func::FuncOp function);

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

/// Attribute of a layer whose codes are known: the weight store's keys of what sd.quantize_weight
/// would give, by these names.
constexpr llvm::StringLiteral kRoundedAttribute = "sdopt.rounded";
constexpr const char *kCodes = "codes", *kScales = "scales", *kGroupScales = "groups",
                     *kZeroPoints = "zeros", *kPalettes = "palettes", *kCorrection = "correction";
/// Of codes whose form is another than the recipe's: bits of the indices of palettes, and the
/// output channels that share one.
constexpr const char *kFormBits = "bits", *kFormOutputs = "palette_outputs";

/// All that tells apart what the kernels of two convolutions see of one value; null for linear
/// layers.
mlir::Attribute windowAttribute(mlir::Operation *layer);

/// Attribute of a layer whose recipe restricts how its codes are stored
/// (npu::NpuDialect::kStorageRuleAttr).
constexpr llvm::StringLiteral kStorageRuleAttribute = "npu.storage_rule";

/// Attribute of a convolution whose recipe lets sdopt-quantize-winograd make it by F(4x4, 3x3): dB.
constexpr llvm::StringLiteral kMinSqnrAttribute = "sdopt.winograd_min_sqnr";

/// Some of the weights were left out: their zeros stay zeros.
bool isPruned(mlir::Value weights);

/// How the weights of a matrix layer are stored.
WeightForm formOf(const LayerRecipe &layer);
/// For each input channel of a value: the mean square of its elements, or their variance if means
/// are made up for. Nothing if the statistics do not know the channels.
mlir::FailureOr<std::vector<float>> channelPowers(mlir::Value input, bool corrected,
                                                  const Statistics &statistics);
/// The mean of each channel that a layer reads; nothing if its input is constant.
mlir::FailureOr<std::vector<float>> channelMeans(mlir::Operation *layer,
                                                 const Statistics &statistics);
/// Of the scales and zero points of all groups: [o, kh, kw, groups], or [o, 1, 1, groups].
Shape groupShape(llvm::ArrayRef<int64_t> weights, const LayerRecipe &layer);

/// Keeps a tensor in the overlay of the weight store, under `name` and its digest: the key.
mlir::FailureOr<std::string> storedTensor(mlir::Location loc, const std::string &name,
                                          const Tensor &tensor);
/// An sd.weight of a tensor of the store.
mlir::FailureOr<mlir::Value> weightOf(mlir::OpBuilder &builder, mlir::Location loc,
                                      const std::string &key);

/// The key of what channelPowers() gives for a layer's input, in the overlay; empty for nothing.
mlir::FailureOr<std::string> storedImportance(mlir::Operation *layer, bool corrected,
                                              const Statistics &statistics);

/// A vector in the overlay of the weight store, under `name` and the digest of its numbers.
mlir::FailureOr<mlir::Value> storedVector(mlir::OpBuilder &builder, const std::string &name,
                                          const std::vector<float> &vector);

} // namespace sdopt

#endif // SDOPT_PASSES_QUANTIZE_LAYERINPUTS_H
