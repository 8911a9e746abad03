#include "tests/simulator/PlannedNetwork.h"

#include "tests/simulator/RandomParameters.h"

#include <gtest/gtest.h>

namespace sdopt::test {

void RandomNetwork::finish(std::mt19937 &random) {
  b.network.name = "chain";
  for (Layer &layer : b.network.layers)
    std::visit(ParameterFill{random}, layer.spec);
  for (TensorInfo &tensor : b.network.tensors) {
    if (tensor.type == ElementType::I8)
      tensor.zeroPoint = static_cast<int32_t>(pick(random, -128, 127));
    if (tensor.role != TensorRole::Input)
      continue;
    Tensor codes(tensor.type, {tensor.dims.begin(), tensor.dims.end()});
    std::generate_n(codes.mutableBytes(), codes.byteSize(),
                    [&] { return static_cast<std::byte>(random()); });
    inputs.emplace(tensor.name, codes);
  }
  for (const ConstantInfo &constant : b.network.constants)
    constants.push_back(randomConstant(constant, random));
  fitTapWise(b.network, constants);
}

PlannedNetwork::PlannedNetwork(const RandomNetwork &chain, const Plan &plan, const Target &target) {
  const Network &network = chain.b.network;
  ModuleInfo &info = module.info;
  info.network = network;
  info.plan = plan;
  int64_t bytes = 0;
  info.constantOffsets = constantOffsets(network, plan, bytes);
  auto program = expand(network, plan, target, info.constantOffsets, bytes);
  EXPECT_TRUE(program.ok()) << program.status();
  if (!program.ok())
    return;
  info.program = *std::move(program);
  EXPECT_EQ(checkPlan(network, plan, target), absl::OkStatus());
  EXPECT_EQ(checkProgram(info.program, target.sram.bytes), absl::OkStatus());
  EXPECT_EQ(checkDataflow(network, plan, info.program, info.constantOffsets), absl::OkStatus());
  constants.resize(static_cast<size_t>(bytes));
  for (size_t i = 0; i < chain.constants.size(); ++i)
    std::copy(chain.constants[i].begin(), chain.constants[i].end(),
              constants.begin() + info.constantOffsets[i]);
  for (size_t i = 0; i < network.layers.size(); ++i)
    if (const auto *matrix = std::get_if<MatrixLayer>(&network.layers[i].spec)) {
      const std::vector<std::byte> &weights = chain.constants[matrix->weights];
      const PackedWeights packed =
          packWeights(network, network.layers[i], plan.layers[i].tiling,
                      {std::span(reinterpret_cast<const int8_t *>(weights.data()), weights.size()),
                       {},
                       {},
                       {}});
      std::copy(packed.bytes.begin(), packed.bytes.end(),
                constants.begin() + info.constantOffsets[matrix->weights]);
    }
  module.constants = constants;
}

Tensor PlannedNetwork::run(const RandomNetwork &chain, const Target &target, bool whole,
                           std::map<int32_t, Tensor> *values) const {
  Simulator simulator(module, target);
  SimulatorOptions options;
  options.wholeLayers = whole;
  if (values)
    options.observer = [=](int32_t layer, const Tensor &codes) { (*values)[layer] = codes; };
  RunStatistics statistics;
  const auto outputs = simulator.run(chain.inputs, options, &statistics);
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  for (size_t i = 0; i < statistics.layers.size(); ++i) {
    EXPECT_EQ(statistics.layers[i].dramReadBytes, module.info.plan.layers[i].cost.dramReadBytes);
    EXPECT_EQ(statistics.layers[i].dramWriteBytes, module.info.plan.layers[i].cost.dramWriteBytes);
  }
  return outputs.ok() ? outputs->begin()->second : Tensor();
}

} // namespace sdopt::test
