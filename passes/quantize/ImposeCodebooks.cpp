//===- ImposeCodebooks.cpp - shared weights that were decided elsewhere -------===//

#include "compiler/quantization/SharedWeights.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/share/Palette.h"
#include "compiler/weights/TensorFile.h"
#include "passes/quantize/Codebooks.h"
#include "passes/quantize/ImposedCodes.h"
#include "passes/quantize/LayerSettings.h"
#include "passes/quantize/LayerStatistics.h"
#include "passes/quantize/Passes.h"
#include "passes/quantize/RoundedCodes.h"
#include "passes/quantize/StoredTensors.h"

#include "dialects/sd/Resources.h"
#include "mlir/IR/Remarks.h"

#include <bit>
#include <cmath>
#include <numeric>
#include <set>

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_IMPOSECODEBOOKS
#include "passes/quantize/Passes.h.inc"

namespace {

/// What belongs to one layer.
struct Codebook {
  Tensor entries, scales, indices; ///< no indices: without bytes
};

class Imposer {
public:
  Imposer(func::FuncOp function, const Resources &resources)
      : function_(function), resources_(resources), file_(*resources.codebooks) {}

  LogicalResult run() {
    std::set<std::string> left;
    for (std::string &name : file_.names())
      left.insert(std::move(name));
    for (Operation &op : function_.getBody().front()) {
      if (!isa<sd::Conv2dOp, sd::LinearOp>(op) || isConstantExpression(&op) ||
          !hasImposedCodebook(&op))
        continue;
      const std::string name = exchangeName(&op);
      if (failed(impose(&op, name)))
        return failure();
      for (const char *suffix : {kCodebookSuffix, kScaleSuffix, kIndicesSuffix})
        left.erase(name + suffix);
    }
    if (left.empty())
      return success();
    return function_.emitOpError()
           << "has no layer with a codebook for '" << *left.begin() << "'"
           << (left.size() > 1 ? " and " + std::to_string(left.size() - 1) + " others"
                               : std::string());
  }

private:
  LogicalResult impose(Operation *op, const std::string &name) {
    Value weights = op->getOperand(1);
    if (!weights.hasOneUse())
      return op->emitOpError("shares its weights with other layers: they can't have codebook '")
             << name << "'";
    if (hasImposedScales(weights))
      return op->emitOpError("has scales from elsewhere beside codebook '") << name << "'";
    Codebook book;
    if (failed(read(op, name, book)))
      return failure();
    const WeightForm form = formOf(book.entries);
    QuantizedWeights shared;
    FailureOr<Tensor> values = evaluateConstant(weights, resources_.evaluation);
    if (failed(values))
      return failure();
    if (int64_t at = firstNonFiniteWeight(*values); at >= 0)
      return op->emitOpError() << "weight element " << at << " is not finite";
    const Tensor palettes = palettesOf(book.entries, form);
    if (book.indices.bytes()) {
      shared = {.codes = Tensor(ElementType::I8, values->shape())};
      std::copy_n(book.indices.bytes(), book.indices.byteSize(), shared.codes.mutableBytes());
    } else {
      shared = shareWeights(
          *values, form,
          {.withZero = isPruned(weights), .knownScales = &book.scales, .knownPalettes = &palettes});
    }
    const Tensor decoded = decodeSharedWeights(form, shared.codes, palettes);
    if (isPruned(weights))
      for (int64_t i = 0; i < decoded.size(); ++i)
        if (values->values<float>()[i] == 0 && decoded.values<int8_t>()[i] != 0)
          return op->emitOpError("has a zero at weight element ")
                 << i << " for which codebook '" << name
                 << "' has another value; prune as it was trained, or not at all";
    FailureOr<Tensor> correction = correctionOf(op, *values, decoded, book.scales);
    if (failed(correction))
      return failure();
    return keep(op, form, {shared.codes, book.scales, Tensor(), Tensor(), palettes, *correction});
  }

  /// What a file has of a layer, checked.
  LogicalResult read(Operation *op, const std::string &name, Codebook &book) {
    const auto type = cast<RankedTensorType>(op->getOperand(1).getType());
    const int64_t outputs = type.getDimSize(0);
    const auto tensor = [&](const char *suffix) { return file_.get(name + suffix); };
    const auto refuse = [&](const char *suffix) {
      return op->emitOpError("has tensor '") << name << suffix << "' ";
    };
    absl::StatusOr<Tensor> entries = tensor(kCodebookSuffix), scales = tensor(kScaleSuffix);
    if (!entries.ok() || !scales.ok())
      return op->emitOpError(
          std::string((entries.ok() ? scales.status() : entries.status()).message()));
    const Shape shape = entries->shape();
    const bool fits = entries->type() == ElementType::I8 && shape.size() == 2 &&
                      shape[0] == outputs && shape[1] >= 2 && shape[1] <= 128 &&
                      std::has_single_bit(static_cast<uint64_t>(shape[1]));
    if (!fits)
      return refuse(kCodebookSuffix)
             << "of " << sdopt::name(entries->type()) << " " << toString(shape)
             << ", needs i8 with " << outputs << " rows of 2, 4, ... 128 entries";
    if (llvm::is_contained(entries->values<int8_t>(), int8_t(-128)))
      return refuse(kCodebookSuffix) << "with an entry of -128; they are -127 to 127";
    if (scales->shape() != Shape{outputs} || !isReal(scales->type()))
      return refuse(kScaleSuffix) << "of " << sdopt::name(scales->type()) << " "
                                  << toString(scales->shape()) << ", needs " << outputs
                                  << " real numbers";
    book.entries = *std::move(entries);
    book.scales = scales->converted(ElementType::F32);
    for (float scale : book.scales.values<float>())
      if (!std::isnormal(scale) || scale < 0)
        return refuse(kScaleSuffix) << "with a scale that is no positive number";
    if (!file_.contains(name + kIndicesSuffix)) {
      sortRows(book.entries);
      return success();
    }
    absl::StatusOr<Tensor> indices = tensor(kIndicesSuffix);
    if (!indices.ok())
      return op->emitOpError(std::string(indices.status().message()));
    if (indices->type() != ElementType::U8 || indices->shape() != type.getShape().vec())
      return refuse(kIndicesSuffix)
             << "of " << sdopt::name(indices->type()) << " " << toString(indices->shape())
             << ", needs u8 " << toString(type.getShape().vec());
    for (uint8_t index : indices->values<uint8_t>())
      if (index >= shape[1])
        return refuse(kIndicesSuffix)
               << "with index " << static_cast<int>(index) << " of " << shape[1] << " entries";
    book.indices = *std::move(indices);
    return success();
  }

