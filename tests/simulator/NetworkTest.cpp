// Every kind of layer, planned for tiny SRAMs in every loop order, written to a package, read back
// and simulated: equal bit for bit to the naive kernels on whole tensors.

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/SramLayout.h"
#include "compiler/schedule/TileSearch.h"
#include "compiler/simulator/Simulator.h"
#include "tests/schedule/LayerZoo.h"
#include "tests/simulator/RandomParameters.h"
#include "tests/simulator/WholeTensor.h"

#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <unistd.h>

namespace sdopt {
namespace {

using test::ConstantBytes;

using test::ParameterFill;
using test::pick;
using test::randomConstant;

/// Share of codes that differ from the code before.
double variety(const Tensor &codes) {
  const int64_t width = byteWidth(codes.type()), count = codes.size();
  int64_t changes = 0;
  for (int64_t i = 1; i < count; ++i)
    changes += std::memcmp(codes.bytes() + i * width, codes.bytes() + (i - 1) * width,
                           static_cast<size_t>(width)) != 0;
  return static_cast<double>(changes) / static_cast<double>(count);
}

/// A layer of the zoo with parameters, zero points, inputs and constants.
struct Problem {
  /// What the weights are stored as, if not as they are.
  std::vector<int8_t> codes, scales, zeros, palettes;
  Network network;
  ConstantBytes constants;
  std::map<std::string, Tensor> inputs;

  Problem(int kind, std::mt19937 &random) {
    if (kind < kZooKinds) {
      network = randomLayer(kind, random);
    } else {
      NetworkBuilder b;
      const int64_t batch = pick(random, 1, 3);
      const TensorId t =
          b.tensor({random() % 2 ? 1 : batch, 1, 1, 1}, ElementType::I32, TensorRole::Input);
      const TensorId y = b.timeEmbedding(t, batch, pick(random, 1, 40));
      b.network.tensors[y].role = TensorRole::Output;
      network = b.network;
      network.name = "zoo";
    }
    for (Layer &layer : network.layers)
      std::visit(ParameterFill{random}, layer.spec);
    for (TensorInfo &tensor : network.tensors) {
      if (tensor.type == ElementType::I8)
        tensor.zeroPoint = static_cast<int32_t>(pick(random, -128, 127));
      if (tensor.role == TensorRole::Input)
        inputs.emplace(tensor.name, randomCodes(tensor, random));
    }
    // Moves and pooling keep codes as they are, and so their format.
    const Layer &layer = network.layers[0];
    if (std::holds_alternative<UpsampleLayer>(layer.spec) ||
        std::holds_alternative<PermuteLayer>(layer.spec) ||
        std::holds_alternative<SliceLayer>(layer.spec) ||
        std::holds_alternative<PoolTokenLayer>(layer.spec))
      network.tensors[layer.output].zeroPoint = network.tensors[layer.inputs[0]].zeroPoint;
    for (const ConstantInfo &constant : network.constants)
      constants.push_back(randomConstant(constant, random));
    test::fitTapWise(network, constants);
    if (const auto *matrix = std::get_if<MatrixLayer>(&layer.spec)) {
      ConstantInfo &weights = network.constants[matrix->weights];
      do
        weights.form = randomForm(random);
      while (matrix->winograd != WinogradForm::None && weights.form.tellsZeros());
      weights.share = pick(random, 1, kShareUnit);
      makeWeights(*matrix, random);
    }
  }

  /// Random codes and parameters, and the weights that they mean.
  void makeWeights(const MatrixLayer &matrix, std::mt19937 &random) {
    const WeightForm &form = network.constants[matrix.weights].form;
    auto *weights = reinterpret_cast<int8_t *>(constants[matrix.weights].data());
    const int64_t inputs = network.tensors[network.layers[0].inputs[0]].dims[3];
    const int64_t outputs = network.tensors[network.layers[0].output].dims[3];
    const int64_t taps = matrix.kernelHeight * matrix.kernelWidth;
    codes.assign(weights, weights + outputs * taps * inputs);
    if (form.zeros != ZeroLayout::Dense)
      for (int8_t &code : codes)
        code = random() % 3 ? int8_t{0} : code;
    if (form.coding == WeightCoding::Raw)
      return static_cast<void>(std::copy(codes.begin(), codes.end(), weights));
    if (form.coding == WeightCoding::Palette) {
      for (int64_t i = 0; i < form.palettes(outputs) * form.paletteEntries(); ++i)
        palettes.push_back(static_cast<int8_t>(i % 2 ? random() : 0));
      const int64_t row = taps * inputs, entries = form.paletteEntries();
      for (size_t i = 0; i < codes.size(); ++i) {
        codes[i] = static_cast<int8_t>(codes[i] & (entries - 1));
        const int64_t o = static_cast<int64_t>(i) / row;
        weights[i] = palettes[(form.paletteOutputs ? o / form.paletteOutputs : 0) * entries +
                              static_cast<uint8_t>(codes[i])];
      }
      return;
    }
    const int64_t half = int64_t{1} << (form.bits - 1);
    const int64_t groupTaps = form.groupTaps(taps), groups = form.groups(inputs);
    for (int8_t &code : codes)
      code = static_cast<int8_t>(pick(random, -half, half - 1));
    for (int64_t i = 0; i < outputs * groupTaps * groups; ++i) {
      scales.push_back(form.hasScales() ? static_cast<int8_t>(pick(random, 1, 16)) : 1);
      zeros.push_back(form.symmetric ? 0
                                     : static_cast<int8_t>(pick(random, -8, 7) * form.zeroStep()));
    }
    for (size_t i = 0; i < codes.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      const int64_t o = at / inputs / taps, tap = at / inputs % taps;
      const int64_t group = (o * groupTaps + (groupTaps == 1 ? 0 : tap)) * groups +
                            (form.groupSize ? at % inputs / form.groupSize : 0);
      weights[i] = decodedWeight(codes[i], zeros[group], scales[group]);
    }
  }

