//===- Codebooks.cpp - shared weights that leave and come back ----------------===//

#include "passes/quantize/Codebooks.h"

#include "compiler/reference/Evaluator.h"
#include "compiler/weights/TensorFile.h"
#include "dialects/sd/Resources.h"
#include "passes/quantize/LayerSettings.h"

#include <algorithm>
#include <set>

using namespace mlir;

namespace sdopt {

namespace {

/// The model's own numbers, but for zeros and their layout.
bool areOwn(Value weights) {
  Operation *op = weights.getDefiningOp();
  if (!op || isa<sd::WeightOp, sd::ConstantOp>(op))
    return op;
  return isa<sd::TransposeOp, sd::ReshapeOp, sd::CastOp, sd::PruneWeightOp>(op) &&
         areOwn(op->getOperand(0));
}

/// A row of entries for each output channel.
Tensor expanded(const Tensor &palettes, int64_t outputs, int64_t outputsOfPalette) {
  const int64_t entries = palettes.dim(1);
  Tensor rows(ElementType::I8, {outputs, entries});
  for (int64_t o = 0; o < outputs; ++o)
    std::copy_n(palettes.values<int8_t>().data() +
                    (outputsOfPalette > 0 ? o / outputsOfPalette : 0) * entries,
                entries, rows.mutableValues<int8_t>().data() + o * entries);
  return rows;
}

} // namespace

bool hasImposedCodebook(Operation *layer) {
  const TensorFile *file = sd::resources(layer->getContext()).codebooks;
  return file && file->contains(exchangeName(layer) + kCodebookSuffix);
}

std::map<std::string, std::string> codebookNames(func::FuncOp function) {
  std::map<std::string, std::string> names;
  std::set<std::string> taken;
  for (Operation &op : function.getBody().front())
    if (isa<sd::Conv2dOp, sd::LinearOp>(op) && op.getOperand(1).hasOneUse() &&
        areOwn(op.getOperand(1)))
      if (std::string name = exchangeName(&op); taken.insert(name).second)
        names[sd::valueName(op.getResult(0))] = std::move(name);
  return names;
}

FailureOr<Codebooks> codebooksOf(func::FuncOp function,
                                 const std::map<std::string, std::string> &names) {
  Codebooks result;
  const EvaluationContext &context = sd::resources(function.getContext()).evaluation;
  for (Operation &op : function.getBody().front()) {
    auto decode = isa<sd::Conv2dOp, sd::LinearOp>(op)
                      ? op.getOperand(1).getDefiningOp<sd::DecodeWeightOp>()
                      : sd::DecodeWeightOp();
    if (!decode || !decode.getPalettes())
      continue;
    auto found = names.find(sd::valueName(op.getResult(0)));
    if (found == names.end()) {
      ++result.unnamed;
      continue;
    }
    Value scaleOperand = isa<sd::Conv2dOp>(op) ? cast<sd::Conv2dOp>(op).getWeightScales()
                                               : cast<sd::LinearOp>(op).getWeightScales();
    FailureOr<Tensor> codes = evaluateConstant(decode.getCodes(), context);
    FailureOr<Tensor> palettes = evaluateConstant(decode.getPalettes(), context);
    FailureOr<Tensor> scales = evaluateConstant(scaleOperand, context);
    if (failed(codes) || failed(palettes) || failed(scales))
      return failure();
    Tensor indices(ElementType::U8, codes->shape());
    std::copy_n(codes->bytes(), codes->byteSize(), indices.mutableBytes());
    const auto add = [&](const char *suffix, Tensor tensor) {
      result.tensors.emplace_back(found->second + suffix, std::move(tensor));
    };
    add(kCodebookSuffix,
        expanded(*palettes, codes->dim(0), static_cast<int64_t>(decode.getPaletteOutputs())));
    add(kScaleSuffix, *scales);
    add(kIndicesSuffix, std::move(indices));
  }
  return result;
}

} // namespace sdopt
