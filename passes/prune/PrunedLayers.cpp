//===- PrunedLayers.cpp - which layers are pruned, and how -------------------===//

#include "passes/prune/PrunedLayers.h"

#include "compiler/recipe/NamePattern.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/weights/TensorFile.h"
#include "passes/quantize/CodeRoots.h"
#include "passes/quantize/LayerSettings.h"
#include "passes/quantize/Passes.h"

#include <algorithm>
#include <set>

using namespace mlir;

namespace sdopt {

namespace {

ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

bool isMatrixLayer(Operation *op) {
  return isa<sd::Conv2dOp, sd::LinearOp>(op) && !isConstantExpression(op) &&
         isa<FloatType>(getElementTypeOrSelf(op->getOperand(1)));
}

/// One row for each picture or prompt.
bool isVector(Value value) {
  ArrayRef<int64_t> shape = shapeOf(value);
  return shape.size() >= 2 &&
         llvm::all_of(shape.drop_front().drop_back(), [](int64_t dim) { return dim == 1; });
}

/// Why layers keep all their weights unless they are named.
class Exclusions {
public:
  explicit Exclusions(func::FuncOp function) {
    for (Operation &op : function.getBody().front())
      if (isa<sd::TimeEmbeddingOp>(op) ||
          llvm::any_of(op.getOperands(), [&](Value v) { return timePath_.contains(v); }))
        for (Value result : op.getResults())
          if (isa<RankedTensorType>(result.getType()) && isVector(result))
            timePath_.insert(result);
  }

  std::string reason(Operation *layer) const {
    if (timePath_.contains(layer->getOperand(0)))
      return "it is of the time path";
    if (isa<sd::Conv2dOp>(layer) && isa<BlockArgument>(codeRoot(layer->getOperand(0))))
      return "it is the first convolution";
    if (reachesResult(layer->getResult(0)))
      return "it is the last layer";
    if (isShortcut(layer))
      return "it is a shortcut";
    return "";
  }

private:
  static bool reachesResult(Value value) {
    return llvm::any_of(value.getUsers(), [](Operation *user) {
      return isa<func::ReturnOp>(user) || (keepsCode(user) && reachesResult(user->getResult(0)));
    });
  }

  /// A product pixel by pixel beside a normalized path, both added up.
  static bool isShortcut(Operation *layer) {
    ArrayRef<int64_t> weights = shapeOf(layer->getOperand(1));
    const bool single = weights.size() == 2 || (weights[2] == 1 && weights[3] == 1);
    return single &&
           llvm::any_of(layer->getResult(0).getUsers(),
                        [](Operation *user) { return isa<sd::AddOp>(user); }) &&
           llvm::any_of(layer->getOperand(0).getUsers(),
                        [](Operation *user) { return isa<sd::GroupNormOp>(user); });
  }

  llvm::DenseSet<Value> timePath_;
};

LogicalResult checkSettings(const PrunedLayer &layer) {
  const LayerRecipe &recipe = layer.recipe;
  const int64_t inputs = shapeOf(layer.op->getOperand(1))[1];
  const Sparsity &sparsity = recipe.sparsity;
  if (!layer.mask.empty())
    return success();
  if (sparsity.hasPattern() && inputs < sparsity.group)
    return layer.op->emitOpError()
           << "has " << inputs << (inputs == 1 ? " input channel" : " input channels")
           << ", fewer than the " << sparsity.group << " of 'sparsity: " << name(sparsity)
           << "'; give it another sparsity, or 'prune: none'";
  const bool wide = recipe.pruneScope != PruneScope::Usual && recipe.pruneScope != PruneScope::Row;
  if (sparsity.hasPattern() && wide)
    return layer.op->emitOpError()
           << "cannot have 'prune_scope: " << name(recipe.pruneScope)
           << "' with 'sparsity: " << name(sparsity) << "', which holds in each output channel";
  if (recipe.pruneScope == PruneScope::Global && recipe.pruning != Pruning::Magnitude)
    return layer.op->emitOpError()
           << "cannot have 'prune_scope: global' with 'prune: " << name(recipe.pruning)
           << "', whose scores mean nothing beside another layer's";
  if (recipe.pruneScope == PruneScope::Threshold && recipe.pruning != Pruning::Wanda)
    return layer.op->emitOpError()
           << "cannot have 'prune_scope: threshold', which is Wanda's search, with 'prune: "
           << name(recipe.pruning) << "'";
  return success();
}

} // namespace

PruneUpdate PrunedLayer::update() const {
  if (recipe.pruneUpdate != PruneUpdate::Usual)
    return recipe.pruneUpdate;
  return recipe.pruning == Pruning::SparseGPT ? PruneUpdate::Sweep : PruneUpdate::None;
}

bool PrunedLayer::needsMoments() const {
  return update() != PruneUpdate::None || (mask.empty() && recipe.pruning == Pruning::SparseGPT);
}

bool PrunedLayer::needsPower() const { return mask.empty() && recipe.pruning == Pruning::Wanda; }

bool PrunedLayer::needsDensePower() const {
  return needsPower() && recipe.pruneNorms == PruneNorms::Dense;
}

std::string blockOf(const std::vector<std::string> &names) {
  for (const std::string &name : names) {
    std::vector<std::string> parts(1);
    for (char c : name)
      if (c == '/' || c == '.')
        parts.emplace_back();
      else
        parts.back() += c;
    size_t end = 0;
    for (size_t i = 1; i < parts.size(); ++i)
      if (!parts[i].empty() && parts[i - 1].ends_with('s') &&
          std::ranges::all_of(parts[i], [](char c) { return c >= '0' && c <= '9'; }))
        end = i + 1;
    std::string block;
    for (size_t i = 0; i < end; ++i)
      block += (block.empty() ? "" : ".") + parts[i];
    if (!block.empty())
      return block;
  }
  return "";
}

FailureOr<PruningPlan> planPruning(func::FuncOp function, Recipe &recipe, const TensorFile *masks) {
  PruningPlan plan;
  Exclusions exclusions(function);
  std::set<std::string> left;
  if (masks)
    for (const std::string &name : masks->names())
      left.insert(name);
  for (Operation &op : function.getBody().front()) {
    if (!isMatrixLayer(&op))
      continue;
    PrunedLayer layer{.op = &op, .recipe = layerSettings(recipe, function, &op)};
    if (std::string name = exchangeName(&op); left.erase(name) > 0)
      layer.mask = name;
    if (layer.mask.empty() && layer.recipe.pruning == Pruning::None)
      continue;
    if (auto conv = dyn_cast<sd::Conv2dOp>(op);
        conv && (conv.getGroups() != 1 || conv.getLayout() != sd::Layout::nhwc))
      return conv.emitOpError("needs nhwc layout and one group to be pruned");
    const std::vector<std::string> names = layerNames(&op);
    std::string reason;
    if (!op.getOperand(1).hasOneUse())
      reason = "other layers read its weights too";
    else if (layer.mask.empty() && !recipe.setsPruningByName(names))
      reason = exclusions.reason(&op);
    if (!reason.empty()) {
      plan.dense.push_back({&op, reason});
      continue;
    }
    if (failed(checkSettings(layer)))
      return failure();
    layer.block = blockOf(names);
    plan.layers.push_back(std::move(layer));
  }
  if (!left.empty())
    return function.emitOpError() << "has no layer for mask '" << *left.begin() << "'"
                                  << (left.size() > 1
                                          ? " and " + std::to_string(left.size() - 1) + " others"
                                          : std::string());
  return plan;
}

} // namespace sdopt
