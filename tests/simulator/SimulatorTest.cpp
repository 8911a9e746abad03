#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/MemoryLimit.h"
#include "compiler/simulator/ChromeTrace.h"
#include "tests/package/SampleModule.h"
#include "tests/simulator/TestTarget.h"

#include "nlohmann/json.hpp"
#include <cmath>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using test::testTarget;
using testing::HasSubstr;

Tensor randomCodes(const TensorInfo &info, unsigned seed) {
  Tensor tensor(info.type, {info.dims.begin(), info.dims.end()});
  std::mt19937 random(seed);
  for (int16_t &code : tensor.mutableValues<int16_t>())
    code = static_cast<int16_t>(random());
  return tensor;
}

struct Sample {
  std::vector<std::byte> constants;
  PackageModule module;

  Sample() {
    module.info = test::sampleModule();
    constants = test::sampleConstants(module.info);
    module.constants = constants;
  }
  Tensor input(unsigned seed = 1) const {
    return randomCodes(module.info.network.tensors[0], seed);
  }
  Tensor expected(const Tensor &x) const {
    const auto &conv = std::get<ConvCommand>(module.info.program.commands[3].args);
    std::vector<int64_t> acc(48 * 4);
    naiveKernels().convAccumulate(conv.tile, {x.bytes(), {}},
                                  reinterpret_cast<const int8_t *>(constants.data()), acc.data());
    ChannelParams params[4];
    std::memcpy(params, constants.data() + 192, sizeof(params));
    Tensor y(ElementType::I16, {1, 8, 6, 4});
    naiveKernels().requantize(acc.data(), 48, 4, params, {}, y.mutableBytes());
    return y;
  }
  absl::StatusOr<Tensor> run(const SimulatorOptions &options = {},
                             RunStatistics *statistics = nullptr) const {
    Simulator simulator(module, testTarget());
    auto outputs = simulator.run({{"sample", input()}}, options, statistics);
    if (!outputs.ok())
      return outputs.status();
    return outputs->at("conv_in");
  }
};

TEST(Simulator, EqualsNaiveKernels) {
  const Sample sample;
  Simulator simulator(sample.module, testTarget());
  for (unsigned seed = 1; seed < 4; ++seed) {
    const Tensor x = sample.input(seed);
    for (const IntegerKernels *kernels : {&naiveKernels(), &fastKernels()})
      for (bool timing : {false, true}) {
        SimulatorOptions options;
        options.kernels = kernels;
        options.timing = timing;
        const auto outputs = simulator.run({{"sample", x}}, options);
        ASSERT_TRUE(outputs.ok()) << outputs.status();
        EXPECT_TRUE(outputs->at("conv_in").sameBits(sample.expected(x)));
      }
  }
}

TEST(Simulator, GivesPagesOfConstantsBack) {
  Sample sample;
  const int64_t size = static_cast<int64_t>(sample.constants.size());
  std::vector<std::pair<int64_t, int64_t>> released;
  sample.module.release = [&](int64_t offset, int64_t bytes) {
    released.emplace_back(offset, bytes);
  };
  // Weights of 144 bytes, then parameters of 64.
  for (int64_t most : {int64_t{0}, int64_t{207}, int64_t{208}}) {
    released.clear();
    SimulatorOptions options;
    options.residentConstants = most;
    const absl::StatusOr<Tensor> output = sample.run(options);
    ASSERT_TRUE(output.ok()) << output.status();
    EXPECT_TRUE(output->sameBits(sample.expected(sample.input())));
    EXPECT_EQ(released.empty(), most == 208) << most;
    for (const auto &range : released)
      EXPECT_EQ(range, std::pair(int64_t{0}, size));
  }
}

TEST(Simulator, MemoryLimitIsAnError) {
  const Sample sample;
  setMemoryLimit(1);
  const absl::Status status = sample.run().status();
  setMemoryLimit(0);
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("bytes of memory; the limit is 1"));
  EXPECT_TRUE(sample.run().ok());
}

