//===- ConvertQuantization.cpp - models that another tool quantized ----------===//
//
// QuantizeLinear and DequantizeLinear say what codes a value has; the value itself passes through.
// Codes of constants become the real numbers that they stand for, and their scales are kept.
//
//===----------------------------------------------------------------------===//

#include "compiler/encodings/ImposedFormats.h"
#include "compiler/import/NodeImporter.h"
#include "compiler/import/OperatorRules.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/reference/Evaluator.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <cmath>
#include <optional>

using namespace mlir;

namespace sdopt {

namespace {

/// Larger constants stay expressions.
constexpr int64_t kMostFoldedElements = int64_t(16) << 20;

struct Grid {
  Tensor scales, zeroPoints; ///< zero points of integers, or empty
  int64_t axis = 0;
};

bool isCodeType(ElementType type) {
  return type == ElementType::I8 || type == ElementType::U8 || type == ElementType::I16 ||
         type == ElementType::U16 || type == ElementType::I32;
}

bool isUnsigned(ElementType type) { return type == ElementType::U8 || type == ElementType::U16; }

/// Scales and zero points, checked against the shape of input 0.
std::optional<Grid> gridOf(NodeImporter &node) {
  if (node.integer("block_size", 0) != 0) {
    node.unsupported("scales of blocks");
    return std::nullopt;
  }
  Grid grid;
  grid.scales = node.constantInput(1, "scale");
  if (node.has(2))
    grid.zeroPoints = node.constantInput(2, "zero point");
  int64_t axis = node.integer("axis", 1), rank = node.rank(0);
  if (!node.ok())
    return std::nullopt;
  if (grid.scales.type() != ElementType::F32 ||
      (node.has(2) &&
       (!isCodeType(grid.zeroPoints.type()) || grid.zeroPoints.size() != grid.scales.size()))) {
    node.invalid("scales must be floats, with as many integer zero points");
    return std::nullopt;
  }
  for (float scale : grid.scales.values<float>())
    if (!(scale > 0) || !std::isnormal(scale)) {
      node.invalid("a scale is not a positive number");
      return std::nullopt;
    }
  if (grid.scales.size() != 1 || rank > 0)
    grid.axis = grid.scales.size() == 1 ? 0 : node.normalizedAxis(axis, rank);
  if (!node.ok())
    return std::nullopt;
  if (grid.scales.size() != 1 && grid.scales.size() != node.shape(0)[grid.axis]) {
    node.invalid(absl::StrCat(grid.scales.size(), " scales for dimension ", grid.axis, " of ",
                              toString(node.shape(0))));
    return std::nullopt;
  }
  return grid;
}

ImposedFormat formatOf(const Grid &grid, ElementType codes) {
  ImposedFormat format;
  format.bits = static_cast<int>(8 * byteWidth(codes));
  if (grid.scales.size() > 1)
    format.axis = grid.axis;
  int64_t middle = isUnsigned(codes) ? int64_t(1) << (format.bits - 1) : 0;
  Tensor zeros = grid.zeroPoints.size() == grid.scales.size() && grid.zeroPoints.bytes()
                     ? grid.zeroPoints.converted(ElementType::I64)
                     : Tensor(ElementType::I64, grid.scales.shape());
  for (int64_t i = 0; i < grid.scales.size(); ++i) {
    format.scales.push_back(static_cast<double>(grid.scales.values<float>()[i]));
    format.zeroPoints.push_back(zeros.values<int64_t>()[i] - middle);
  }
  return format;
}

/// What lies along `axis`, as it meets a tensor of `rank`.
Tensor along(const Tensor &values, int64_t axis, int64_t rank) {
  Shape shape(rank, 1);
  if (values.size() > 1)
    shape[axis] = values.size();
  return values.converted(ElementType::F32).reshaped(shape);
}

/// (codes - zero point) * scale of a constant.
Value realValues(NodeImporter &node, const Grid &grid) {
  ExpressionBuilder &build = node.build();
  int64_t rank = node.rank(0);
  Tensor scales = along(grid.scales, grid.axis, rank);
  bool zeros = grid.zeroPoints.bytes() != nullptr;
  if (elementCount(node.shape(0)) > kMostFoldedElements) {
    Value value = build.castTo(build.f32(), node.input(0));
    if (zeros)
      value = build.binary(sd::BinaryKind::sub, value,
                           build.constant(along(grid.zeroPoints, grid.axis, rank)));
    return build.binary(sd::BinaryKind::mul, value, build.constant(scales));
  }
  Tensor value = node.constantInput(0, "codes").converted(ElementType::F32);
  if (!node.ok())
    return {};
  if (zeros)
    value = binary(BinaryFunction::Sub, value, along(grid.zeroPoints, grid.axis, rank));
  value = binary(BinaryFunction::Mul, value, scales);
  return build.constant({.value = value}, /*isInitializer=*/true);
}

/// Codes of a constant that QuantizeLinear or DequantizeLinear are about.
void keepCodes(NodeImporter &node, Value value, ImposedFormat format) {
  format.exact = true;
  if (isSymmetricByte(format))
    node.impose(value, format);
  else if (format.bits < 32) // biases have more bits here
    node.leaveCodes(value);
}

} // namespace

void convertQuantizeLinear(NodeImporter &node) {
  std::optional<Grid> grid = gridOf(node);
  if (!grid || !node.requireFloat(0))
    return;
  ElementType codes = grid->zeroPoints.bytes() ? grid->zeroPoints.type() : ElementType::U8;
  if (int64_t type = node.integer("output_dtype", 0); type != 0 && !grid->zeroPoints.bytes()) {
    std::optional<ElementType> wanted = elementTypeOfOnnx(static_cast<int32_t>(type));
    if (!wanted || !isCodeType(*wanted))
      return node.unsupported(absl::StrCat("output_dtype ", type));
    codes = *wanted;
  }
  ImposedFormat format = formatOf(*grid, codes);
  if (node.build().isConstant(node.input(0)))
    keepCodes(node, node.input(0), format);
  else
    node.impose(node.input(0), format);
  node.defineCodes(format);
  node.define(0, node.input(0));
}

void convertDequantizeLinear(NodeImporter &node) {
  std::optional<Grid> grid = gridOf(node);
  if (!grid)
    return;
  if (const ImposedFormat *made = node.codes()) {
    // What was quantized is still there as real numbers.
    ImposedFormat read =
        formatOf(*grid, grid->zeroPoints.bytes() ? grid->zeroPoints.type() : ElementType::U8);
    if (made->scales != read.scales || made->zeroPoints != read.zeroPoints)
      return node.unsupported("codes that are read with another scale than they were made with");
    return node.define(0, node.input(0));
  }
  if (!node.build().isConstant(node.input(0)))
    return node.unsupported("codes that are computed, or an input of the model");
  const ElementType codes = evaluatedType(node.input(0).getType());
  if (!isCodeType(codes))
    return node.unsupported(absl::StrCat("codes of type ", name(codes)));
  Value value = realValues(node, *grid);
  node.define(0, value);
  keepCodes(node, value, formatOf(*grid, codes));
}

} // namespace sdopt
