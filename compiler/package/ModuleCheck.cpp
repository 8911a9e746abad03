// checkModule: what must hold between the parts of a module before anything is derived from them.

#include "absl/strings/str_cat.h"
#include "compiler/package/Manifest.h"
#include "compiler/package/SaturatingArithmetic.h"
#include "compiler/schedule/ResidentTensors.h"
#include "compiler/schedule/WinogradLayers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

namespace sdopt {
namespace {

constexpr int64_t kMaxDim = int64_t{1} << 31;
constexpr int64_t kMaxMemory = int64_t{1} << 44; ///< 16 TiB: larger than any target's DRAM
constexpr int64_t kMaxSram = int64_t{1} << 31;
constexpr int64_t kMaxStream = kMaxSram; ///< of weights: no more than they are in SRAM

/// Empty, or what is wrong.
using Problem = std::string;

Problem tensorProblem(const ModuleInfo &module, size_t id) {
  const std::vector<TensorInfo> &tensors = module.network.tensors;
  const TensorInfo &tensor = tensors[id];
  if (tensor.type != ElementType::I8 && tensor.type != ElementType::I16 &&
      tensor.type != ElementType::I32)
    return absl::StrCat("has element type ", name(tensor.type), "; needs i8, i16 or i32");
  for (int64_t dim : tensor.dims)
    if (dim < 1 || dim > kMaxDim)
      return absl::StrCat("has dimension ", dim, "; needs 1..", kMaxDim);
  for (int64_t dim : tensor.logicalShape)
    if (dim < 1 || dim > kMaxDim)
      return absl::StrCat("has logical dimension ", dim, "; needs 1..", kMaxDim);
  const auto &d = tensor.dims;
  const int64_t bytes = saturatingProduct({d[0], d[1], d[2], d[3], byteWidth(tensor.type)});
  const int64_t offset = module.plan.offsets[id];
  if (offset == kNowhere && tensor.role != TensorRole::Intermediate)
    return "is never in DRAM, where the host looks for it";
  if (offset != kNowhere && !liesWithin(offset, bytes, module.program.arenaBytes))
    return absl::StrCat("is ", bytes, " bytes at ", offset, ", outside the arena of ",
                        module.program.arenaBytes);
  if (offset != kNowhere && offset % byteWidth(tensor.type) != 0)
    return absl::StrCat("at offset ", offset, " is not aligned to its elements");
  if (!std::isfinite(tensor.scale) || tensor.scale <= 0)
    return absl::StrCat("has scale ", tensor.scale, "; needs a positive number");
  if (tensor.type != ElementType::I32 &&
      (tensor.zeroPoint < tensor.format().min() || tensor.zeroPoint > tensor.format().max()))
    return absl::StrCat("has zero point ", tensor.zeroPoint, ", outside its codes");
  if (tensor.aliasOf == kNone)
    return "";
  if (tensor.aliasOf < 0 || static_cast<size_t>(tensor.aliasOf) >= tensors.size())
    return absl::StrCat("is an alias of tensor ", tensor.aliasOf, " of ", tensors.size());
  const TensorInfo &owner = tensors[tensor.aliasOf];
  if (static_cast<size_t>(tensor.aliasOf) == id || offset != module.plan.offsets[tensor.aliasOf])
    return absl::StrCat("is an alias of '", owner.name, "' but lies elsewhere");
  const auto &o = owner.dims;
  if (saturatingProduct({o[0], o[1], o[2], o[3], byteWidth(owner.type)}) != bytes)
    return absl::StrCat("is an alias of '", owner.name, "' but has another size");
  return "";
}

struct SpecCheck {
  const Network &network;
  size_t inputs;
  size_t minInputs = 1, maxInputs = 1;
  Problem problem;

  void constant(const char *name, ConstantId id, ConstantKind kind) {
    if (!problem.empty())
      return;
    if (id < 0 || static_cast<size_t>(id) >= network.constants.size())
      problem = absl::StrCat("names constant ", id, " of ", network.constants.size(), " as ", name);
    else if (network.constants[id].kind != kind)
      problem = absl::StrCat("takes constant '", network.constants[id].name,
                             "' of another kind as ", name);
  }
  void atLeast(const char *name, int64_t value, int64_t least) {
    if (problem.empty() && (value < least || value > kMaxDim))
      problem = absl::StrCat("has ", name, " ", value, "; needs ", least, "..", kMaxDim);
  }

