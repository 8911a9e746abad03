// From a plan to a program.

#include "absl/strings/str_cat.h"
#include "compiler/schedule/Emitter.h"
#include "compiler/schedule/JoinedLayers.h"
#include "compiler/schedule/ResidentTensors.h"
#include "compiler/schedule/Synchronize.h"
#include "compiler/schedule/TrafficModel.h"
#include "compiler/schedule/WinogradLayers.h"

namespace sdopt {
namespace {

/// Bytes of SRAM that each layer takes; a joined one none of its own.
std::vector<int64_t> sramSizes(const ResidentTensors &residents, const Plan &plan,
                               const Target &target) {
  std::vector<int64_t> sizes(plan.layers.size(), 0);
  for (size_t i = 0; i < sizes.size(); i = groupEnd(plan, i))
    sizes[i] = estimate(residents.shape(i), plan.layers[i].tiling, target).cost.sramBytes;
  return sizes;
}

int64_t alignedSram(const Target &target) {
  return target.sram.bytes / target.sram.alignment * target.sram.alignment;
}

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
    if (std::holds_alternative<MatrixLayer>(network.layers[i].spec))
      if (const std::string wrong =
              winogradTilingProblem(std::get<MatrixShape>(shapeOf(network, network.layers[i])), t);
          !wrong.empty())
        return absl::InvalidArgumentError(absl::StrCat("module '", network.name, "': layer '",
                                                       network.layers[i].name, "' ", wrong));
    const auto *norm = std::get_if<NormLayer>(&network.layers[i].spec);
    const int64_t channels = network.tensors[network.layers[i].output].dims[3];
    if (norm && !plan.layers[i].joined && t.outputChannels % (channels / norm->groups) != 0)
      return absl::InvalidArgumentError(
          absl::StrCat("module '", network.name, "': layer '", network.layers[i].name, "' cuts ",
                       norm->groups, " groups into tiles of ", t.outputChannels, " channels"));
  }
  if (const std::string wrong = joinProblem(network, plan); !wrong.empty())
    return absl::InvalidArgumentError(absl::StrCat("module '", network.name, "': ", wrong));
  const ResidentTensors residents(network, plan);
  if (const std::string wrong = residents.problem(target.sram.bytes); !wrong.empty())
    return absl::InvalidArgumentError(absl::StrCat("module '", network.name, "': ", wrong));
  const std::vector<int64_t> sizes = sramSizes(residents, plan, target);
  for (size_t i = 0; i < sizes.size(); ++i)
    if (const int64_t left = residents.gap(i, target.sram.bytes, target.sram.alignment).bytes();
        sizes[i] > left)
      return absl::ResourceExhaustedError(absl::StrCat("module '", network.name, "': layer '",
                                                       network.layers[i].name, "' takes ", sizes[i],
                                                       " bytes of SRAM; there are ", left));
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
  const JoinedLayers joined(network);
  const ResidentTensors residents(network, plan);
  const std::vector<int64_t> sizes = sramSizes(residents, plan, target);
  Program program;
  program.arenaBytes = plan.arenaBytes;
  program.constantsBytes = constantsBytes;
  // Layers take turns at the bottom and at the top, so that one can load while the one before ends.
  int64_t top = residents.any() ? alignedSram(target) : 0, before = 0;
  for (size_t i = 0; i < sizes.size(); i = groupEnd(plan, i)) {
    top = std::max(top, sizes[i] + before);
    before = sizes[i];
  }
  top = std::min(top, alignedSram(target));
  program.sramBytes = top;
  bool isAtTop = false;
  for (size_t i = 0; i < network.layers.size(); i = groupEnd(plan, i), isAtTop = !isAtTop) {
    const SramSpan gap = residents.gap(i, top, target.sram.alignment);
    Emitter(network, joined, residents, plan, target, constantOffsets, static_cast<int32_t>(i),
            isAtTop ? gap.end - sizes[i] : gap.begin, program.commands)
        .run();
  }
  program.phaseEnds = phaseEnds(network, program.commands);
  for (const CommandRange &range : phasesOf(program))
    synchronize(std::span(program.commands).subspan(range.begin, range.end - range.begin));
  return program;
}

} // namespace sdopt
