#include "tests/package/SampleModule.h"

#include "compiler/package/CommandFields.h"

#include <cstring>

namespace sdopt::test {
namespace {

Command command(Queue queue, CommandArgs args, std::array<uint16_t, kQueues> waits,
                std::array<uint16_t, kQueues> signals) {
  return {queue, 0, waits, signals, std::move(args)};
}

DmaShape run(int64_t bytes) {
  DmaShape shape;
  shape.runBytes = bytes;
  return shape;
}

/// Fills every field with a small value that is allowed wherever one field alone decides.
struct Filler {
  std::mt19937 &random;

  int64_t number(const std::string &name) {
    if (name.find("shift") != std::string::npos)
      return 25 + static_cast<int64_t>(random() % 38);
    return 1 + static_cast<int64_t>(random() % 1000);
  }
  template <typename Wire, typename Value> void field(const char *name, Value &value) {
    value = static_cast<Value>(number(name));
  }
  template <typename Wire, typename... Values> void list(const char *name, Values &...values) {
    ((values = static_cast<Values>(number(name))), ...);
  }
  template <typename Wire, typename Values> void numbers(const char *name, Values &values) {
    for (auto &value : values)
      field<Wire>(name, value);
  }
  void format(const char *, CodeFormat &format) {
    format.type = random() % 2 ? ElementType::I8 : ElementType::I16;
    format.zeroPoint =
        format.type == ElementType::I8 ? static_cast<int32_t>(random() % 256) - 128 : 0;
  }
  void flag(const char *, bool &value) { value = random() % 2; }
  void region(const char *, Region &value) { value = static_cast<Region>(random() % 2); }
  void form(const char *, WeightForm &) {}
};

} // namespace

ModuleInfo sampleModule(const std::string &name) {
  ModuleInfo module;
  const CodeFormat format = {ElementType::I16, 0};
  TensorInfo x, y;
  x = {.name = "sample",
       .dims = {1, 8, 6, 4},
       .role = TensorRole::Input,
       .scale = 0.01f,
       .logicalShape = {1, 4, 8, 6}};
  y = {.name = "conv_in",
       .dims = {1, 8, 6, 4},
       .role = TensorRole::Output,
       .scale = 0.02f,
       .logicalShape = {1, 4, 8, 6}};
  Layer layer;
  layer.name = "conv_in";
  layer.onnxNodes = {"/conv_in/Conv"};
  layer.inputs = {0};
  layer.output = 1;
  layer.spec = MatrixLayer{.kernelHeight = 3,
                           .kernelWidth = 3,
                           .padTop = 1,
                           .padLeft = 1,
                           .padBottom = 1,
                           .padRight = 1,
                           .weights = 0,
                           .params = 1};
  module.network = {name,
                    {x, y},
                    {{"conv_in.weight", ConstantKind::Weights, 144},
                     {"conv_in.params", ConstantKind::ChannelParams, 64}},
                    {layer}};
  module.plan.layers = {{{LoopOrder::InputResident, 8, 6, 4, 4, 1}, {592, 384, 2560, 976, 10, 20}}};
  module.plan.offsets = {0, 384};
  module.plan.arenaBytes = module.plan.arenaLowerBound = 768;
  module.constantOffsets = {0, 192};

  ConvCommand conv;
  conv.tile = {.inputHeight = 8,
               .inputWidth = 6,
               .inputChannels = 4,
               .outputHeight = 8,
               .outputWidth = 6,
               .outputChannels = 4,
               .kernelHeight = 3,
               .kernelWidth = 3,
               .padTop = 1,
               .padLeft = 1};
  conv.inputFormat = format;
  conv.input = 0;
  conv.weights = 384;
  conv.accumulator = 640;
  module.program = {
      {command(Queue::DmaIn, DmaLoad{Region::Arena, 0, 0, run(384)}, {}, {0, 1, 0, 0}),
       command(Queue::DmaIn, DmaLoad{Region::Constants, 0, 384, run(144)}, {}, {0, 1, 0, 0}),
       command(Queue::DmaIn, DmaLoad{Region::Constants, 192, 576, run(64)}, {}, {0, 0, 1, 0}),
       command(Queue::Array, conv, {2, 0, 0, 0}, {0, 0, 1, 0}),
       command(Queue::Vector, RequantizeCommand{640, 576, 2176, 48, 4, format}, {1, 1, 0, 0},
               {0, 0, 0, 1}),
       command(Queue::DmaOut, DmaStore{384, 2176, run(384)}, {0, 0, 1, 0}, {})},
      768,
      256,
      2560};
  return module;
}

std::vector<std::byte> sampleConstant(const ModuleInfo &module, ConstantId id) {
  std::vector<std::byte> bytes(static_cast<size_t>(module.network.constants[id].bytes));
  std::mt19937 random(7 + static_cast<unsigned>(id));
  if (module.network.constants[id].kind == ConstantKind::Weights) {
    for (std::byte &byte : bytes)
      byte = static_cast<std::byte>(random() & 255);
    return bytes;
  }
  for (size_t c = 0; c < bytes.size() / sizeof(ChannelParams); ++c) {
    const ChannelParams params = {static_cast<int64_t>(random() % 2001) - 1000,
                                  (1 << 30) + static_cast<int32_t>(random() % 1000000), 38};
    std::memcpy(bytes.data() + c * sizeof(params), &params, sizeof(params));
  }
  return bytes;
}

std::vector<std::byte> sampleConstants(const ModuleInfo &module) {
  std::vector<std::byte> all(static_cast<size_t>(module.program.constantsBytes));
  for (size_t i = 0; i < module.constantOffsets.size(); ++i) {
    const std::vector<std::byte> bytes = sampleConstant(module, static_cast<ConstantId>(i));
    std::copy(bytes.begin(), bytes.end(), all.begin() + module.constantOffsets[i]);
  }
  return all;
}

Provenance sampleProvenance() {
  return {.version = "0.1.0",
          .recipe = "weights: 8\n",
          .target = "name: edge-tiny\n",
          .targetDigest = std::string(62, 'a') + "01",
          .inputDigests = {{"unet/model.onnx", std::string(64, 'b')},
                           {"text_encoder/model.onnx", std::string(64, 'c')}},
          .statisticsDigest = std::string(64, 'd')};
}

absl::Status writeSamplePackage(const std::string &path) {
  absl::StatusOr<std::unique_ptr<PackageWriter>> writer = PackageWriter::create(path);
  if (!writer.ok())
    return writer.status();
  for (const char *name : {"first", "second"}) {
    const ModuleInfo module = sampleModule(name);
    absl::Status status =
        (*writer)->addModule(module, [&](ConstantId id) { return sampleConstant(module, id); });
    if (!status.ok())
      return status;
  }
  for (const Asset &asset :
       {Asset{"tokenizer/vocab.json", "{\"a\": 0}"}, Asset{"scheduler/empty", ""}})
    if (absl::Status status = (*writer)->addAsset(asset); !status.ok())
      return status;
  return (*writer)->finish(sampleProvenance());
}

CommandArgs randomArgs(size_t index, std::mt19937 &random) {
  CommandArgs args;
  for (int opcode = 0; opcode < 256; ++opcode)
    if (std::optional<CommandArgs> found = argsOf(static_cast<uint8_t>(opcode));
        found && found->index() == index)
      args = *found;
  Filler filler{random};
  visitFields(filler, args);
  // Fields that depend on each other.
  if (auto *c = std::get_if<ConvCommand>(&args); c) {
    c->winograd = static_cast<WinogradForm>(random() % 3);
    c->taps = {};
    if (c->winograd == WinogradForm::F4x4)
      for (auto *shifts : {&c->taps.codes, &c->taps.weights})
        for (uint8_t &shift : *shifts)
          shift = static_cast<uint8_t>(random() % (kMostTapShift + 1));
  }
  if (auto *c = std::get_if<ConvCommand>(&args); c && c->winograd != WinogradForm::None) {
    c->tile.kernelHeight = c->tile.kernelWidth = 3;
    c->tile.strideH = c->tile.strideW = c->tile.dilationH = c->tile.dilationW = 1;
    c->tile.inputChannels = 1 + c->tile.inputChannels % 3640;
  }
  if (auto *c = std::get_if<CombineCommand>(&args))
    c->b = random() % 2 ? -1 : c->b;
  if (auto *c = std::get_if<NormSumsCommand>(&args))
    c->channels = c->channelsPerGroup * 3;
  if (auto *c = std::get_if<NormApplyCommand>(&args))
    c->channels = c->channelsPerGroup;
  if (auto *c = std::get_if<AttentionMaximaCommand>(&args))
    c->tile.queryStride = c->tile.keyStride = c->tile.headDim + 3;
  if (auto *c = std::get_if<AttentionAccumulateCommand>(&args))
    c->tile.queryStride = c->tile.keyStride = c->tile.headDim;
  if (auto *c = std::get_if<AttentionFinishCommand>(&args))
    c->outputStride = c->headDim + 1;
  if (auto *c = std::get_if<TimeEmbeddingCommand>(&args))
    c->inputs = random() % 2 ? 1 : c->batch;
  if (auto *c = std::get_if<TimeEmbeddingCommand>(&args))
    c->params.fractionBits %= 31;
  if (auto *c = std::get_if<DmaWeights>(&args)) {
    const auto below = [&](int64_t n) { return static_cast<int64_t>(random()) % n; };
    c->form = {};
    do {
      c->form.coding = static_cast<WeightCoding>(random() % 3);
      c->form.zeros = static_cast<ZeroLayout>(random() % 4);
      c->form.lanes = random() % 2 ? 0 : 1 + below(kMostLanes);
    } while (c->form.isPlainInt8());
    if (c->form.zeros == ZeroLayout::Structured) {
      c->form.run = 2 + below(15);
      c->form.kept = 1 + below(c->form.run - 1);
    }
    if (c->form.coding == WeightCoding::Grouped) {
      c->form.bits = 2 + below(7);
      c->form.groupSize = random() % 2 ? 0 : 16 + below(241);
      c->form.symmetric = random() % 2 == 0;
      c->form.sharedTaps = random() % 2 == 0;
    } else if (c->form.coding == WeightCoding::Palette) {
      c->form.bits = 1 + below(8);
      c->form.paletteOutputs = below(1000);
    }
    c->block =
        blockAt(c->form, below(5000), below(5000), 1 + below(300), 1 + below(9), 1 + below(300));
    c->bytes = storedBytes(c->form, c->block);
    if (c->form.varies())
      c->bytes = 1 + below(c->bytes);
  }
  if (auto *c = std::get_if<ModulateCommand>(&args)) {
    c->shift = random() % 2 ? -1 : c->shift;
    c->params.shift = 1 + static_cast<int32_t>(random() % 61);
  }
  return args;
}

Command randomCommand(std::mt19937 &random) {
  Command command;
  command.args = randomArgs(random() % std::variant_size_v<CommandArgs>, random);
  command.queue = queueOf(command.args);
  command.layer = static_cast<int32_t>(random() % 100000);
  for (int q = 0; q < kQueues; ++q) {
    command.waits[q] = static_cast<uint16_t>(random() % 3 ? 0 : random());
    command.signals[q] = static_cast<uint16_t>(random() % 3 ? 0 : random());
  }
  return command;
}

} // namespace sdopt::test