  void operator()(const MatrixLayer &s) {
    constant("weights", s.weights, ConstantKind::Weights);
    constant("params", s.params, ConstantKind::ChannelParams);
    for (int64_t value :
         {s.kernelHeight, s.kernelWidth, s.strideH, s.strideW, s.dilationH, s.dilationW})
      atLeast("kernel, stride or dilation", value, 1);
    for (int64_t value : {s.padTop, s.padLeft, s.padBottom, s.padRight})
      atLeast("padding", value, 0);
  }
  void operator()(const CombineLayer &s) {
    maxInputs = 2;
    atLeast("channel offset", s.channelOffset, 0);
  }
  void operator()(const TableLayer &s) { constant("table", s.table, ConstantKind::Table); }
  void operator()(const GegluLayer &s) { constant("table", s.table, ConstantKind::Table); }
  void operator()(const NormLayer &s) {
    constant("channels", s.channels, ConstantKind::NormChannels);
    atLeast("groups", s.groups, 1);
    atLeast("count", s.params.count, 1);
  }
  void operator()(const AttentionLayer &s) {
    minInputs = maxInputs = 3;
    atLeast("heads", s.heads, 1);
  }
  void operator()(const UpsampleLayer &s) {
    atLeast("factor", s.factorH, 1);
    atLeast("factor", s.factorW, 1);
  }
  void operator()(const PermuteLayer &s) {
    const std::set<int32_t> axes(s.permutation.begin(), s.permutation.end());
    if (axes != std::set<int32_t>{0, 1, 2, 3})
      problem = "permutes by what is no permutation of 0, 1, 2, 3";
  }
  void operator()(const EmbeddingLayer &s) {
    constant("tokens", s.tokens, ConstantKind::Rows);
    constant("token multipliers", s.tokenMultipliers, ConstantKind::RowMultipliers);
    constant("positions", s.positions, ConstantKind::Rows);
    constant("position multipliers", s.positionMultipliers, ConstantKind::RowMultipliers);
    atLeast("vocabulary", s.vocabulary, 1);
  }
  void operator()(const TimeEmbeddingLayer &s) {
    constant("steps", s.steps, ConstantKind::Table);
    constant("sine", s.sine, ConstantKind::Table);
    atLeast("half dimension", s.params.halfDim, 1);
  }
  void operator()(const PoolTokenLayer &) { minInputs = maxInputs = 2; }
  void operator()(const ModulateLayer &) {
    minInputs = 2;
    maxInputs = 3;
  }
  void operator()(const SliceLayer &s) {
    for (int64_t start : s.starts)
      atLeast("start", start, 0);
  }
  void operator()(const ConstantLayer &s) {
    minInputs = maxInputs = 0;
    constant("codes", s.codes, ConstantKind::Codes);
  }
};

Problem layerProblem(const ModuleInfo &module, size_t index) {
  const Network &network = module.network;
  const Layer &layer = network.layers[index];
  SpecCheck check{network, layer.inputs.size(), 1, 1, ""};
  std::visit(check, layer.spec);
  if (!check.problem.empty())
    return check.problem;
  if (check.inputs < check.minInputs || check.inputs > check.maxInputs)
    return absl::StrCat("has ", check.inputs, " inputs; needs ", check.minInputs, "..",
                        check.maxInputs);
  std::vector<TensorId> ids = layer.inputs;
  ids.push_back(layer.output);
  for (TensorId id : ids)
    if (id < 0 || static_cast<size_t>(id) >= network.tensors.size())
      return absl::StrCat("names tensor ", id, " of ", network.tensors.size());
  const Tiling &tiling = module.plan.layers[index].tiling;
  for (int64_t value :
       {tiling.height, tiling.width, tiling.outputChannels, tiling.inputChannels, tiling.buffers})
    if (value < 1 || value > kMaxDim)
      return absl::StrCat("has tile size ", value, "; needs 1..", kMaxDim);
  return "";
}

/// Streams whose bytes depend on the weights are listed, block by block.
Problem streamsProblem(const ConstantInfo &weights, int64_t blocks) {
  const auto listed = static_cast<int64_t>(weights.blockBytes.size());
  const int64_t needed = weights.form.varies() ? blocks : 0;
  if (listed != needed)
    return absl::StrCat("takes constant '", weights.name, "' with sizes of ", listed,
                        " streams; needs ", needed);
  for (int64_t bytes : weights.blockBytes)
    if (bytes < 1 || bytes > kMaxStream)
      return absl::StrCat("takes constant '", weights.name, "' with a stream of ", bytes,
                          " bytes; needs 1..", kMaxStream);
  return "";
}

/// The codes of a Weights constant must be those of its layer, before packedBytes() cuts them into
/// blocks.
Problem weightsProblem(const ModuleInfo &module, size_t index) {
  const Network &network = module.network;
  const Layer &layer = network.layers[index];
  const auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
  if (!matrix)
    return "";
  const ConstantInfo &weights = network.constants[matrix->weights];
  if (const std::string problem = formProblem(weights.form); !problem.empty())
    return absl::StrCat("takes constant '", weights.name, "', whose ", problem);
  const int64_t outputs = network.tensors[layer.output].dims[3];
  const int64_t inputs = network.tensors[layer.inputs[0]].dims[3];
  if (std::string problem = winogradProblem(matrix->winograd, *matrix, weights, inputs);
      !problem.empty())
    return problem;
  for (const auto &shifts : {matrix->taps.codes, matrix->taps.weights})
    for (int64_t shift : shifts)
      if (shift > kMostTapShift)
        return absl::StrCat("has a shift of ", shift, "; needs 0..", kMostTapShift);
  const int64_t bytes =
      saturatingProduct({outputs, matrix->kernelHeight, matrix->kernelWidth, inputs});
  if (weights.bytes != bytes)
    return absl::StrCat("takes constant '", weights.name, "' of ", weights.bytes, " bytes; needs ",
                        bytes);
  // Blocks are padded to 16 bytes, so more of them than this cannot be in the section.
  const Tiling &tiling = module.plan.layers[index].tiling;
  const int64_t blocks = saturatingProduct(
      {(outputs - 1) / tiling.outputChannels + 1, (inputs - 1) / tiling.inputChannels + 1});
  if (blocks > module.program.constantsBytes / 16 + 1)
    return absl::StrCat("cuts constant '", weights.name, "' into ", blocks,
                        " blocks, more than the constants can hold");
  return streamsProblem(weights, blocks);
}

Problem constantsProblem(const ModuleInfo &module) {
  const Network &network = module.network;
  int64_t end = 0;
  for (size_t i = 0; i < network.constants.size(); ++i) {
    const ConstantInfo &constant = network.constants[i];
    const std::string place = absl::StrCat("constant '", constant.name, "' ");
    if ((!constant.form.isPlainInt8() || !constant.blockBytes.empty()) &&
        constant.kind != ConstantKind::Weights)
      return place + "has a form but is no weights";
    // Codes of 1 bit are stored in an eighth of the bytes, codes that are all the same in next to
    // none.
    const int64_t most = constant.form.varies() ? kMaxMemory
                                                : module.program.constantsBytes *
                                                      (constant.form.isPlainInt8() ? 1 : 8);
    if (constant.bytes < 0 || constant.bytes > most)
      return absl::StrCat(place, "is ", constant.bytes, " bytes; the constants are ",
                          module.program.constantsBytes);
    const int64_t bytes = packedBytes(network, module.plan, static_cast<ConstantId>(i));
    const int64_t offset = module.constantOffsets[i];
    if (offset < end)
      return absl::StrCat(place, "at ", offset, " overlaps the constant before it, which ends at ",
                          end);
    if (!liesWithin(offset, bytes, module.program.constantsBytes))
      return absl::StrCat(place, "is ", bytes, " bytes at ", offset, ", outside the constants of ",
                          module.program.constantsBytes);
    end = offset + bytes;
  }
  return "";
}

Problem sizesProblem(const ModuleInfo &module) {
  const Network &network = module.network;
  if (network.name.empty())
    return "has no name";
  if (module.plan.offsets.size() != network.tensors.size() ||
      module.plan.layers.size() != network.layers.size() ||
      module.constantOffsets.size() != network.constants.size())
    return "has a plan for another number of tensors, layers or constants";
  const Program &program = module.program;
  for (int64_t bytes : {program.arenaBytes, program.constantsBytes, module.plan.arenaBytes})
    if (bytes < 0 || bytes > kMaxMemory)
      return absl::StrCat("asks for ", bytes, " bytes of dram");
  if (program.sramBytes < 0 || program.sramBytes > kMaxSram)
    return absl::StrCat("asks for ", program.sramBytes, " bytes of sram");
  return "";
}

Problem moduleProblem(const ModuleInfo &module) {
  if (Problem problem = sizesProblem(module); !problem.empty())
    return problem;
  std::set<std::string> names;
  const Network &network = module.network;
  for (size_t i = 0; i < network.tensors.size(); ++i) {
    const std::string place = absl::StrCat("tensor ", i, " '", network.tensors[i].name, "' ");
    if (Problem problem = tensorProblem(module, i); !problem.empty())
      return place + problem;
    if (network.tensors[i].name.empty() || !names.insert(network.tensors[i].name).second)
      return place + "has no name of its own";
  }
  for (size_t i = 0; i < network.layers.size(); ++i) {
    Problem problem = layerProblem(module, i);
    if (problem.empty() && i > 0 && network.layers[i].phase < network.layers[i - 1].phase)
      problem = "is of an earlier phase than the layer before it";
    if (problem.empty())
      problem = weightsProblem(module, i);
    if (!problem.empty())
      return absl::StrCat("layer ", i, " '", network.layers[i].name, "' ", problem);
  }
  if (Problem problem = joinProblem(network, module.plan); !problem.empty())
    return problem;
  const ResidentTensors residents(network, module.plan);
  if (Problem problem = residents.problem(module.program.sramBytes); !problem.empty())
    return problem;
  for (size_t i = 0; i < network.tensors.size(); ++i)
    if (module.plan.offsets[i] == kNowhere && residents.isInDram(static_cast<TensorId>(i)))
      return absl::StrCat("tensor ", i, " '", network.tensors[i].name,
                          "' has no place in DRAM, where some layer stores it");
  return constantsProblem(module);
}

/// All but scales, zero points and parameters of layers; how products are made is part of the plan.
bool haveSamePlan(const ModuleInfo &a, const ModuleInfo &b) {
  const auto sizes = [](const ModuleInfo &module) {
    const Program &program = module.program;
    return std::array{program.arenaBytes, program.constantsBytes, program.sramBytes};
  };
  const auto isSameTensor = [](const TensorInfo &x, const TensorInfo &y) {
    return x.dims == y.dims && x.type == y.type && x.role == y.role && x.aliasOf == y.aliasOf;
  };
  const auto formOf = [](const Layer &layer) {
    const auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
    return matrix ? matrix->winograd : WinogradForm::None;
  };
  const auto isSameLayer = [&](const Layer &x, const Layer &y) {
    return x.inputs == y.inputs && x.output == y.output && x.phase == y.phase &&
           formOf(x) == formOf(y);
  };
  return sizes(a) == sizes(b) && a.plan.offsets == b.plan.offsets &&
         a.constantOffsets == b.constantOffsets &&
         std::ranges::equal(a.network.tensors, b.network.tensors, isSameTensor) &&
         std::ranges::equal(a.network.layers, b.network.layers, isSameLayer);
}

/// Whatever passes between programs of different buckets means the same to both.
Problem bucketsProblem(const ModuleInfo &module) {
  const Network &network = module.network;
  if (!module.buckets.empty() && timestepInput(network) == kNone)
    return "has buckets of timesteps but no input that says one";
  std::vector<TensorId> common = keptTensors(network, Phase::Prompt);
  for (size_t id = 0; id < network.tensors.size(); ++id)
    if (network.tensors[id].role != TensorRole::Intermediate)
      common.push_back(static_cast<TensorId>(id));
  for (size_t b = 0; b < module.buckets.size(); ++b) {
    const ModuleInfo &bucket = module.buckets[b];
    const std::string place = absl::StrCat("bucket ", b, " of timesteps ");
    if (b > 0 && bucket.firstTimestep <= module.buckets[b - 1].firstTimestep)
      return place + "does not begin above the one before it";
    if (!bucket.buckets.empty() || !haveSamePlan(module, bucket))
      return place + "has tensors, layers or places of its own";
    if (Problem problem = moduleProblem(bucket); !problem.empty())
      return place + problem;
    for (TensorId id : common)
      if (bucket.network.tensors[id].scale != network.tensors[id].scale ||
          bucket.network.tensors[id].zeroPoint != network.tensors[id].zeroPoint)
        return absl::StrCat(place, "has codes of its own for '", network.tensors[id].name,
                            "', which all buckets share");
  }
  return "";
}

/// That what runs once per prompt is the same in all buckets.
bool haveSamePromptPhase(const Program &a, const Program &b) {
  const auto commands = [](const Program &program) {
    const CommandRange range = phasesOf(program)[static_cast<size_t>(Phase::Prompt)];
    return encodeCommands({program.commands.begin() + static_cast<ptrdiff_t>(range.begin),
                           program.commands.begin() + static_cast<ptrdiff_t>(range.end)});
  };
  return commands(a) == commands(b);
}

} // namespace

absl::Status checkBuckets(const ModuleInfo &module) {
  for (size_t b = 0; b < module.buckets.size(); ++b)
    if (!haveSamePromptPhase(module.program, module.buckets[b].program))
      return absl::DataLossError(absl::StrCat("module '", module.network.name, "': bucket ", b,
                                              " of timesteps has a prompt phase of its own"));
  return absl::OkStatus();
}

absl::Status checkProducts(const Network &network, const Program &program) {
  for (size_t i = 0; i < program.commands.size(); ++i) {
    const Command &command = program.commands[i];
    const auto *conv = std::get_if<ConvCommand>(&command.args);
    if (!conv)
      continue;
    const Layer &layer = network.layers[command.layer];
    if (const Problem problem = productsProblem(layer, *conv); !problem.empty())
      return absl::DataLossError(absl::StrCat("command ", i, " (", mnemonic(command),
                                              ") of layer '", layer.name, "' ", problem));
  }
  return absl::OkStatus();
}

absl::Status checkModule(const ModuleInfo &module) {
  Problem problem = moduleProblem(module);
  if (problem.empty())
    problem = bucketsProblem(module);
  if (problem.empty())
    return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("module '", module.network.name, "': ", problem));
}

