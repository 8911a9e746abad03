//===- NpuNetwork.cpp - between npu IR and the plain network -----------------===//

#include "passes/schedule/NpuNetwork.h"

#include "compiler/reference/Evaluator.h"
#include "compiler/schedule/ResidentTensors.h"

#include "llvm/ADT/TypeSwitch.h"

#include <set>

using namespace mlir;

namespace sdopt {

namespace {

class NetworkBuilder {
public:
  explicit NetworkBuilder(func::FuncOp function) : function_(function) {}

  FailureOr<NpuNetwork> run() {
    network().name = function_.getName().str();
    for (Operation &op : function_.getBody().front())
      if ((isa<npu::ConstantOp>(op) || !isConstantExpression(&op)) && failed(visit(&op)))
        return failure();
    makeNamesUnique();
    return std::move(result_);
  }

private:
  Network &network() { return result_.network; }

  /// Inputs and outputs keep their names; values that passes split off may repeat one.
  void makeNamesUnique() {
    std::set<std::string> used;
    for (const TensorInfo &tensor : network().tensors)
      if (tensor.role != TensorRole::Intermediate)
        used.insert(tensor.name);
    for (TensorInfo &tensor : network().tensors) {
      if (tensor.role != TensorRole::Intermediate)
        continue;
      std::string name = tensor.name;
      for (int64_t i = 2; !used.insert(name).second; ++i)
        name = tensor.name + "." + std::to_string(i);
      tensor.name = name;
    }
  }

  static std::array<int64_t, 4> dims4(RankedTensorType type) {
    std::array<int64_t, 4> dims = {1, 1, 1, 1};
    llvm::copy(type.getShape(), dims.begin());
    return dims;
  }

  TensorId addTensor(Value value, std::array<int64_t, 4> dims, std::string name) {
    TensorInfo info;
    info.name = std::move(name);
    info.dims = dims;
    info.type = evaluatedType(value.getType());
    if (isQuantized(value.getType())) {
      info.scale = static_cast<float>(codeScale(value.getType()));
      info.zeroPoint = codeFormat(value.getType()).zeroPoint;
    }
    network().tensors.push_back(std::move(info));
    TensorId id = static_cast<TensorId>(network().tensors.size()) - 1;
    tensors_[value] = id;
    return id;
  }

  TensorId tensor(Value value) { return tensors_.lookup(value); }

  ConstantId addConstant(Value value, ConstantKind kind) {
    // Weights are packed for the layer that reads them, so each layer has its own.
    if (kind != ConstantKind::Weights)
      for (size_t i = 0; i < result_.constants.size(); ++i)
        if (result_.constants[i] == value && network().constants[i].kind == kind)
          return static_cast<ConstantId>(i);
    auto type = cast<RankedTensorType>(value.getType());
    ConstantInfo info;
    info.name = sd::valueName(value);
    info.kind = kind;
    info.bytes = type.getNumElements() * byteWidth(evaluatedType(type));
    if (auto decode = value.getDefiningOp<sd::DecodeWeightOp>();
        decode && kind == ConstantKind::Weights)
      info.form = weightForm(decode);
    network().constants.push_back(std::move(info));
    result_.constants.push_back(value);
    return static_cast<ConstantId>(result_.constants.size()) - 1;
  }

  LogicalResult visit(Operation *op) {
    return TypeSwitch<Operation *, LogicalResult>(op)
        .Case<sd::QuantizeOp, sd::CastOp>([&](auto boundary) { return visitInput(boundary); })
        .Case<sd::DequantizeOp>([&](auto dequantize) { return visitOutput(dequantize); })
        .Case<npu::ViewOp>([&](npu::ViewOp view) { return visitView(view); })
        .Case<npu::ConcatOp>([&](npu::ConcatOp concat) { return visitConcat(concat); })
        .Case<func::ReturnOp>([](auto) { return success(); })
        .Default([&](Operation *layer) { return visitLayer(layer); });
  }

  template <typename Op> LogicalResult visitInput(Op op) {
    auto argument = dyn_cast<BlockArgument>(op.getInput());
    if (!argument)
      return op.emitOpError("must read a function argument");
    auto type = cast<RankedTensorType>(op.getType());
    // The dense bytes in at most four dimensions; views give the real ones.
    std::array<int64_t, 4> dims = type.getRank() <= 4 && type.getRank() > 0
                                      ? viewedDims(op.getResult())
                                      : std::array<int64_t, 4>{1, 1, 1, type.getNumElements()};
    TensorId id = addTensor(op.getResult(), dims, sd::valueName(argument));
    network().tensors[id].role = TensorRole::Input;
    network().tensors[id].logicalShape = Shape(type.getShape());
    return success();
  }

