// Layers by F(2x2, 3x3) against the same layers done directly: equal to the bit, with fewer
// multiplications. Layers by F(4x4, 3x3) in tiles against plain loops over the whole. Tilings, loop
// orders and forms of weights are those of NetworkTest.

#include "compiler/kernels/IntegerWinograd.h"
#include "compiler/simulator/Simulator.h"
#include "tests/schedule/LayerZoo.h"
#include "tests/simulator/WholeTensor.h"

#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

struct Shape4 {
  int64_t batch, height, width, inputs, outputs;
};

/// One layer with extreme or random codes and weights.
struct Case {
  PackageModule module;
  std::vector<std::byte> constants;
  std::map<std::string, Tensor> inputs;
  std::vector<int8_t> weights;
  Target target;

  static bool fits(const Shape4 &shape, ElementType type, int64_t sram) {
    NetworkBuilder b;
    b.tapWise(
        b.tensor({shape.batch, shape.height, shape.width, shape.inputs}, type, TensorRole::Input),
        shape.outputs, {1, 1, 1, 1}, type);
    return planNetwork(b.network, smallTarget(sram)).ok();
  }

  Case(const Shape4 &shape, ElementType type, int32_t zeroPoint, bool extreme,
       WinogradForm winograd, int64_t sram)
      : target(smallTarget(sram)) {
    target.energy = {.mac8 = 1e-13, .mac16 = 2e-13, .macWinograd = 1.7e-13, .addition = 3e-14};
    NetworkBuilder b;
    const TensorId x =
        b.tensor({shape.batch, shape.height, shape.width, shape.inputs}, type, TensorRole::Input);
    const TensorId y = winograd == WinogradForm::F4x4
                           ? b.tapWise(x, shape.outputs, {1, 1, 1, 1}, type)
                           : b.winograd(x, shape.outputs, {1, 1, 1, 1}, type);
    b.network.tensors[x].zeroPoint = zeroPoint;
    b.network.tensors[y].role = TensorRole::Output;
    b.network.name = "window";
    std::get<MatrixLayer>(b.network.layers[0].spec).winograd = winograd;
    ModuleInfo &info = module.info;
    info.network = b.network;
    info.plan = *planNetwork(b.network, target);
    int64_t bytes = 0;
    info.constantOffsets = constantOffsets(b.network, info.plan, bytes);
    info.program = *expand(b.network, info.plan, target, info.constantOffsets, bytes);
    std::mt19937 random(7);
    const auto draw = [&] { return static_cast<std::byte>(extreme ? 0x80 : random()); };
    constants.resize(static_cast<size_t>(bytes));
    const Layer &layer = b.network.layers[0];
    const auto &spec = std::get<MatrixLayer>(layer.spec);
    weights.resize(static_cast<size_t>(shape.outputs * 9 * shape.inputs));
    std::ranges::generate(weights, [&] { return static_cast<int8_t>(draw()); });
    std::ranges::copy(
        packWeights(b.network, layer, info.plan.layers[0].tiling, {weights, {}, {}}).bytes,
        constants.begin() + info.constantOffsets[spec.weights]);
    for (int64_t i = 0; i < shape.outputs; ++i) {
      const ChannelParams params = {static_cast<int64_t>(random() % 1000), 1 << 30,
                                    static_cast<int32_t>((type == ElementType::I8 ? 42 : 46) +
                                                         (winograd == WinogradForm::F4x4 ? 9 : 0))};
      std::memcpy(constants.data() + info.constantOffsets[spec.params] +
                      i * int64_t(sizeof(params)),
                  &params, sizeof(params));
    }
    module.constants = constants;
    Tensor codes(type, {shape.batch, shape.height, shape.width, shape.inputs});
    std::generate_n(codes.mutableBytes(), codes.byteSize(), draw);
    inputs.emplace(b.network.tensors[x].name, codes);
  }

  Tensor run(const IntegerKernels &kernels, bool wholeLayers, RunStatistics &statistics) const {
    Simulator simulator(module, target);
    SimulatorOptions options;
    options.kernels = &kernels;
    options.wholeLayers = wholeLayers;
    auto outputs = simulator.run(inputs, options, &statistics);
    EXPECT_TRUE(outputs.ok()) << outputs.status();
    return outputs.ok() ? outputs->begin()->second : Tensor();
  }
};

const Shape4 kShapes[] = {{1, 8, 6, 4, 4},   {2, 1, 1, 3, 2},     {2, 7, 13, 17, 5},
                          {1, 1, 29, 5, 40}, {1, 16, 16, 64, 33}, {1, 2, 2, 2560, 3}};