  static Tensor randomCodes(const TensorInfo &info, std::mt19937 &random) {
    Tensor tensor(info.type, {info.dims.begin(), info.dims.end()});
    if (info.type == ElementType::I32) {
      for (int32_t &id : tensor.mutableValues<int32_t>())
        id = static_cast<int32_t>(pick(random, -3, 60));
      return tensor;
    }
    for (int64_t i = 0; i < tensor.byteSize(); ++i)
      tensor.mutableBytes()[i] = static_cast<std::byte>(random());
    return tensor;
  }

  Tensor expected() const {
    std::vector<Tensor> values;
    for (TensorId id : network.layers[0].inputs)
      values.push_back(inputs.at(network.tensors[id].name));
    return test::evaluateWhole(network, network.layers[0], values, constants);
  }

  void forgetStreams() {
    for (ConstantInfo &constant : network.constants)
      constant.blockBytes.clear();
  }

  /// Packs the weights, so that network and plan have the sizes of their streams.
  void settle(Plan &plan, const Target &target) {
    const auto *matrix = std::get_if<MatrixLayer>(&network.layers[0].spec);
    if (!matrix)
      return;
    forgetStreams();
    PackedWeights packed = packWeights(network, network.layers[0], plan.layers[0].tiling,
                                       {codes, scales, zeros, palettes});
    noteStreams(network, plan, 0, packed, target);
    packedWeights = std::move(packed.bytes);
    ASSERT_TRUE(checkPlan(network, plan, target).ok()) << checkPlan(network, plan, target);
  }

  const std::vector<std::byte> &packed(ConstantId id) const {
    const auto *matrix = std::get_if<MatrixLayer>(&network.layers[0].spec);
    return matrix && matrix->weights == id ? packedWeights : constants[id];
  }

  std::vector<std::byte> packedWeights = {};
};

class EveryLayer : public testing::TestWithParam<int> {
protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() /
            ("sdopt-network-" + std::to_string(GetParam()) + "-" + std::to_string(::getpid()));
  }
  void TearDown() override { std::filesystem::remove(path_); }

  void expectEqual(const Problem &problem, const Plan &plan, const Target &target) {
    ModuleInfo info;
    info.network = problem.network;
    info.plan = plan;
    int64_t bytes = 0;
    info.constantOffsets = constantOffsets(problem.network, plan, bytes);
    auto program = expand(problem.network, plan, target, info.constantOffsets, bytes);
    ASSERT_TRUE(program.ok()) << program.status();
    info.program = *std::move(program);
    std::vector<std::byte> constants(static_cast<size_t>(bytes));
    for (size_t i = 0; i < problem.constants.size(); ++i) {
      const auto id = static_cast<ConstantId>(i);
      const std::vector<std::byte> &packed = problem.packed(id);
      ASSERT_EQ(static_cast<int64_t>(packed.size()), packedBytes(problem.network, plan, id));
      std::copy(packed.begin(), packed.end(), constants.begin() + info.constantOffsets[i]);
    }
    PackageModule module;
    module.info = std::move(info);
    module.constants = constants;
    simulate(problem, module, target);
  }

  void simulate(const Problem &problem, const PackageModule &module, const Target &target) {
    const TensorInfo &out = problem.network.tensors[problem.network.layers[0].output];
    const Tensor expected = problem.expected();
    Simulator simulator(module, target);
    for (const auto &[timing, whole] : {std::pair(true, false), {false, false}, {true, true}}) {
      SimulatorOptions options;
      options.timing = timing;
      options.wholeLayers = whole;
      int observed = 0;
      options.observer = [&](int32_t, const Tensor &codes) {
        ++observed;
        EXPECT_TRUE(codes.sameBits(expected));
      };
      RunStatistics statistics;
      const auto outputs = simulator.run(problem.inputs, options, &statistics);
      ASSERT_TRUE(outputs.ok()) << outputs.status();
      EXPECT_TRUE(outputs->at(out.name).sameBits(expected));
      EXPECT_EQ(observed, 1);
      if (!timing)
        continue;
      EXPECT_EQ(statistics.dramReadBytes, module.info.plan.layers[0].cost.dramReadBytes);
      EXPECT_EQ(statistics.dramWriteBytes, module.info.plan.layers[0].cost.dramWriteBytes);
      EXPECT_LE(statistics.sramPeakBytes, target.sram.bytes);
      EXPECT_GT(statistics.cycles, 0);
    }
  }

