// From a plan to a program.

#include "absl/strings/str_cat.h"
#include "compiler/schedule/Emitter.h"
#include "compiler/schedule/Synchronize.h"
#include "compiler/schedule/TrafficModel.h"
#include "compiler/schedule/WinogradLayers.h"

namespace sdopt {
namespace {

absl::Status inputProblem(const Network &network, const Plan &plan, const Target &target,
                          const std::vector<int64_t> &constantOffsets, int64_t constantsBytes) {
  if (absl::Status status = checkNetwork(network); !status.ok())
    return status;
  if (absl::Status status = checkWinograd(network, target.array.multiplier); !status.ok())
    return status;
  if (plan.layers.size() != network.layers.size() ||
      plan.offsets.size() != network.tensors.size() ||
      constantOffsets.size() != network.constants.size())
    return absl::InvalidArgumentError(
        absl::StrCat("module '", network.name, "': plan or constants are of another network"));
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const Tiling &t = plan.layers[i].tiling;
    for (int64_t size : {t.height, t.width, t.outputChannels, t.inputChannels, t.buffers})
      if (size < 1)
        return absl::InvalidArgumentError(absl::StrCat("module '", network.name, "': layer '",
                                                       network.layers[i].name, "' has tile size ",
                                                       size, "; needs at least 1"));
    const auto *norm = std::get_if<NormLayer>(&network.layers[i].spec);
    const int64_t channels = network.tensors[network.layers[i].output].dims[3];
    if (norm && t.outputChannels % (channels / norm->groups) != 0)
      return absl::InvalidArgumentError(
          absl::StrCat("module '", network.name, "': layer '", network.layers[i].name, "' cuts ",
                       norm->groups, " groups into tiles of ", t.outputChannels, " channels"));
    const int64_t needed = estimate(shapeOf(network, network.layers[i]), t, target).cost.sramBytes;
    if (needed > target.sram.bytes)
      return absl::ResourceExhaustedError(
          absl::StrCat("module '", network.name, "': layer '", network.layers[i].name, "' takes ",
                       needed, " bytes of SRAM; there are ", target.sram.bytes));
  }
  for (size_t i = 0; i < network.constants.size(); ++i) {
    const int64_t bytes = packedBytes(network, plan, static_cast<ConstantId>(i));
    if (constantOffsets[i] < 0 || bytes > constantsBytes ||
        constantOffsets[i] > constantsBytes - bytes)
      return absl::InvalidArgumentError(absl::StrCat(
          "module '", network.name, "': constant '", network.constants[i].name, "' of ", bytes,
          " bytes at ", constantOffsets[i], " lies outside ", constantsBytes, " bytes"));
  }
  return absl::OkStatus();
}

} // namespace

absl::StatusOr<Program> expand(const Network &network, const Plan &plan, const Target &target,
                               const std::vector<int64_t> &constantOffsets,
                               int64_t constantsBytes) {
  if (absl::Status status = inputProblem(network, plan, target, constantOffsets, constantsBytes);
      !status.ok())
    return status;
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < network.layers.size(); ++i)
    sizes.push_back(estimate(shapeOf(network, network.layers[i]), plan.layers[i].tiling, target)
                        .cost.sramBytes);
  Program program;
  program.arenaBytes = plan.arenaBytes;
  program.constantsBytes = constantsBytes;
  // Layers take turns at the bottom and at the top, so that one can load while the one before ends.
  int64_t top = 0;
  for (size_t i = 0; i < sizes.size(); ++i)
    top = std::max(top, sizes[i] + (i > 0 ? sizes[i - 1] : 0));
  top = std::min(top, target.sram.bytes / target.sram.alignment * target.sram.alignment);
  program.sramBytes = top;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const SramOffset base = i % 2 == 0 ? 0 : top - sizes[i];
    Emitter(network, plan, target, constantOffsets, static_cast<int32_t>(i), base, program.commands)
        .run();
  }
  program.phaseEnds = phaseEnds(network, program.commands);
  for (const CommandRange &range : phasesOf(program))
    synchronize(std::span(program.commands).subspan(range.begin, range.end - range.begin));
  return program;
}

} // namespace sdopt
