#include "tests/benchmark/NvdlaSheet.h"

#include <algorithm>
#include <cmath>

namespace sdopt {
namespace {

constexpr int64_t kInputGranule = 16;
constexpr int64_t kLeastKernels = 32; ///< whose weights are in the buffer at a time, at least

int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t roundUp(int64_t a, int64_t granule) { return ceilDiv(a, granule) * granule; }
double inKibibytes(double bytes) { return bytes / 1024; }

/// KiB of the operands of a layer.
struct Operands {
  double input, leastInput, weights, leastWeights, output;
};

Operands operandsOf(const SheetLayer &layer, const SheetMachine &machine, const SheetRule &rule) {
  const int64_t folds = layer.stride, size = ceilDiv(layer.size, folds);
  const int64_t channels = roundUp(layer.inputs * folds * folds, kInputGranule);
  const int64_t taps = ceilDiv(layer.kernel, folds) * ceilDiv(layer.kernel, folds);
  const auto kernel = static_cast<double>(rule.foldsWeights ? channels * taps
                                                            : roundUp(layer.inputs, kInputGranule) *
                                                                  layer.kernel * layer.kernel);
  const int64_t outputSize = layer.pooled && rule.fuses ? layer.pooled : layer.outputSize();
  const double growth = layer.isWinograd() && rule.growsWeights ? 16.0 / 9 : 1;
  Operands o;
  o.input = inKibibytes(static_cast<double>(channels * size * size));
  o.leastInput = inKibibytes(static_cast<double>(channels * std::min(layer.kernel, size) * size));
  o.weights = inKibibytes(kernel * growth * static_cast<double>(layer.outputs));
  o.leastWeights = inKibibytes(static_cast<double>(channels * taps * kLeastKernels));
  const auto buffer = static_cast<double>(machine.kibibytes);
  if (o.leastWeights >= buffer)
    o.leastWeights = buffer / 2;
  o.output = inKibibytes(
      static_cast<double>(outputSize * outputSize * roundUp(layer.outputs, kInputGranule)));
  return o;
}

/// One operand stays in the buffer, in as many parts as it takes; the other comes once for each.
double movedKibibytes(const Operands &o, const SheetMachine &machine, bool inputStays) {
  const auto buffer = static_cast<double>(machine.kibibytes);
  const double whole = inputStays ? o.input : o.weights;
  const double other = inputStays ? o.weights : o.input;
  const double room = buffer - (inputStays ? o.leastWeights : o.leastInput);
  return whole + other * (whole > room ? std::ceil(whole / room) : 1) + o.output;
}

} // namespace

std::vector<SheetLayer> resNet50() {
  struct Stage {
    int64_t size, channels, blocks;
  };
  std::vector<SheetLayer> layers = {{.name = "conv1",
                                     .inputs = 3,
                                     .size = 224,
                                     .outputs = 64,
                                     .kernel = 7,
                                     .stride = 2,
                                     .pooled = 56}};
  int64_t inputs = 64, size = 56;
  int number = 2;
  for (const Stage &stage : {Stage{56, 64, 3}, {28, 128, 4}, {14, 256, 6}, {7, 512, 3}}) {
    for (int64_t block = 0; block < stage.blocks; ++block) {
      const std::string name =
          "res" + std::to_string(number) + static_cast<char>('a' + block) + "_";
      const int64_t stride = size / stage.size, wide = 4 * stage.channels;
      if (block == 0)
        layers.push_back({name + "1", inputs, size, wide, 1, stride});
      layers.push_back({name + "2a", inputs, size, stage.channels, 1, stride});
      layers.push_back({name + "2b", stage.channels, stage.size, stage.channels, 3});
      layers.push_back({name + "2c", stage.channels, stage.size, wide});
      layers.back().adds = true;
      inputs = wide;
      size = stage.size;
    }
    ++number;
  }
  layers.back().pooled = 1;
  layers.push_back({.name = "fc1000", .inputs = 2048, .size = 1, .outputs = 1000});
  return layers;
}

std::vector<SheetLayer> sheetResNet50() {
  std::vector<SheetLayer> layers = resNet50();
  for (SheetLayer &layer : layers)
    if (layer.name == "res2a_2a")
      layer.inputs = 256;
  return layers;
}

SheetCost sheetCost(const SheetLayer &layer, const SheetMachine &machine, const SheetRule &rule) {
  const Operands o = operandsOf(layer, machine, rule);
  const bool inputStays = o.input < o.weights;
  SheetCost cost;
  cost.inputStays = inputStays;
  cost.kibibytes = movedKibibytes(o, machine, inputStays);
  if (layer.adds)
    cost.kibibytes += rule.fuses ? o.output : 3 * o.output;
  if (layer.pooled && !rule.fuses)
    cost.kibibytes +=
        o.output + inKibibytes(static_cast<double>(layer.pooled * layer.pooled *
                                                   roundUp(layer.outputs, kInputGranule)));
  if (layer.isLinear() && rule.batchesWeights)
    cost.kibibytes -= o.weights * (1 - 1.0 / kLinearBatch);
  cost.dramCycles = std::ceil(cost.kibibytes * (rule.kibibyte / 1000) / machine.gigabytes * 1000);

  const int64_t folds = layer.stride, size = ceilDiv(layer.size, folds);
  const int64_t pictures = layer.isLinear() ? kLinearBatch : 1;
  const int64_t products = roundUp(layer.inputs * folds * folds, kInputGranule) * size * size *
                           roundUp(layer.outputs * pictures, rule.outputGranule) * layer.kernel *
                           layer.kernel;
  cost.arrayCycles = static_cast<double>(products) /
                     static_cast<double>(folds * folds * pictures * machine.multipliers) /
                     (layer.isWinograd() ? 2.25 : 1);
  return cost;
}

double sheetMilliseconds(const std::vector<SheetLayer> &layers, const SheetMachine &machine,
                         const SheetRule &rule) {
  double cycles = 0;
  for (const SheetLayer &layer : layers)
    cycles += sheetCost(layer, machine, rule).cycles();
  return cycles * 1e-6;
}

const std::vector<PrimerRow> &primerTable() {
  static const std::vector<PrimerRow> kRows = {
      {{2048, 512, 20}, 269}, {{1024, 256, 15}, 153}, {{512, 256, 10}, 93}, {{256, 256, 5}, 46},
      {{128, 256, 2}, 20},    {{64, 128, 1}, 7.3},    {{32, 128, 0.5}, 3.6}};
  return kRows;
}

} // namespace sdopt