  /// The 4-D shape in which the function reads an input.
  static std::array<int64_t, 4> viewedDims(Value value) {
    for (Operation *user : value.getUsers())
      if (auto view = dyn_cast<npu::ViewOp>(user))
        return dims4(cast<RankedTensorType>(view.getType()));
    return dims4(cast<RankedTensorType>(value.getType()));
  }

  LogicalResult visitView(npu::ViewOp op) {
    TensorId source = tensor(op.getInput());
    auto type = cast<RankedTensorType>(op.getType());
    // Outputs are seen in their logical shape, of any rank: the bytes are what matters.
    if (type.getRank() != 4 || network().tensors[source].dims == dims4(type)) {
      tensors_[op.getResult()] = source;
      return success();
    }
    TensorId id = addTensor(op.getResult(), dims4(type),
                            sd::valueName(op.getInput()) + ".view" +
                                std::to_string(network().tensors.size()));
    TensorId root = network().tensors[source].aliasOf;
    network().tensors[id].aliasOf = root == kNone ? source : root;
    return success();
  }

  LogicalResult visitOutput(sd::DequantizeOp op) {
    TensorId id = tensor(op.getInput());
    if (TensorId root = network().tensors[id].aliasOf; root != kNone)
      id = root;
    TensorInfo &info = network().tensors[id];
    if (info.role != TensorRole::Intermediate)
      return op.emitOpError("returns '")
             << info.name << "', which is already an input or output of the function";
    info.role = TensorRole::Output;
    info.logicalShape = Shape(cast<RankedTensorType>(op.getType()).getShape());
    for (OpOperand &use : op.getResult().getUses())
      if (isa<func::ReturnOp>(use.getOwner()))
        if (auto name = function_.getResultAttrOfType<StringAttr>(use.getOperandNumber(),
                                                                  sd::SdDialect::kNameAttr))
          info.name = name.str();
    return success();
  }

  void addLayer(Operation *op, llvm::ArrayRef<Value> inputs, TensorId output, LayerSpec spec) {
    Layer layer;
    layer.name = sd::valueName(op->getResult(0));
    layer.onnxNodes = sd::onnxNodes(op);
    layer.phase = phaseOf(op);
    for (Value input : inputs)
      layer.inputs.push_back(tensor(input));
    layer.output = output;
    layer.spec = std::move(spec);
    network().layers.push_back(std::move(layer));
    result_.layerOps.push_back(op);
  }

  static Phase phaseOf(Operation *op) {
    auto text = op->getAttrOfType<StringAttr>(npu::NpuDialect::kPhaseAttr);
    for (Phase phase : {Phase::Prompt, Phase::Schedule})
      if (text && text.getValue() == name(phase))
        return phase;
    return Phase::Step;
  }

  LogicalResult visitConcat(npu::ConcatOp op) {
    TensorId output = addResult(op);
    int64_t channel = 0;
    for (auto [index, part] : llvm::enumerate(op.getParts())) {
      CombineLayer layer;
      layer.params.scaling = {op.getMultipliers()[index], 0, op.getShifts()[index]};
      layer.channelOffset = channel;
      addLayer(op, {part}, output, layer);
      channel += cast<RankedTensorType>(part.getType()).getDimSize(3);
    }
    return success();
  }

  TensorId addResult(Operation *op) {
    Value value = op->getResult(0);
    return addTensor(value, dims4(cast<RankedTensorType>(value.getType())), sd::valueName(value));
  }