  static bool isReal(ElementType type) {
    return llvm::is_contained(
        {ElementType::F32, ElementType::F16, ElementType::BF16, ElementType::F64}, type);
  }

  /// In the order in which codes of nearest entries are found.
  static void sortRows(Tensor &entries) {
    Tensor sorted(ElementType::I8, entries.shape());
    std::ranges::copy(entries.values<int8_t>(), sorted.mutableValues<int8_t>().begin());
    const int64_t width = entries.dim(1);
    for (int64_t o = 0; o < entries.dim(0); ++o)
      std::ranges::sort(sorted.mutableValues<int8_t>().subspan(o * width, width));
    entries = std::move(sorted);
  }

  /// Neighbouring channels with the same entries share a palette; all palettes but the last one
  /// have as many channels.
  static WeightForm formOf(const Tensor &entries) {
    const int64_t outputs = entries.dim(0), width = entries.dim(1);
    int64_t shared = 0;
    const int8_t *row = entries.values<int8_t>().data();
    for (int64_t o = 1; o < outputs; ++o)
      if (!std::equal(row + o * width, row + (o + 1) * width, row + (o - 1) * width))
        shared = std::gcd(shared, o);
    return {.coding = WeightCoding::Palette,
            .bits = std::countr_zero(static_cast<uint64_t>(width)),
            .paletteOutputs = static_cast<int>(shared)};
  }

  static Tensor palettesOf(const Tensor &entries, const WeightForm &form) {
    const int64_t width = entries.dim(1), palettes = form.palettes(entries.dim(0));
    Tensor result(ElementType::I8, {palettes, width});
    for (int64_t p = 0; p < palettes; ++p)
      std::copy_n(entries.values<int8_t>().data() + p * form.paletteOutputs * width, width,
                  result.mutableValues<int8_t>().data() + p * width);
    return result;
  }

  /// What the bias lacks, if the recipe corrects it and the statistics know what the layer reads.
  FailureOr<Tensor> correctionOf(Operation *op, const Tensor &weights, const Tensor &decoded,
                                 const Tensor &scales) {
    if (!layerSettings(*resources_.recipe, function_, op).biasCorrection)
      return Tensor();
    FailureOr<std::vector<float>> means = channelMeans(op, *resources_.statistics);
    if (failed(means) || means->empty())
      return failed(means) ? FailureOr<Tensor>() : Tensor();
    const int64_t outputs = weights.dim(0), row = weights.size() / outputs;
    const std::vector<double> each =
        weightMeans(Tensor::of<float>({static_cast<int64_t>(means->size())}, *means), row);
    Tensor correction(ElementType::F32, {outputs});
    for (int64_t o = 0; o < outputs; ++o)
      correction.mutableValues<float>()[o] = weightCorrection(
          weights.values<float>().subspan(o * row, row),
          decoded.values<int8_t>().subspan(o * row, row), each, scales.values<float>()[o]);
    return correction;
  }

  LogicalResult keep(Operation *op, const WeightForm &form, const QuantizedWeights &shared) {
    Builder builder(op->getContext());
    SmallVector<NamedAttribute> keys = {
        builder.getNamedAttr(kFormBits, builder.getI64IntegerAttr(form.bits)),
        builder.getNamedAttr(kFormOutputs, builder.getI64IntegerAttr(form.paletteOutputs))};
    for (auto [what, tensor] : {std::pair(kCodes, &shared.codes),
                                {kScales, &shared.scales},
                                {kPalettes, &shared.palettes},
                                {kCorrection, &shared.correction}}) {
      if (!tensor->bytes())
        continue;
      FailureOr<std::string> key =
          storedTensor(op->getLoc(), sd::valueName(op->getResult(0)) + "." + what, *tensor);
      if (failed(key))
        return failure();
      keys.push_back(builder.getNamedAttr(what, builder.getStringAttr(*key)));
    }
    op->setAttr(kRoundedAttribute, builder.getDictionaryAttr(keys));
    remark::passed(op->getLoc(), remark::RemarkOpts::name("codebook").category("round"))
        << (name(form) + std::string(" from the file of codebooks"));
    return success();
  }

  func::FuncOp function_;
  const Resources &resources_;
  const TensorFile &file_;
};

struct ImposeCodebooksPass : impl::ImposeCodebooksBase<ImposeCodebooksPass> {
  void runOnOperation() override {
    const Resources &resources = sd::resources(&getContext());
    if (!resources.codebooks)
      return;
    func::FuncOp function = getOperation();
    if (failed(checkStatistics(function)) || failed(Imposer(function, resources).run()))
      return signalPassFailure();
    function->setAttr(kCalibratedAttribute,
                      StringAttr::get(&getContext(), resources.statistics->functionDigest()));
  }
};

} // namespace
} // namespace sdopt
