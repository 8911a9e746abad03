//===- NpuOps.cpp - the npu dialect -----------------------------------------===//

#include "dialects/npu/Npu.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace sdopt::npu;

#include "dialects/npu/NpuDialect.cpp.inc"
#include "dialects/npu/NpuEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/npu/NpuAttrs.cpp.inc"

#define GET_OP_CLASSES
#include "dialects/npu/NpuOps.cpp.inc"

void NpuDialect::initialize() {
  registerAttrs();
  registerOps();
}

void NpuDialect::registerAttrs() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/npu/NpuAttrs.cpp.inc"
      >();
}

void NpuDialect::registerOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/npu/NpuOps.cpp.inc"
      >();
}

LogicalResult ViewOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  if (input.getNumElements() != result.getNumElements() ||
      input.getElementType() != result.getElementType())
    return emitOpError("input and result must have as many elements of one type");
  return success();
}

LogicalResult Conv2dOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  auto codes = cast<RankedTensorType>(getCodes().getType());
  auto params = cast<RankedTensorType>(getParams().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  if (input.getRank() != 4 || codes.getRank() != 4 || result.getRank() != 4 ||
      !codes.getElementType().isInteger(8))
    return emitOpError("needs values of rank 4 and i8 codes [co, kh, kw, ci]");
  if (codes.getDimSize(3) != input.getDimSize(3) || codes.getDimSize(0) != result.getDimSize(3))
    return emitOpError("codes have ") << codes.getDimSize(3) << " input and " << codes.getDimSize(0)
                                      << " output channels but the values " << input.getDimSize(3)
                                      << " and " << result.getDimSize(3);
  if (params.getShape() != ArrayRef<int64_t>({codes.getDimSize(0), 2}))
    return emitOpError("params must be [") << codes.getDimSize(0) << ", 2]";
  if (getStrides().size() != 2 || getDilations().size() != 2 || getPadding().size() != 4)
    return emitOpError("needs 2 strides, 2 dilations and 4 paddings");
  if (!getTapShifts())
    return success();
  const std::string problem =
      sd::tapProblem(codes.getShape().slice(1, 2), getStrides(), getDilations(), /*groups=*/1);
  return problem.empty() ? success() : emitOpError() << problem;
}

LogicalResult SliceOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  if (input.getRank() != 4 || result.getRank() != 4 || getStarts().size() != 4)
    return emitOpError("needs values of rank 4 and 4 starts");
  for (auto [whole, part, start] : llvm::zip(input.getShape(), result.getShape(), getStarts()))
    if (start < 0 || start + part > whole)
      return emitOpError("takes ") << part << " from " << start << " on of " << whole;
  return success();
}
