//===- RandomWorkload.h - power models and layer lists ----------*- C++ -*-===//

#ifndef SDOPT_TESTS_POWER_RANDOMWORKLOAD_H
#define SDOPT_TESTS_POWER_RANDOMWORKLOAD_H

#include "compiler/power/PowerModel.h"

#include <cmath>
#include <random>

namespace sdopt::test {

inline double between(double least, double most, std::mt19937 &random) {
  return least + (most - least) * static_cast<double>(random() % 10001) / 10000.0;
}

/// Round numbers: 3 points, 1 V and 1 GHz nominal with one above, 1 W of leakage, no DRAM.
inline PowerModel plainModel() {
  PowerModel model;
  model.points = {{0.8, 0.5e9}, {1.0, 1e9}, {1.2, 1.25e9}};
  model.nominal = 1;
  model.leakagePower = 1;
  model.leakageSlope = 0.5;
  model.clockSwitch = 1e-6;
  model.voltageSwitch = 100e-6;
  return model;
}

inline PowerModel randomModel(size_t points, std::mt19937 &random) {
  PowerModel model;
  double voltage = 0.5, clock = 0.1e9;
  for (size_t i = 0; i < points; ++i) {
    model.points.push_back({voltage, clock});
    voltage += between(0.02, 0.15, random);
    clock += between(0.05e9, 0.3e9, random);
  }
  model.nominal = random() % points;
  model.leakagePower = between(0, 0.3, random);
  model.leakageSlope = between(0.1, 0.5, random);
  model.clockPower = random() % 2 ? between(0, 0.3, random) : 0;
  model.dramIdlePower = between(0, 0.3, random);
  model.clockSwitch = random() % 4 ? 1e-6 : 0;
  model.voltageSwitch = random() % 4 ? 100e-6 : 0;
  return model;
}

/// Bound by the clock, by DRAM or by both, from microseconds to milliseconds.
inline PowerLayer randomLayer(const PowerModel &model, const std::string &name,
                              std::mt19937 &random) {
  const double cycles = std::pow(10, between(3, 6, random));
  const double seconds = std::pow(10, between(-6, -3, random));
  return layerOfUnits(
      model, name,
      {{.cycles = cycles, .switched = cycles * between(0, 2e-9, random)},
       {.cycles = cycles * between(0, 1.5, random), .switched = cycles * between(0, 5e-10, random)},
       {.seconds = seconds,
        .switched = seconds * between(0, 0.1, random),
        .dram = seconds * between(0, 2, random)}},
      random() % 2 ? between(0, 500, random) : 0);
}

inline PowerWorkload randomWorkload(const PowerModel &model, size_t mostModules, size_t mostLayers,
                                    std::mt19937 &random) {
  PowerWorkload workload(1 + random() % mostModules);
  for (size_t m = 0; m < workload.size(); ++m) {
    workload[m].name = "module " + std::to_string(m);
    workload[m].runs = 1 + random() % 4;
    const size_t layers = 1 + random() % mostLayers;
    for (size_t l = 0; l < layers; ++l)
      workload[m].layers.push_back(randomLayer(model, "layer " + std::to_string(l), random));
  }
  return workload;
}

} // namespace sdopt::test

#endif // SDOPT_TESTS_POWER_RANDOMWORKLOAD_H