TEST(WinogradLayers, EqualDirectOnes) {
  for (const Shape4 &shape : kShapes)
    for (ElementType type : {ElementType::I8, ElementType::I16})
      for (int32_t zeroPoint : {-128, 5})
        for (bool extreme : {false, true}) {
          const int32_t z = type == ElementType::I8 ? zeroPoint : 0;
          const Case direct(shape, type, z, extreme, WinogradForm::None, 64 * 1024),
              winograd(shape, type, z, extreme, WinogradForm::F2x2, 64 * 1024);
          RunStatistics slow, fast;
          const Tensor expected = direct.run(naiveKernels(), false, slow);
          for (const IntegerKernels *kernels : {&naiveKernels(), &fastKernels()})
            for (bool wholeLayers : {false, true})
              EXPECT_TRUE(winograd.run(*kernels, wholeLayers, fast).sameBits(expected))
                  << shape.height << "x" << shape.width << "x" << shape.inputs << " " << z;
        }
}

TEST(WinogradLayers, MultiplyLess) {
  for (ElementType type : {ElementType::I8, ElementType::I16}) {
    RunStatistics direct, winograd;
    const Shape4 shape{1, 32, 32, 64, 64};
    Case(shape, type, 0, false, WinogradForm::None, 128 * 1024).run(fastKernels(), true, direct);
    Case(shape, type, 0, false, WinogradForm::F2x2, 128 * 1024).run(fastKernels(), true, winograd);
    EXPECT_EQ(direct.multiplyAccumulates, 32 * 32 * 64 * 64 * 9);
    EXPECT_EQ(winograd.multiplyAccumulates * 9, direct.multiplyAccumulates * 4);
    EXPECT_LT(winograd.layers[0].arrayCycles, direct.layers[0].arrayCycles);
    EXPECT_EQ(winograd.layers[0].vectorCycles, direct.layers[0].vectorCycles);
  }
}

/// What plain loops make of the whole picture.
Tensor wholeTapWise(const Case &c) {
  const Network &network = c.module.info.network;
  const auto &spec = std::get<MatrixLayer>(network.layers[0].spec);
  const TensorInfo &x = network.tensors[network.layers[0].inputs[0]],
                   &y = network.tensors[network.layers[0].output];
  std::vector<std::vector<std::byte>> constants = {
      std::vector<std::byte>(c.weights.size()),
      std::vector<std::byte>(static_cast<size_t>(y.dims[3]) * sizeof(ChannelParams))};
  std::memcpy(constants[0].data(), c.weights.data(), c.weights.size());
  std::memcpy(constants[1].data(), c.constants.data() + c.module.info.constantOffsets[spec.params],
              constants[1].size());
  return test::evaluateWhole(network, network.layers[0], {c.inputs.at(x.name)}, constants);
}

TEST(WinogradLayers, TapWiseOnesEqualPlainLoops) {
  size_t commands = 0;
  for (const Shape4 &shape : kShapes)
    for (ElementType type : {ElementType::I8, ElementType::I16})
      for (bool extreme : {false, true}) {
        const int32_t z = type == ElementType::I8 ? -128 : 0;
        // The smallest SRAM that holds a tile, so that tiles are many.
        for (int64_t sram : {4 * 1024, 64 * 1024, 512 * 1024}) {
          if (!Case::fits(shape, type, sram))
            continue;
          const Case c(shape, type, z, extreme, WinogradForm::F4x4, sram);
          commands = std::max(commands, c.module.info.program.commands.size());
          const Tensor expected = wholeTapWise(c);
          for (const IntegerKernels *kernels : {&naiveKernels(), &fastKernels()})
            for (bool wholeLayers : {false, true}) {
              RunStatistics statistics;
              EXPECT_TRUE(c.run(*kernels, wholeLayers, statistics).sameBits(expected))
                  << shape.height << "x" << shape.width << "x" << shape.inputs << " " << sram;
            }
        }
      }
  EXPECT_GT(commands, 100u);
}

TEST(WinogradLayers, TapWiseOnesMultiplyAQuarter) {
  for (ElementType type : {ElementType::I8, ElementType::I16}) {
    RunStatistics direct, exact, tapWise;
    const Shape4 shape{1, 64, 64, 64, 64};
    Case(shape, type, 0, false, WinogradForm::None, 4 << 20).run(fastKernels(), true, direct);
    Case(shape, type, 0, false, WinogradForm::F2x2, 4 << 20).run(fastKernels(), true, exact);
    Case(shape, type, 0, false, WinogradForm::F4x4, 4 << 20).run(fastKernels(), true, tapWise);
    EXPECT_EQ(tapWise.multiplyAccumulates * 4, direct.multiplyAccumulates);
    EXPECT_LT(tapWise.layers[0].arrayCycles, exact.layers[0].arrayCycles);
    EXPECT_EQ(tapWise.layers[0].vectorCycles, direct.layers[0].vectorCycles);
  }
}

TEST(WinogradLayers, NarrowMultipliersAreRefused) {
  Case narrow({1, 8, 6, 4, 4}, ElementType::I8, 0, false, WinogradForm::F2x2, 64 * 1024);
  narrow.target.array.multiplier = {8, 8};
  Simulator simulator(narrow.module, narrow.target);
  EXPECT_EQ(simulator.run(narrow.inputs).status().message(),
            "module 'window': layer 't1' needs multipliers of 10x12 for winograd; the target has "
            "8x8");
}

} // namespace
} // namespace sdopt
