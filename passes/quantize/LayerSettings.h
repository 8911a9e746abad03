//===- LayerSettings.h - what layers are called and set to ------*- C++ -*-===//

#ifndef SDOPT_PASSES_QUANTIZE_LAYERSETTINGS_H
#define SDOPT_PASSES_QUANTIZE_LAYERSETTINGS_H

#include "compiler/kernels/Tensor.h"
#include "compiler/kernels/WeightStream.h"
#include "compiler/recipe/Recipe.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sdopt {

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

/// Of the scales and zero points of all groups: [o, kh, kw, groups], or [o, 1, 1, groups].
Shape groupShape(llvm::ArrayRef<int64_t> weights, const LayerRecipe &layer);

} // namespace sdopt

#endif // SDOPT_PASSES_QUANTIZE_LAYERSETTINGS_H
