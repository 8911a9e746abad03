//===- SdFolds.cpp - operations that are another value -----------------------===//

#include "dialects/sd/Sd.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace sdopt::sd;

OpFoldResult ReshapeOp::fold(FoldAdaptor) {
  if (getInput().getType() == getType())
    return getInput();
  // Only the last of a chain of reshapes counts.
  if (auto producer = getInput().getDefiningOp<ReshapeOp>()) {
    getInputMutable().assign(producer.getInput());
    return getResult();
  }
  return {};
}

OpFoldResult TransposeOp::fold(FoldAdaptor) {
  if (llvm::equal(getPermutation(), llvm::seq<int64_t>(0, getPermutation().size())))
    return getInput();
  auto producer = getInput().getDefiningOp<TransposeOp>();
  if (!producer)
    return {};
  llvm::SmallVector<int64_t> composed;
  for (int64_t axis : getPermutation())
    composed.push_back(producer.getPermutation()[axis]);
  if (llvm::equal(composed, llvm::seq<int64_t>(0, composed.size())))
    return producer.getInput();
  getInputMutable().assign(producer.getInput());
  setPermutation(composed);
  return getResult();
}
