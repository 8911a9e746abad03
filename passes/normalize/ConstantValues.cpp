//===- ConstantValues.cpp - numbers that passes may look at ------------------===//

#include "passes/normalize/ConstantValues.h"

#include "compiler/weights/WeightStore.h"
#include "passes/normalize/StridedView.h"

#include <algorithm>
#include <cmath>

using namespace mlir;

namespace sdopt {

namespace {

constexpr unsigned kDeepest = 16;

bool isConstantAt(Value value, unsigned depth) {
  Operation *op = value.getDefiningOp();
  if (!op || depth > kDeepest)
    return false;
  if (isa<sd::WeightOp, sd::ConstantOp>(op))
    return true;
  if (op->getNumOperands() == 0 || op->getName().getDialectNamespace() != "sd")
    return false;
  return llvm::all_of(op->getOperands(),
                      [&](Value operand) { return isConstantAt(operand, depth + 1); });
}

using Numbers = std::vector<double>;

std::optional<Numbers> numbersOf(sd::ConstantOp op) {
  auto elements = dyn_cast<DenseElementsAttr>(op.getValue());
  if (!elements)
    return std::nullopt;
  Numbers numbers;
  numbers.reserve(elements.getNumElements());
  if (isa<FloatType>(elements.getElementType())) {
    for (APFloat value : elements.getValues<APFloat>()) {
      bool losesInfo = false;
      value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &losesInfo);
      numbers.push_back(value.convertToDouble());
    }
  } else if (auto integer = dyn_cast<IntegerType>(elements.getElementType())) {
    bool isSigned = integer.getWidth() > 1 && !integer.isUnsigned();
    for (APInt value : elements.getValues<APInt>())
      numbers.push_back(isSigned ? static_cast<double>(value.getSExtValue())
                                 : static_cast<double>(value.getZExtValue()));
  } else {
    return std::nullopt;
  }
  return numbers;
}

std::optional<Numbers> numbersOf(sd::WeightOp op) {
  const WeightStore *store = sd::resources(op.getContext()).evaluation.weights;
  if (!store)
    return std::nullopt;
  absl::StatusOr<Tensor> tensor = store->get(op.getKey().str());
  if (!tensor.ok() || !llvm::equal(tensor->shape(), op.getType().getShape()))
    return std::nullopt;
  Tensor doubles = tensor->converted(ElementType::F64);
  auto values = doubles.values<double>();
  return Numbers(values.begin(), values.end());
}

/// Elements of a strided view over `source`.
Numbers gathered(const Numbers &source, const StridedView &view) {
  SmallVector<Run> runs = view.runs();
  int64_t count = 1;
  for (Run run : runs)
    count *= run.count;
  Numbers result;
  result.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, offset = 0;
    for (Run run : llvm::reverse(runs)) {
      offset += rest % run.count * run.stride;
      rest /= run.count;
    }
    result.push_back(source[offset]);
  }
  return result;
}

/// The view of a tensor of shape `from` broadcast to `to`.
StridedView broadcastView(ArrayRef<int64_t> from, ArrayRef<int64_t> to) {
  SmallVector<int64_t> strides(to.size(), 0);
  int64_t stride = 1;
  for (size_t i = 0; i < from.size(); ++i) {
    int64_t dim = from[from.size() - 1 - i];
    if (dim != 1)
      strides[to.size() - 1 - i] = stride;
    stride *= dim;
  }
  return StridedView::strided(to, strides);
}

} // namespace

bool isConstant(Value value) { return isConstantAt(value, 0); }

std::optional<std::vector<double>> constantValues(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op)
    return std::nullopt;
  if (auto constant = dyn_cast<sd::ConstantOp>(op))
    return numbersOf(constant);
  if (auto weight = dyn_cast<sd::WeightOp>(op))
    return numbersOf(weight);
  if (!isa<sd::ReshapeOp, sd::CastOp, sd::ExpandOp, sd::TransposeOp>(op))
    return std::nullopt;
  std::optional<Numbers> source = constantValues(op->getOperand(0));
  if (!source || isa<sd::ReshapeOp>(op))
    return source;
  if (isa<sd::CastOp>(op)) {
    // Truncation matters only where a number is not whole or a type is narrow: leave those.
    bool toFloat = isa<Float32Type, Float64Type>(getElementTypeOrSelf(value));
    bool whole = llvm::all_of(
        *source, [](double x) { return x == std::trunc(x) && std::abs(x) < 2147483648.0; });
    return toFloat || (whole && !value.getType().isInteger(1)) ? source : std::nullopt;
  }
  ArrayRef<int64_t> from = shapeOf(op->getOperand(0)), to = shapeOf(value);
  if (auto transpose = dyn_cast<sd::TransposeOp>(op))
    return gathered(*source, StridedView::rowMajor(from).transposed(transpose.getPermutation()));
  return gathered(*source, broadcastView(from, to));
}

std::optional<double> uniformValue(Value value) {
  if (auto constant = value.getDefiningOp<sd::ConstantOp>(); !constant && !isConstant(value))
    return std::nullopt;
  std::optional<Numbers> numbers = constantValues(value);
  if (!numbers || numbers->empty() ||
      !llvm::all_of(*numbers, [&](double number) { return number == numbers->front(); }))
    return std::nullopt;
  return numbers->front();
}

bool isNear(double value, double expected) {
  return std::abs(value - expected) <= std::abs(expected) * 0x1p-11;
}

} // namespace sdopt