  /// The same through a file.
  void expectEqualFromFile(const Problem &problem, const Plan &plan, const Target &target) {
    ModuleInfo info;
    info.network = problem.network;
    info.plan = plan;
    int64_t bytes = 0;
    info.constantOffsets = constantOffsets(problem.network, plan, bytes);
    info.program = *expand(problem.network, plan, target, info.constantOffsets, bytes);
    std::filesystem::remove(path_);
    auto writer = PackageWriter::create(path_);
    ASSERT_TRUE(writer.ok()) << writer.status();
    const auto source = [&](ConstantId id) { return problem.packed(id); };
    const absl::Status added = (*writer)->addModule(info, source);
    ASSERT_TRUE(added.ok()) << added;
    ASSERT_TRUE((*writer)->finish({}).ok());
    const auto package = Package::open(path_);
    ASSERT_TRUE(package.ok()) << package.status();
    simulate(problem, (*package)->modules()[0], target);
  }

  std::filesystem::path path_;
};

/// Rows that tiles share are kept, pictures share a tile, keys stay while values pass.
LayerPlan unusual(const Network &network, LayerPlan plan, std::mt19937 &random) {
  const Layer &layer = network.layers[0];
  const auto &y = network.tensors[layer.output].dims;
  Tiling &t = plan.tiling;
  if (std::holds_alternative<MatrixLayer>(layer.spec)) {
    t.buffers = bufferLevel(t) + kHaloKept;
    t.height = random() % 3 == 0 ? y[0] * y[1]
                                 : 1 + static_cast<int64_t>(random() % std::min(t.height, y[1]));
    if (t.order == LoopOrder::WeightResident && random() % 2 == 0)
      t.inputChannels = network.tensors[layer.inputs[0]].dims[3];
    fitForm(network, layer, t);
  } else if (std::holds_alternative<AttentionLayer>(layer.spec)) {
    t.order = LoopOrder::WeightResident;
    t.width = 1 + static_cast<int64_t>(random() % t.width);
  }
  return plan;
}

TEST_P(EveryLayer, TiledEqualsWhole) {
  std::mt19937 random(GetParam());
  int planned = 0;
  double varied = 0;
  for (int round = 0; round < 30; ++round) {
    Problem problem(GetParam(), random);
    const Target target = smallTarget(int64_t{2048} << (round % 5));
    auto plan = planNetwork(problem.network, target);
    if (!plan.ok())
      continue;
    ASSERT_NO_FATAL_FAILURE(problem.settle(*plan, target));
    ++planned;
    varied += variety(problem.expected());
    SCOPED_TRACE(round);
    ASSERT_NO_FATAL_FAILURE(expectEqual(problem, *plan, target));
    if (round % 10 == 9) {
      ASSERT_NO_FATAL_FAILURE(expectEqualFromFile(problem, *plan, target));
    }
    const auto runs = [&](const LayerPlan &layer) {
      Plan other = *plan;
      other.layers[0] = layer;
      problem.forgetStreams();
      other.layers[0].cost =
          layerCost(problem.network, problem.network.layers[0], layer.tiling, target);
      if (other.layers[0].cost.sramBytes > target.sram.bytes)
        return;
      ASSERT_NO_FATAL_FAILURE(problem.settle(other, target));
      ASSERT_NO_FATAL_FAILURE(expectEqual(problem, other, target));
    };
    std::vector<SearchOptions> searches = {{.objective = Objective::Traffic, .leastBuffers = 2}};
    for (LoopOrder order :
         {LoopOrder::InputResident, LoopOrder::WeightResident, LoopOrder::OutputStationary})
      searches.push_back({.order = order});
    for (const SearchOptions &options : searches) {
      problem.forgetStreams();
      const TileChoice choice =
          searchTiles(shapeOf(problem.network, problem.network.layers[0]), target, options);
      if (!choice.plan)
        continue;
      ASSERT_NO_FATAL_FAILURE(runs(*choice.plan));
      ASSERT_NO_FATAL_FAILURE(runs(unusual(problem.network, *choice.plan, random)));
    }
    if (HasFailure())
      return;
  }
  EXPECT_GT(planned, 10);
  // Results that are all zero or saturated would prove nothing.
  EXPECT_GT(varied / planned, 0.3);
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryLayer, testing::Range(0, kZooKinds + 1));

} // namespace
} // namespace sdopt