  LogicalResult visitLayer(Operation *op) {
    return TypeSwitch<Operation *, LogicalResult>(op)
        .Case<npu::Conv2dOp>([&](npu::Conv2dOp conv) { return visitConv(conv); })
        .Case<npu::CombineOp>([&](npu::CombineOp combine) {
          CombineLayer layer;
          layer.params.scaling = {static_cast<int32_t>(combine.getLhsMultiplier()),
                                  static_cast<int32_t>(combine.getRhsMultiplier()),
                                  static_cast<int32_t>(combine.getShift())};
          layer.params.broadcastRows = combine.getBroadcastRows();
          SmallVector<Value> inputs = {combine.getLhs()};
          if (combine.getRhs())
            inputs.push_back(combine.getRhs());
          return add(op, inputs, layer);
        })
        .Case<npu::TableOp>([&](npu::TableOp table) {
          return add(op, {table.getInput()},
                     TableLayer{addConstant(table.getTable(), ConstantKind::Table)});
        })
        .Case<npu::GegluOp>([&](npu::GegluOp geglu) {
          GegluLayer layer;
          layer.params.scaling = {static_cast<int32_t>(geglu.getMultiplier()),
                                  static_cast<int32_t>(geglu.getShift())};
          layer.table = addConstant(geglu.getTable(), ConstantKind::Table);
          return add(op, {geglu.getInput()}, layer);
        })
        .Case<npu::NormOp>([&](npu::NormOp norm) {
          NormLayer layer;
          layer.params = {static_cast<int64_t>(norm.getCount()),
                          static_cast<uint64_t>(norm.getEpsilon()),
                          static_cast<int32_t>(norm.getShift()), !norm.getUncentered()};
          layer.groups = norm.getGroups();
          layer.perRow = norm.getPerRow();
          layer.channels = addConstant(norm.getChannels(), ConstantKind::NormChannels);
          return add(op, {norm.getInput()}, layer);
        })
        .Case<npu::AttentionOp>([&](npu::AttentionOp attention) {
          AttentionLayer layer;
          layer.params.exponent = {static_cast<int32_t>(attention.getExponentMultiplier()),
                                   static_cast<int32_t>(attention.getExponentShift())};
          layer.params.output = {static_cast<int32_t>(attention.getOutputMultiplier()),
                                 static_cast<int32_t>(attention.getOutputShift())};
          layer.params.causal = attention.getCausal();
          layer.heads = attention.getHeads();
          return add(op, {attention.getQuery(), attention.getKey(), attention.getValue()}, layer);
        })
        .Case<npu::ModulateOp>([&](npu::ModulateOp modulate) {
          ModulateLayer layer{{static_cast<int64_t>(modulate.getScaleMultiplier()),
                               static_cast<int64_t>(modulate.getUnit()),
                               static_cast<int64_t>(modulate.getOffsetsMultiplier()),
                               static_cast<int32_t>(modulate.getShift())}};
          return add(op, llvm::to_vector(modulate->getOperands()), layer);
        })
        .Case<npu::SliceOp>([&](npu::SliceOp slice) {
          SliceLayer layer;
          llvm::copy(slice.getStarts(), layer.starts.begin());
          return add(op, {slice.getInput()}, layer);
        })
        .Case<npu::ConstantOp>([&](npu::ConstantOp constant) {
          return add(op, {}, ConstantLayer{addConstant(constant.getCodes(), ConstantKind::Codes)});
        })
        .Case<npu::UpsampleOp>([&](npu::UpsampleOp upsample) {
          return add(op, {upsample.getInput()},
                     UpsampleLayer{upsample.getFactors()[0], upsample.getFactors()[1]});
        })
        .Case<npu::PermuteOp>([&](npu::PermuteOp permute) {
          PermuteLayer layer;
          for (auto [i, axis] : llvm::enumerate(permute.getPermutation()))
            layer.permutation[i] = static_cast<int32_t>(axis);
          return add(op, {permute.getInput()}, layer);
        })
        .Case<npu::EmbeddingOp>([&](npu::EmbeddingOp embedding) {
          EmbeddingLayer layer;
          layer.shift = static_cast<int32_t>(embedding.getShift());
          layer.vocabulary = cast<RankedTensorType>(embedding.getTokens().getType()).getDimSize(0);
          layer.tokens = addConstant(embedding.getTokens(), ConstantKind::Rows);
          layer.tokenMultipliers =
              addConstant(embedding.getTokenMultipliers(), ConstantKind::RowMultipliers);
          layer.positions = addConstant(embedding.getPositions(), ConstantKind::Rows);
          layer.positionMultipliers =
              addConstant(embedding.getPositionMultipliers(), ConstantKind::RowMultipliers);
          return add(op, {embedding.getIds()}, layer);
        })
        .Case<npu::TimeEmbeddingOp>([&](npu::TimeEmbeddingOp time) {
          TimeEmbeddingLayer layer;
          layer.params.halfDim = cast<RankedTensorType>(time.getSteps().getType()).getDimSize(0);
          layer.params.cosFirst = time.getCosFirst();
          layer.params.fractionBits = static_cast<int32_t>(time.getFractionBits());
          layer.steps = addConstant(time.getSteps(), ConstantKind::Table);
          layer.sine = addConstant(time.getSine(), ConstantKind::Table);
          return add(op, {time.getTimesteps()}, layer);
        })
        .Case<npu::PoolTokenOp>([&](npu::PoolTokenOp pool) {
          return add(op, {pool.getHidden(), pool.getIds()},
                     PoolTokenLayer{static_cast<int32_t>(pool.getToken())});
        })
        .Default([](Operation *other) { return other->emitOpError("is no layer of the NPU"); });
  }