TEST(Simulator, Statistics) {
  const Sample sample;
  RunStatistics statistics;
  std::vector<TraceEvent> trace(3);
  std::vector<int32_t> observed;
  SimulatorOptions options;
  options.trace = &trace;
  options.observer = [&](int32_t layer, const Tensor &codes) {
    observed.push_back(layer);
    EXPECT_TRUE(codes.sameBits(sample.expected(sample.input())));
  };
  ASSERT_TRUE(sample.run(options, &statistics).ok());
  EXPECT_EQ(observed, std::vector<int32_t>{0});
  EXPECT_EQ(statistics.dramReadBytes, 384 + 144 + 64);
  EXPECT_EQ(statistics.dramWriteBytes, 384);
  EXPECT_EQ(statistics.sramPeakBytes, 2560);
  EXPECT_EQ(statistics.multiplyAccumulates, 48 * 4 * 4 * 9);
  EXPECT_EQ(statistics.layers[0].arrayCycles, 9 * 120);
  EXPECT_EQ(statistics.layers[0].vectorCycles, 48);
  EXPECT_EQ(statistics.layers[0].bound, Bound::Array);
  EXPECT_EQ(statistics.layers[0].cycles, statistics.cycles);
  EXPECT_GT(statistics.cycles, 9 * 120 + 48 + 2 * 20);
  EXPECT_DOUBLE_EQ(statistics.seconds, static_cast<double>(statistics.cycles) * 1e-9);
  EXPECT_NEAR(statistics.energy - statistics.layers[0].energy, statistics.seconds * 0.03, 1e-15);
  ASSERT_EQ(trace.size(), 6u);
  EXPECT_EQ(trace.back().command, 5);
  EXPECT_EQ(trace.back().end, statistics.cycles);

  const auto json = nlohmann::json::parse(
      writeChromeTrace(sample.module.info.program, {"a \"quoted\" name\n"}, trace));
  EXPECT_EQ(json["traceEvents"].size(), 4u + 6u + 1u);
  EXPECT_EQ(json["traceEvents"][4]["args"]["value"], "a \"quoted\" name\n");
}

TEST(Simulator, TimesWithoutValues) {
  const Sample sample;
  Simulator simulator(sample.module, testTarget());
  RunStatistics timed, executed;
  auto nothing = simulator.run({}, {.values = false}, &timed);
  ASSERT_TRUE(nothing.ok()) << nothing.status();
  EXPECT_TRUE(nothing->empty());
  ASSERT_TRUE(simulator.run({{"sample", sample.input(1)}}, {}, &executed).ok());
  EXPECT_EQ(timed.cycles, executed.cycles);
  EXPECT_EQ(timed.dramReadBytes, executed.dramReadBytes);
  EXPECT_EQ(timed.dramActivations, executed.dramActivations);
  EXPECT_EQ(timed.sramPeakBytes, executed.sramPeakBytes);
  EXPECT_EQ(timed.energy, executed.energy);
}

TEST(Simulator, RunsAreIndependent) {
  const Sample sample;
  Simulator simulator(sample.module, testTarget());
  RunStatistics first, second;
  ASSERT_TRUE(simulator.run({{"sample", sample.input(1)}}, {}, &first).ok());
  ASSERT_TRUE(simulator.run({{"sample", sample.input(2)}}, {}, &second).ok());
  EXPECT_EQ(first.cycles, second.cycles);
  EXPECT_EQ(first.dramActivations, second.dramActivations);
  EXPECT_EQ(first.energy, second.energy);
}

// A command has its effect when it starts, so what is not waited for is not there.
TEST(Simulator, MissingWaitsShowAsWrongValues) {
  for (int command : {3, 4, 5}) {
    Sample sample;
    sample.module.info.program.commands[command].waits = {};
    const auto y = sample.run();
    EXPECT_TRUE(!y.ok() || !y->sameBits(sample.expected(sample.input()))) << command;
  }
}

TEST(Simulator, InputsAreChecked) {
  const Sample sample;
  Simulator simulator(sample.module, testTarget());
  const Tensor x = sample.input();
  const auto message = [&](const std::map<std::string, Tensor> &inputs) {
    return std::string(simulator.run(inputs).status().message());
  };
  EXPECT_EQ(message({}), "input 'sample' is missing");
  EXPECT_EQ(message({{"sample", x}, {"timestep", x}}), "module 'example' has no input 'timestep'");
  EXPECT_EQ(message({{"sample", x.reshaped({1, 6, 8, 4})}}),
            "input 'sample' is 1x6x8x4 i16; needs 1x8x6x4 i16");
  EXPECT_THAT(message({{"sample", x.converted(ElementType::I8)}}), HasSubstr("needs 1x8x6x4 i16"));
}

TEST(Simulator, ModulesThatDoNotFitAreRefused) {
  Sample sample;
  const auto message = [&](const Target &target) {
    Simulator simulator(sample.module, target);
    return std::string(simulator.run({{"sample", sample.input()}}).status().message());
  };
  EXPECT_EQ(message(testTarget(2000)),
            "module 'example': needs 2560 bytes of sram; target 'test' has 2000");
  Target small = testTarget();
  small.dram.bytes = 1024;
  EXPECT_THAT(message(small), HasSubstr("bytes of dram for constants"));
  sample.module.constants = sample.module.constants.first(100);
  EXPECT_THAT(message(testTarget()), HasSubstr("has 100 bytes of constants; needs 256"));
}

TEST(Simulator, DeadlockAndBadParametersAreErrors) {
  Sample sample;
  sample.module.info.program.commands[5].waits[1] = 1;
  EXPECT_THAT(std::string(sample.run().status().message()),
              HasSubstr("queue out is stuck at command 5 (dma.store, layer 0)"));
  Sample shifted;
  shifted.constants[192 + 12] = std::byte{99};
  EXPECT_THAT(
      std::string(shifted.run().status().message()),
      HasSubstr("command 4: requantize: channel 0 of the parameters at sram 576 has shift 99"));
}

