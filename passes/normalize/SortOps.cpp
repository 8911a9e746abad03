//===- SortOps.cpp - an order that depends on the graph only -----------------===//

#include "passes/normalize/ConstantValues.h"
#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

#include "llvm/ADT/DenseSet.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_SORTOPS
#include "passes/normalize/Passes.h.inc"

namespace {

/// How deep an operation lies and what it computes, up to the names of weights.
struct Signature {
  int64_t depth = 0; ///< operations on the longest way from an input
  uint64_t digest = 0;

  bool operator<(const Signature &other) const {
    return std::tie(depth, digest) < std::tie(other.depth, other.digest);
  }
};

/// FNV-1a.
uint64_t digestOf(llvm::StringRef text) {
  uint64_t digest = 14695981039346656037u;
  for (char c : text)
    digest = (digest ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return digest;
}

class Signatures {
public:
  Signature of(Value value) const {
    if (auto argument = dyn_cast<BlockArgument>(value))
      return {0, digestOf("argument " + std::to_string(argument.getArgNumber()))};
    return known_.lookup(value.getDefiningOp());
  }

  void add(Operation *op) {
    Signature signature;
    std::string text;
    llvm::raw_string_ostream stream(text);
    stream << op->getName() << ' ' << op->getResultTypes();
    if (!isa<sd::WeightOp>(op))
      stream << ' ' << op->getAttrDictionary();
    for (Value operand : op->getOperands()) {
      Signature behind = of(operand);
      signature.depth = std::max(signature.depth, behind.depth);
      stream << ' ' << behind.digest;
    }
    bool isWeight = op->getNumResults() > 0 && isConstant(op->getResult(0));
    signature.depth += isWeight ? 0 : 1;
    signature.digest = digestOf(text);
    known_[op] = signature;
  }

private:
  llvm::DenseMap<Operation *, Signature> known_;
};

/// Deeper operand first, so that the branch just computed precedes the residual.
void orderSums(Block &block) {
  Signatures signatures;
  for (Operation &op : block.without_terminator()) {
    if (auto add = dyn_cast<sd::AddOp>(op)) {
      Value lhs = add.getLhs(), rhs = add.getRhs();
      if (lhs.getType() == rhs.getType() && signatures.of(lhs) < signatures.of(rhs)) {
        add.getLhsMutable().assign(rhs);
        add.getRhsMutable().assign(lhs);
      }
    }
    signatures.add(&op);
  }
}

/// Depth first from the results; each operation after its operands.
void sort(Block &block) {
  Operation *terminator = block.getTerminator();
  llvm::DenseSet<Operation *> placed;
  SmallVector<std::pair<Operation *, unsigned>> stack{{terminator, 0}};
  while (!stack.empty()) {
    auto &[op, next] = stack.back();
    if (next < op->getNumOperands()) {
      Operation *producer = op->getOperand(next++).getDefiningOp();
      if (producer && !placed.contains(producer))
        stack.push_back({producer, 0});
      continue;
    }
    if (op != terminator && placed.insert(op).second)
      op->moveBefore(terminator);
    stack.pop_back();
  }
}

struct SortOps : impl::SortOpsBase<SortOps> {
  void runOnOperation() override {
    if (getOperation().isExternal())
      return;
    eraseUnused(getOperation());
    orderSums(getOperation().getBody().front());
    sort(getOperation().getBody().front());
  }
};

} // namespace
} // namespace sdopt
