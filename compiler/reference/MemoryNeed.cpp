//===- MemoryNeed.cpp - memory that an evaluation takes at least --------------===//

#include "compiler/reference/MemoryNeed.h"

#include "compiler/reference/Evaluator.h"

#include "llvm/ADT/DenseSet.h"

#include <algorithm>
#include <utility>

using namespace mlir;

namespace sdopt {

namespace {

int64_t bytesOf(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && type.hasStaticShape() ? type.getNumElements() * byteWidth(evaluatedType(type)) : 0;
}

/// What is alive while a function is evaluated operation by operation.
class Liveness {
public:
  explicit Liveness(func::FuncOp function) {
    for (Operation &op : function.getBody().getOps()) {
      bool constant = op.getNumResults() > 0 && llvm::all_of(op.getOperands(), [&](Value operand) {
                        return constants_.contains(operand);
                      });
      for (Value result : op.getResults())
        if (constant)
          constants_.insert(result);
      for (Value operand : op.getOperands())
        if (!constant)
          ++uses_[operand];
    }
    for (BlockArgument argument : function.getArguments())
      define(argument, bytesOf(argument));
  }

  /// Bytes at once during `op`, which must come in order.
  int64_t enter(Operation &op) {
    if (llvm::all_of(op.getResults(), [&](Value value) { return constants_.contains(value); }) &&
        op.getNumResults() > 0)
      return 0;
    int64_t weights = 0, freed = 0;
    llvm::DenseSet<Value> seen;
    for (Value operand : op.getOperands()) {
      if (constants_.contains(operand))
        weights += seen.insert(operand).second ? bytesOf(operand) : 0;
      else if (--uses_[operand] == 0)
        freed += std::exchange(bytes_[operand], 0);
    }
    // Another shape of the same bytes.
    bool isView = isa<sd::ReshapeOp>(op);
    int64_t before = live_;
    live_ -= freed;
    for (Value result : op.getResults())
      define(result, isView ? freed : bytesOf(result));
    return isView ? before : before + weights + resultBytes(op);
  }

private:
  void define(Value value, int64_t bytes) {
    if (uses_.lookup(value) == 0)
      return;
    bytes_[value] = bytes;
    live_ += bytes;
  }

  static int64_t resultBytes(Operation &op) {
    int64_t bytes = 0;
    for (Value result : op.getResults())
      bytes += bytesOf(result);
    return bytes;
  }

  llvm::DenseSet<Value> constants_;
  llvm::DenseMap<Value, unsigned> uses_;
  llvm::DenseMap<Value, int64_t> bytes_;
  int64_t live_ = 0;
};

} // namespace

int64_t leastEvaluationBytes(func::FuncOp function) {
  Liveness liveness(function);
  int64_t most = 0;
  for (Operation &op : function.getBody().getOps())
    most = std::max(most, liveness.enter(op));
  return most;
}

} // namespace sdopt
