//===- CheckNormalized.cpp - what the NPU cannot run -------------------------===//

#include "passes/normalize/ConstantValues.h"
#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_CHECKNORMALIZED
#include "passes/normalize/Passes.h.inc"

namespace {

/// Nodes listed for each kind before the list is cut.
constexpr size_t kMostNodes = 8;

/// The NPU's padding is less than the kernel's reach.
bool paddingFits(sd::Conv2dOp conv) {
  ArrayRef<int64_t> kernel =
      cast<RankedTensorType>(conv.getWeights().getType()).getShape().take_back(2);
  for (int i = 0; i < 4; ++i)
    if (conv.getPadding()[i] > (kernel[i % 2] - 1) * conv.getDilations()[i % 2])
      return false;
  return true;
}

bool isNamed(Operation *op) {
  if (auto conv = dyn_cast<sd::Conv2dOp>(op))
    return conv.getGroups() == 1 && paddingFits(conv);
  if (auto slice = dyn_cast<sd::SliceOp>(op))
    return isa<FloatType>(getElementTypeOrSelf(slice.getResult())) &&
           cast<RankedTensorType>(slice.getType()).getRank() <= 4 &&
           llvm::all_of(slice.getSteps(), [](int64_t step) { return step == 1; });
  return isa<sd::LinearOp, sd::GroupNormOp, sd::LayerNormOp, sd::AttentionOp, sd::SiluOp,
             sd::GeluOp, sd::QuickGeluOp, sd::SigmoidOp, sd::GegluOp, sd::AddOp, sd::ConcatOp,
             sd::UpsampleOp, sd::TimeEmbeddingOp, sd::EmbeddingOp, sd::PoolTokenOp, sd::TransposeOp,
             sd::ReshapeOp, sd::ModulateOp, sd::RmsNormOp, sd::GeluTanhOp>(op);
}

/// "sd.unary tanh", "sd.softmax", "sd.conv2d of 8 groups".
std::string kindOf(Operation *op) {
  std::string kind = op->getName().getStringRef().str();
  if (auto unary = dyn_cast<sd::UnaryOp>(op))
    kind += " " + sd::stringifyUnaryKind(unary.getFunction()).str();
  else if (auto binary = dyn_cast<sd::BinaryOp>(op))
    kind += " " + sd::stringifyBinaryKind(binary.getFunction()).str();
  else if (auto reduce = dyn_cast<sd::ReduceOp>(op))
    kind += " " + sd::stringifyReductionKind(reduce.getFunction()).str();
  else if (auto conv = dyn_cast<sd::Conv2dOp>(op))
    kind += conv.getGroups() != 1 ? " of " + std::to_string(conv.getGroups()) + " groups"
                                  : " with padding beyond its kernel's reach";
  return kind;
}

/// "'/a' and '/b'"-like list of the ONNX nodes (or values) of some operations.
std::string placesOf(llvm::ArrayRef<Operation *> ops) {
  std::string places;
  for (Operation *op : ops.take_front(kMostNodes)) {
    std::vector<std::string> nodes = sd::onnxNodes(op);
    std::string place = !nodes.empty()            ? nodes.back()
                        : op->getNumResults() > 0 ? sd::valueName(op->getResult(0))
                                                  : std::string();
    places += (places.empty() ? "'" : ", '") + place + "'";
  }
  if (ops.size() > kMostNodes)
    places += " and " + std::to_string(ops.size() - kMostNodes) + " more";
  return places;
}

struct CheckNormalized : impl::CheckNormalizedBase<CheckNormalized> {
  void runOnOperation() override {
    llvm::MapVector<StringRef, SmallVector<Operation *>> kinds;
    llvm::StringSet<> names;
    size_t count = 0;
    for (Operation &op : getOperation().getOps()) {
      if (isNamed(&op) || isa<func::ReturnOp>(op) ||
          (op.getNumResults() > 0 && isConstant(op.getResult(0))))
        continue;
      kinds[names.insert(kindOf(&op)).first->getKey()].push_back(&op);
      ++count;
    }
    if (count == 0)
      return;
    std::string list;
    for (auto &[kind, ops] : kinds)
      list += (list.empty() ? "" : "; ") + kind.str() + " x " + std::to_string(ops.size()) +
              " at " + placesOf(ops);
    getOperation().emitOpError()
        << "the NPU cannot run " << count
        << (count == 1 ? " operation that is" : " operations that are")
        << " left after normalization: " << list
        << ". It runs conv2d (of one group, padded by less than its kernel's reach), linear, "
           "group_norm, layer_norm, rms_norm, attention, silu, gelu, "
           "gelu_tanh, quick_gelu, sigmoid, geglu, add, modulate, concat, slice (by steps of one), "
           "upsample, time_embedding, embedding, pool_token, transpose and reshape; a missed "
           "remark (--report) says why an idiom was not recognized";
    signalPassFailure();
  }
};

} // namespace
} // namespace sdopt