int64_t scheduleRowBytes(const Network &network) {
  int64_t bytes = 0;
  for (TensorId id : keptTensors(network, Phase::Schedule))
    bytes += network.tensors[id].bytes();
  return bytes;
}

TensorId scheduleInput(const Network &network) {
  std::set<TensorId> inputs;
  for (const Layer &layer : network.layers)
    if (layer.phase == Phase::Schedule)
      for (TensorId id : layer.inputs) {
        const TensorId owner =
            network.tensors[id].aliasOf == kNone ? id : network.tensors[id].aliasOf;
        if (network.tensors[owner].role == TensorRole::Input)
          inputs.insert(owner);
      }
  return inputs.size() == 1 ? *inputs.begin() : kNone;
}

TensorId timestepInput(const Network &network) {
  for (const Layer &layer : network.layers)
    if (std::holds_alternative<TimeEmbeddingLayer>(layer.spec)) {
      const TensorId id = layer.inputs[0], owner = network.tensors[id].aliasOf;
      const TensorInfo &input = network.tensors[owner == kNone ? id : owner];
      if (input.role == TensorRole::Input && input.type == ElementType::I32 &&
          input.logicalShape.size() <= 1)
        return owner == kNone ? id : owner;
    }
  return kNone;
}

PackageModule bucketModule(const PackageModule &module, size_t index) {
  PackageModule bucket = module;
  if (index > 0) {
    bucket.info = module.info.buckets[index - 1];
    bucket.info.scheduleTimesteps = module.info.scheduleTimesteps;
  }
  bucket.info.buckets.clear();
  return bucket;
}

absl::Status checkSchedule(const ModuleInfo &module, int64_t bytes) {
  const std::vector<int32_t> &timesteps = module.scheduleTimesteps;
  const TensorId input = scheduleInput(module.network);
  if (input == kNone || module.network.tensors[input].type != ElementType::I32)
    return absl::DataLossError("has a schedule but no phase that one timestep decides");
  if (std::set<int32_t>(timesteps.begin(), timesteps.end()).size() != timesteps.size())
    return absl::DataLossError("has two rows of its schedule for one timestep");
  const int64_t needed =
      saturatingProduct({static_cast<int64_t>(timesteps.size()), scheduleRowBytes(module.network)});
  if (bytes == needed)
    return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("is ", bytes, " bytes; a schedule of ", timesteps.size(),
                                          " timesteps takes ", needed));
}

} // namespace sdopt
