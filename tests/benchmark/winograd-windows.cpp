// Every 3x3 convolution of stride 1 of a package by F(2x2, 3x3) against the package as it is: the
// codes of every layer, on random inputs, and what either way takes on a target. Tiles are those of
// the package.
//
//   winograd-windows PACKAGE [target]

#include "compiler/kernels/FloatKernels.h"
#include "compiler/schedule/WinogradLayers.h"
#include "compiler/simulator/Simulator.h"

#include <chrono>
#include <cstdio>
#include <random>
#include <thread>

namespace sdopt {
namespace {

/// Sets the flag of every layer that may have it and of its commands. Returns their number, and how
/// many of them have an odd height or width.
std::pair<int, int> transform(ModuleInfo &module) {
  std::pair<int, int> windows = {0, 0};
  Network &network = module.network;
  for (Layer &layer : network.layers) {
    auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
    if (!matrix || !winogradProblem(WinogradForm::F2x2, *matrix, network.constants[matrix->weights],
                                    network.tensors[layer.inputs[0]].dims[3])
                        .empty())
      continue;
    matrix->winograd = WinogradForm::F2x2;
    const auto &y = network.tensors[layer.output].dims;
    ++windows.first;
    windows.second += y[1] % 2 || y[2] % 2;
  }
  for (Command &command : module.program.commands)
    if (auto *conv = std::get_if<ConvCommand>(&command.args)) {
      const auto *matrix = std::get_if<MatrixLayer>(&network.layers[command.layer].spec);
      conv->winograd = matrix ? matrix->winograd : WinogradForm::None;
    }
  return windows;
}

std::map<std::string, Tensor> randomInputs(const Network &network) {
  std::map<std::string, Tensor> inputs;
  std::mt19937_64 random(1);
  for (const TensorInfo &info : network.tensors) {
    if (info.role != TensorRole::Input)
      continue;
    Tensor codes(info.type, {info.dims.begin(), info.dims.end()});
    if (info.type == ElementType::I32)
      for (int32_t &value : codes.mutableValues<int32_t>())
        value = static_cast<int32_t>(random() % 1000);
    else
      std::generate_n(codes.mutableBytes(), codes.byteSize(),
                      [&] { return static_cast<std::byte>(random()); });
    inputs.emplace(info.name, codes);
  }
  return inputs;
}

uint64_t digest(const Tensor &codes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (int64_t i = 0; i < codes.byteSize(); ++i)
    hash = (hash ^ static_cast<uint64_t>(codes.bytes()[i])) * 0x100000001b3;
  return hash;
}

struct Run {
  std::vector<uint64_t> digests; ///< by layer
  RunStatistics statistics;
  double seconds = 0; ///< on this machine
};

absl::StatusOr<Run> run(const PackageModule &module, const Target &target) {
  Run result;
  result.digests.resize(module.info.network.layers.size());
  SimulatorOptions options;
  options.residentConstants = int64_t{1} << 30;
  options.observer = [&](int32_t layer, const Tensor &codes) {
    result.digests[layer] = digest(codes);
  };
  const auto begin = std::chrono::steady_clock::now();
  Simulator simulator(module, target);
  const auto outputs =
      simulator.run(randomInputs(module.info.network), options, &result.statistics);
  if (!outputs.ok())
    return outputs.status();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

/// False if a layer differs.
absl::StatusOr<bool> compare(const PackageModule &module, const Target &target) {
  PackageModule other = module;
  const auto [windows, odd] = transform(other.info);
  const auto direct = run(module, target), winograd = run(other, target);
  if (!direct.ok())
    return direct.status();
  if (!winograd.ok())
    return winograd.status();
  size_t different = 0;
  for (size_t i = 0; i < direct->digests.size(); ++i)
    different += direct->digests[i] != winograd->digests[i];
  std::printf("%s: %zu layers, %d windows (%d of odd size), %zu differ\n",
              module.info.network.name.c_str(), direct->digests.size(), windows, odd, different);
  for (const Run *way : {&*direct, &*winograd}) {
    const RunStatistics &s = way->statistics;
    int64_t array = 0;
    for (const LayerStatistics &layer : s.layers)
      array += layer.arrayCycles;
    std::printf("  %-8s %9.3f GMAC  %9.3f ms  arrays busy %9.3f ms  %8.3f mJ  (%.1f s here)\n",
                way == &*direct ? "direct" : "winograd",
                static_cast<double>(s.multiplyAccumulates) * 1e-9, s.seconds * 1e3,
                static_cast<double>(array) / target.clock * 1e3, s.energy * 1e3, way->seconds);
  }
  return different == 0;
}

int compareAll(int argc, char **argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: winograd-windows PACKAGE [target]\n");
    return 2;
  }
  setKernelThreads(static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  const auto target = loadTarget(argc > 2 ? argv[2] : "mobile");
  const auto package = Package::open(argv[1]);
  for (const absl::Status &status : {target.status(), package.status()})
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
      return 2;
    }
  bool equal = true;
  for (const PackageModule &module : (*package)->modules()) {
    const absl::StatusOr<bool> same = compare(module, *target);
    if (!same.ok()) {
      std::fprintf(stderr, "%s\n", std::string(same.status().message()).c_str());
      return 2;
    }
    equal = equal && *same;
  }
  return equal ? 0 : 1;
}

} // namespace
} // namespace sdopt

int main(int argc, char **argv) { return sdopt::compareAll(argc, argv); }