  LogicalResult add(Operation *op, llvm::ArrayRef<Value> inputs, LayerSpec spec) {
    addLayer(op, inputs, addResult(op), std::move(spec));
    return success();
  }

  LogicalResult visitConv(npu::Conv2dOp op) {
    llvm::ArrayRef<int64_t> codes = cast<RankedTensorType>(op.getCodes().getType()).getShape();
    MatrixLayer layer;
    layer.kernelHeight = codes[1];
    layer.kernelWidth = codes[2];
    layer.strideH = op.getStrides()[0];
    layer.strideW = op.getStrides()[1];
    layer.dilationH = op.getDilations()[0];
    layer.dilationW = op.getDilations()[1];
    layer.padTop = op.getPadding()[0];
    layer.padLeft = op.getPadding()[1];
    layer.padBottom = op.getPadding()[2];
    layer.padRight = op.getPadding()[3];
    layer.weights = addConstant(op.getCodes(), ConstantKind::Weights);
    if (auto storage = op->getAttrOfType<npu::StorageAttr>(npu::NpuDialect::kStorageAttr)) {
      ConstantInfo &weights = network().constants[layer.weights];
      weights.form.zeros = static_cast<ZeroLayout>(storage.getZeros());
      weights.form.kept = storage.getKept();
      weights.form.run = storage.getRun();
      weights.form.lanes = storage.getLanes();
      weights.share = storage.getShare();
      weights.zeros = storage.getZeroWeights();
    }
    layer.params = addConstant(op.getParams(), ConstantKind::ChannelParams);
    if (sd::TapShiftsAttr shifts = op.getTapShiftsAttr()) {
      layer.winograd = WinogradForm::F4x4;
      layer.taps = shifts.getValue();
    } else if (op->hasAttr(npu::NpuDialect::kWinogradAttr)) {
      layer.winograd = WinogradForm::F2x2;
    }
    return add(op, {op.getInput()}, layer);
  }

