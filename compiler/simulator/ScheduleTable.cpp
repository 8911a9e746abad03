//===- ScheduleTable.cpp - the time path as a table ---------------------------===//

#include "compiler/simulator/ScheduleTable.h"

#include "absl/strings/str_cat.h"
#include "compiler/simulator/Simulator.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

/// A timestep as the module takes it, for all of a call's rows.
absl::StatusOr<Tensor> timestepInput(const TensorInfo &info, double timestep) {
  const int64_t count = elementCount(info.logicalShape);
  if (isFixedPoint(info)) {
    const std::vector<float> values(count, static_cast<float>(timestep));
    return quantizeInput(info, Tensor::of<float>(info.logicalShape, values));
  }
  if (timestep != std::floor(timestep))
    return absl::InvalidArgumentError(absl::StrCat(
        "input '", info.name, "' takes whole timesteps; the scheduler has ", timestep));
  const std::vector<int64_t> values(count, static_cast<int64_t>(timestep));
  return quantizeInput(info, Tensor::of<int64_t>(info.logicalShape, values));
}

} // namespace

absl::StatusOr<ScheduleTable> scheduleTable(const PackageModule &module, const Target &target,
                                            std::span<const double> timesteps) {
  ScheduleTable table;
  const Network &network = module.info.network;
  const TensorId input = scheduleInput(network);
  if (input == kNone || scheduleRowBytes(network) == 0)
    return table;
  const TensorInfo &info = network.tensors[input];
  Simulator simulator(module, target);
  for (const double timestep : timesteps) {
    absl::StatusOr<Tensor> codes = timestepInput(info, timestep);
    if (!codes.ok())
      return codes.status();
    const int32_t code = codes->values<int32_t>()[0];
    if (std::ranges::find(table.timesteps, code) != table.timesteps.end())
      continue;
    const auto ran = simulator.run({{info.name, *std::move(codes)}}, {.first = Phase::Schedule,
                                                                      .last = Phase::Schedule,
                                                                      .timing = false,
                                                                      .runSchedule = true,
                                                                      .wholeLayers = true});
    if (!ran.ok())
      return ran.status();
    const std::vector<std::byte> row = simulator.kept(Phase::Schedule);
    table.timesteps.push_back(code);
    table.rows.insert(table.rows.end(), row.begin(), row.end());
  }
  return table;
}

} // namespace sdopt
