//===- PlannedNetwork.h - random networks, planned and run ------*- C++ -*-===//

#ifndef SDOPT_TESTS_SIMULATOR_PLANNEDNETWORK_H
#define SDOPT_TESTS_SIMULATOR_PLANNEDNETWORK_H

#include "compiler/simulator/Simulator.h"
#include "tests/schedule/LayerZoo.h"

#include <map>
#include <random>
#include <string>
#include <vector>

namespace sdopt::test {

inline ElementType anyCode(std::mt19937 &random) {
  return random() % 2 ? ElementType::I8 : ElementType::I16;
}

/// A network with random parameters, constants and inputs.
struct RandomNetwork {
  NetworkBuilder b;
  std::vector<std::vector<std::byte>> constants;
  std::map<std::string, Tensor> inputs;

  /// Fills what the layers that were added leave open.
  void finish(std::mt19937 &random);
};

/// It as a module with a plan, which all validators accept.
struct PlannedNetwork {
  std::vector<std::byte> constants;
  PackageModule module;

  PlannedNetwork(const RandomNetwork &random, const Plan &plan, const Target &target);

  /// `values`: gets what every layer made.
  Tensor run(const RandomNetwork &random, const Target &target, bool whole,
             std::map<int32_t, Tensor> *values = nullptr) const;
};

} // namespace sdopt::test

#endif // SDOPT_TESTS_SIMULATOR_PLANNEDNETWORK_H
