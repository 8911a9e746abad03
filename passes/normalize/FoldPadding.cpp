//===- FoldPadding.cpp - zero borders into convolutions ----------------------===//

#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_FOLDPADDING
#include "passes/normalize/Passes.h.inc"

namespace {

/// Why the padding cannot move into the convolution; empty if it can.
llvm::StringRef obstacle(sd::PadOp pad, sd::Conv2dOp conv) {
  unsigned h = conv.getLayout() == sd::Layout::nhwc ? 1 : 2;
  if (pad.getValue().convertToDouble() != 0)
    return "the border is not zero";
  for (unsigned axis = 0; axis < 4; ++axis) {
    bool isPixelAxis = axis == h || axis == h + 1;
    if (pad.getBefore()[axis] < 0 || pad.getAfter()[axis] < 0)
      return "the padding crops";
    if (!isPixelAxis && (pad.getBefore()[axis] != 0 || pad.getAfter()[axis] != 0))
      return "the padding is not on height and width only";
  }
  return {};
}

void fold(sd::PadOp pad, sd::Conv2dOp conv) {
  unsigned h = conv.getLayout() == sd::Layout::nhwc ? 1 : 2;
  SmallVector<int64_t> padding(conv.getPadding());
  for (unsigned i = 0; i < 2; ++i) {
    padding[i] += pad.getBefore()[h + i];
    padding[i + 2] += pad.getAfter()[h + i];
  }
  conv->setLoc(sd::fuseLocs(conv, {pad}));
  conv.setPadding(padding);
  conv.getInputMutable().assign(pad.getInput());
}

struct FoldPadding : impl::FoldPaddingBase<FoldPadding> {
  void runOnOperation() override {
    for (auto conv : collect<sd::Conv2dOp>(getOperation())) {
      auto pad = conv.getInput().getDefiningOp<sd::PadOp>();
      if (!pad)
        continue;
      if (llvm::StringRef reason = obstacle(pad, conv); !reason.empty())
        remarkMissed(pad, "fold-padding", reason);
      else
        fold(pad, conv);
    }
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