// Commands of a hostile file: whatever decodes runs inside its memories or is refused.
TEST(Simulator, DamagedCommandsAreRefusedOrHarmless) {
  const Sample sample;
  const std::string bytes = encodeCommands(sample.module.info.program.commands);
  int ran = 0, refused = 0;
  for (size_t i = 0; i < bytes.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      const auto commands =
          decodeCommands(std::as_bytes(std::span(damaged.data(), damaged.size())));
      if (!commands.ok()) {
        ++refused;
        continue;
      }
      Sample hostile;
      hostile.module.info.program.commands = *commands;
      (hostile.run().ok() ? ran : refused)++;
    }
  EXPECT_GT(ran, 0);
  EXPECT_GT(refused, ran);
}

TEST(Boundary, ValuesAreRoundedInTheirOrder) {
  TensorInfo info = test::sampleModule().network.tensors[0];
  Tensor value(ElementType::F32, info.logicalShape);
  for (int64_t i = 0; i < value.size(); ++i)
    value.mutableValues<float>()[i] = static_cast<float>(i) * 0.01f;
  const auto codes = quantizeInput(info, value);
  ASSERT_TRUE(codes.ok()) << codes.status();
  EXPECT_EQ(codes->shape(), (Shape{1, 8, 6, 4}));
  for (int64_t i = 0; i < value.size(); ++i)
    EXPECT_EQ(codes->values<int16_t>()[i], i);
  const auto back = dequantizeOutput(info, *codes);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->shape(), info.logicalShape);
  for (int64_t i = 0; i < value.size(); ++i)
    EXPECT_NEAR(back->values<float>()[i], value.values<float>()[i], 1e-6);
}

TEST(Boundary, BadInputsAreNamed) {
  TensorInfo info = test::sampleModule().network.tensors[0];
  const auto message = [&](const Tensor &value) {
    return std::string(quantizeInput(info, value).status().message());
  };
  Tensor value(ElementType::F32, info.logicalShape);
  value.mutableValues<float>()[7] = NAN;
  EXPECT_EQ(message(value), "tensor 'sample': element 7 is not a finite number");
  value.mutableValues<float>()[7] = -INFINITY;
  EXPECT_THAT(message(value), HasSubstr("not a finite number"));
  EXPECT_EQ(message(Tensor(ElementType::F32, {1, 8, 6, 4})),
            "tensor 'sample': has shape 1x8x6x4; needs 1x4x8x6");
  EXPECT_EQ(message(Tensor(ElementType::F64, info.logicalShape)),
            "tensor 'sample': has element type f64; needs f32");
  info.logicalShape = {1, 4, 6, 7};
  EXPECT_THAT(message(Tensor(ElementType::F32, info.logicalShape)),
              HasSubstr("has not as many elements as"));
  EXPECT_FALSE(dequantizeOutput(info, Tensor(ElementType::I16, {1, 8, 6, 4})).ok());
}

TEST(Boundary, Integers) {
  TensorInfo ids;
  ids.name = "input_ids";
  ids.dims = {2, 1, 3, 1};
  ids.type = ElementType::I32;
  ids.logicalShape = {2, 3};
  const int64_t values[] = {1, 2, 3, 4, 5, 49407};
  const auto codes = quantizeInput(ids, Tensor::of<int64_t>({2, 3}, values));
  ASSERT_TRUE(codes.ok()) << codes.status();
  EXPECT_EQ(codes->type(), ElementType::I32);
  EXPECT_EQ(codes->values<int32_t>()[5], 49407);
  EXPECT_TRUE(dequantizeOutput(ids, *codes)->sameBits(Tensor::of<int64_t>({2, 3}, values)));
  const int64_t large[] = {1, 2, 3, 4, 5, int64_t{1} << 31};
  EXPECT_EQ(quantizeInput(ids, Tensor::of<int64_t>({2, 3}, large)).status().message(),
            "tensor 'input_ids': value 2147483648 does not fit 32 bits");
  EXPECT_FALSE(quantizeInput(ids, Tensor(ElementType::F32, {2, 3})).ok());
}

TEST(Boundary, RunModuleQuantizesAndDequantizes) {
  const Sample sample;
  Simulator simulator(sample.module, testTarget());
  const TensorInfo &x = sample.module.info.network.tensors[0];
  const TensorInfo &y = sample.module.info.network.tensors[1];
  const Tensor value = *dequantizeOutput(x, sample.input());
  const auto outputs = runModule(simulator, sample.module, {{"sample", value}});
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_TRUE(
      outputs->at("conv_in").sameBits(*dequantizeOutput(y, sample.expected(sample.input()))));
  EXPECT_EQ(runModule(simulator, sample.module, {}).status().message(),
            "input 'sample' is missing");
  EXPECT_THAT(std::string(runModule(simulator, sample.module, {{"sample", value}, {"x", value}})
                              .status()
                              .message()),
              HasSubstr("has no input 'x'"));
}

} // namespace
} // namespace sdopt
