//===- Hoist.cpp - what need not run in every step ----------------------------===//

#include "compiler/reference/Evaluator.h"
#include "compiler/schedule/Network.h"
#include "passes/schedule/Passes.h"

#include "dialects/sd/BucketFunctions.h"

#include "mlir/IR/Remarks.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_HOIST
#include "passes/schedule/Passes.h.inc"

namespace {

// Input names of diffusers' denoisers (UNet2DConditionModel, SD3Transformer2DModel).
constexpr llvm::StringLiteral kTimestep = "timestep";
constexpr std::array<llvm::StringLiteral, 4> kPromptInputs = {
    "encoder_hidden_states", "pooled_projections", "text_embeds", "time_ids"};

/// Both together are known in a step only.
Phase joined(Phase a, Phase b) { return a == b ? a : Phase::Step; }

class Hoister {
public:
  explicit Hoister(func::FuncOp function) : function_(function) {}

  void run() {
    if (llvm::none_of(function_.getArguments(), isTimestep))
      return;
    Block &block = function_.getBody().front();
    SmallVector<SmallVector<Operation *>, 0> operations(kPhases + 1);
    for (Operation &op : block.without_terminator())
      operations[isConstantExpression(&op) && !isa<npu::ConstantOp>(op)
                     ? 0
                     : 1 + static_cast<size_t>(phaseOf(&op))]
          .push_back(&op);
    for (llvm::ArrayRef<Operation *> group : operations)
      for (Operation *op : group)
        op->moveBefore(block.getTerminator());
  }

private:
  static bool isTimestep(BlockArgument argument) { return sd::valueName(argument) == kTimestep; }

  static Phase phaseOf(BlockArgument argument) {
    if (isTimestep(argument))
      return Phase::Schedule;
    return llvm::is_contained(kPromptInputs, sd::valueName(argument)) ? Phase::Prompt : Phase::Step;
  }

  Phase phaseOf(Operation *op) {
    std::optional<Phase> phase;
    for (Value operand : op->getOperands()) {
      auto argument = dyn_cast<BlockArgument>(operand);
      if (!argument && isConstantExpression(operand.getDefiningOp()) &&
          !operand.getDefiningOp<npu::ConstantOp>())
        continue;
      Phase own = argument ? phaseOf(argument) : phases_.lookup(operand.getDefiningOp());
      phase = phase ? joined(*phase, own) : own;
    }
    // Codes that never change are brought into the arena once.
    Phase result = isa<sd::DequantizeOp>(op) ? Phase::Step : phase.value_or(Phase::Prompt);
    phases_[op] = result;
    if (result != Phase::Step && isa<npu::NpuDialect>(op->getDialect()))
      mark(op, result);
    return result;
  }

  void mark(Operation *op, Phase phase) {
    op->setAttr(npu::NpuDialect::kPhaseAttr, StringAttr::get(op->getContext(), name(phase)));
    if (sd::isLaterBucket(function_))
      return;
    mlir::remark::passed(op->getLoc(), mlir::remark::RemarkOpts::name("hoist").category("schedule"))
        << (phase == Phase::Prompt ? "runs once per prompt" : "runs once per timestep");
  }

  func::FuncOp function_;
  llvm::DenseMap<Operation *, Phase> phases_;
};

struct HoistPass : impl::HoistBase<HoistPass> {
  void runOnOperation() override { Hoister(getOperation()).run(); }
};

} // namespace
} // namespace sdopt