  func::FuncOp function_;
  NpuNetwork result_;
  llvm::DenseMap<Value, TensorId> tensors_;
};

} // namespace

FailureOr<NpuNetwork> networkOf(func::FuncOp function) { return NetworkBuilder(function).run(); }

namespace {

npu::TilingAttr tilingAttr(MLIRContext *context, const Tiling &tiling) {
  return npu::TilingAttr::get(context, static_cast<npu::LoopOrderKind>(tiling.order), tiling.height,
                              tiling.width, tiling.outputChannels, tiling.inputChannels,
                              tiling.buffers);
}

/// Layers of one operation are neighbours; the index of the first.
bool isFirstLayer(const NpuNetwork &npu, size_t layer) {
  return layer == 0 || npu.layerOps[layer] != npu.layerOps[layer - 1];
}

} // namespace

void setPlan(const NpuNetwork &npu, const Plan &plan, func::FuncOp function) {
  MLIRContext *context = function.getContext();
  for (size_t i = 0; i < npu.layerOps.size(); ++i) {
    if (!isFirstLayer(npu, i))
      continue;
    SmallVector<Attribute> tilings;
    SmallVector<bool> joined;
    SmallVector<int64_t> resident;
    for (size_t j = i; j < npu.layerOps.size() && npu.layerOps[j] == npu.layerOps[i]; ++j) {
      tilings.push_back(tilingAttr(context, plan.layers[j].tiling));
      joined.push_back(plan.layers[j].joined);
      const SramPlace &place = plan.layers[j].resident;
      resident.append({place.offset, place.channels, place.readers});
    }
    npu.layerOps[i]->removeAttr(npu::NpuDialect::kResidentAttr);
    if (llvm::any_of(resident, [](int64_t value) { return value != 0; }))
      npu.layerOps[i]->setAttr(npu::NpuDialect::kResidentAttr,
                               DenseI64ArrayAttr::get(context, resident));
    npu.layerOps[i]->removeAttr(npu::NpuDialect::kJoinedAttr);
    if (llvm::is_contained(joined, true))
      npu.layerOps[i]->setAttr(npu::NpuDialect::kJoinedAttr,
                               DenseBoolArrayAttr::get(context, joined));
    npu.layerOps[i]->setAttr(npu::NpuDialect::kTilingAttr, ArrayAttr::get(context, tilings));
    TensorId output = npu.network.layers[i].output;
    npu.layerOps[i]->setAttr(
        npu::NpuDialect::kPlaceAttr,
        npu::PlaceAttr::get(context, plan.offsets[output], npu.network.tensors[output].bytes()));
  }
  SmallVector<int64_t> inputs;
  for (size_t i = 0; i < npu.network.tensors.size(); ++i)
    if (npu.network.tensors[i].role == TensorRole::Input)
      inputs.push_back(plan.offsets[i]);
  function->setAttr(npu::NpuDialect::kPlaceAttr, DenseI64ArrayAttr::get(context, inputs));
  Type i64 = IntegerType::get(context, 64);
  function->setAttr(npu::NpuDialect::kArenaAttr, IntegerAttr::get(i64, plan.arenaBytes));
  function->setAttr(npu::NpuDialect::kArenaBoundAttr, IntegerAttr::get(i64, plan.arenaLowerBound));
}

FailureOr<Plan> planOf(const NpuNetwork &npu, func::FuncOp function, const Target &target) {
  auto inputs = function->getAttrOfType<DenseI64ArrayAttr>(npu::NpuDialect::kPlaceAttr);
  auto arena = function->getAttrOfType<IntegerAttr>(npu::NpuDialect::kArenaAttr);
  auto bound = function->getAttrOfType<IntegerAttr>(npu::NpuDialect::kArenaBoundAttr);
  if (!inputs || !arena || !bound)
    return function.emitOpError("has no schedule; run sdopt-schedule first");
  Plan plan;
  plan.arenaBytes = arena.getInt();
  plan.arenaLowerBound = bound.getInt();
  plan.layers.resize(npu.network.layers.size());
  plan.offsets.assign(npu.network.tensors.size(), 0);
  size_t next = 0, part = 0;
  for (size_t i = 0; i < npu.network.tensors.size(); ++i)
    if (npu.network.tensors[i].role == TensorRole::Input) {
      if (next >= static_cast<size_t>(inputs.size()))
        return function.emitOpError("places ") << inputs.size() << " inputs but has more";
      plan.offsets[i] = inputs[next++];
    }
  for (size_t i = 0; i < npu.layerOps.size(); ++i) {
    Operation *op = npu.layerOps[i];
    part = isFirstLayer(npu, i) ? 0 : part + 1;
    auto tilings = op->getAttrOfType<ArrayAttr>(npu::NpuDialect::kTilingAttr);
    auto place = op->getAttrOfType<npu::PlaceAttr>(npu::NpuDialect::kPlaceAttr);
    auto tiling = tilings && part < tilings.size() ? dyn_cast<npu::TilingAttr>(tilings[part])
                                                   : npu::TilingAttr();
    if (!tiling || !place)
      return op->emitOpError("has no tiling or place; run sdopt-schedule first");
    plan.layers[i].tiling = {static_cast<LoopOrder>(tiling.getOrder()),
                             tiling.getHeight(),
                             tiling.getWidth(),
                             tiling.getOutputChannels(),
                             tiling.getInputChannels(),
                             tiling.getBuffers()};
    auto joined = op->getAttrOfType<DenseBoolArrayAttr>(npu::NpuDialect::kJoinedAttr);
    plan.layers[i].joined = joined && static_cast<int64_t>(part) < joined.size() && joined[part];
    auto resident = op->getAttrOfType<DenseI64ArrayAttr>(npu::NpuDialect::kResidentAttr);
    if (const size_t at = 3 * part; resident && at + 3 <= static_cast<size_t>(resident.size()))
      plan.layers[i].resident = {resident[at], resident[at + 1], resident[at + 2]};
    plan.offsets[npu.network.layers[i].output] = place.getOffset();
  }
  for (size_t i = 0; i < npu.network.tensors.size(); ++i)
    if (TensorId root = npu.network.tensors[i].aliasOf; root != kNone)
      plan.offsets[i] = plan.offsets[root];
  if (std::string wrong = joinProblem(npu.network, plan); !wrong.empty())
    return function.emitOpError(wrong);
  if (std::string wrong = ResidentTensors(npu.network, plan).problem(target.sram.bytes);
      !wrong.empty())
    return function.emitOpError(wrong);
  noteCosts(npu.network, plan, target);
  return plan;
}

} // namespace sdopt
