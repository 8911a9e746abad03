#include "compiler/power/PowerModel.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <cmath>

namespace sdopt {
namespace {

bool isAmount(double value) { return std::isfinite(value) && value >= 0; }

} // namespace

double PowerModel::switching(size_t voltage) const {
  const double ratio = points[voltage].voltage / points[nominal].voltage;
  return ratio * ratio;
}

double PowerModel::leakage(size_t voltage) const {
  const double now = points[voltage].voltage, then = points[nominal].voltage;
  return leakagePower * (now / then) * std::exp((now - then) / leakageSlope);
}

double PowerModel::idlePower(size_t voltage, size_t clock) const {
  return leakage(voltage) +
         clockPower * switching(voltage) * (points[clock].clock / points[nominal].clock) +
         dramIdlePower;
}

absl::StatusOr<PowerModel> powerModel(const Target &target) {
  const PowerTarget &power = target.power;
  PowerModel model{.points = power.points,
                   .nominal = power.points.size(),
                   .leakagePower = target.energy.leakagePower,
                   .leakageSlope = power.leakageSlope,
                   .clockPower = power.clockPower,
                   .dramIdlePower = target.energy.dramIdlePower,
                   .clockSwitch = power.clockSwitch,
                   .voltageSwitch = power.voltageSwitch};
  for (size_t i = 0; i < power.points.size(); ++i)
    if (power.points[i].clock == target.clock)
      model.nominal = i;
  if (absl::Status status = checkPowerModel(model); !status.ok())
    return absl::InvalidArgumentError(
        absl::StrCat("target '", target.name, "': ", status.message()));
  return model;
}

absl::Status checkPowerModel(const PowerModel &model) {
  if (model.points.empty())
    return absl::InvalidArgumentError("power model has no operating point; needs at least one");
  if (model.nominal >= model.points.size())
    return absl::InvalidArgumentError(absl::StrCat("power model: nominal point ", model.nominal,
                                                   " is none of ", model.points.size()));
  for (size_t i = 0; i < model.points.size(); ++i) {
    const OperatingPoint before = i ? model.points[i - 1] : OperatingPoint{};
    const OperatingPoint &point = model.points[i];
    if (!std::isfinite(point.voltage) || !std::isfinite(point.clock) ||
        point.voltage <= before.voltage || point.clock <= before.clock)
      return absl::InvalidArgumentError(
          absl::StrCat("operating point ", i, " is ", point.voltage, " V, ", point.clock,
                       " Hz; needs more than ", before.voltage, " V and ", before.clock, " Hz"));
  }
  if (!(model.leakageSlope > 0) || !std::isfinite(model.leakageSlope))
    return absl::InvalidArgumentError(absl::StrCat("power model: leakage slope is ",
                                                   model.leakageSlope, " V; needs more than 0"));
  for (double value : {model.leakagePower, model.clockPower, model.dramIdlePower, model.clockSwitch,
                       model.voltageSwitch})
    if (!isAmount(value))
      return absl::InvalidArgumentError(
          absl::StrCat("power model: a power or switching time is ", value, "; needs at least 0"));
  return absl::OkStatus();
}

absl::Status checkWorkload(const PowerModel &model, const PowerWorkload &workload) {
  if (workload.empty())
    return absl::InvalidArgumentError("workload has no module; needs at least one");
  for (const PowerModule &module : workload) {
    if (module.runs < 1 || module.layers.empty())
      return absl::InvalidArgumentError(absl::StrCat("module '", module.name, "' has ", module.runs,
                                                     " runs of ", module.layers.size(),
                                                     " layers; needs at least one of each"));
    for (const PowerLayer &layer : module.layers) {
      const std::string place =
          absl::StrCat("layer '", layer.name, "' of module '", module.name, "'");
      if (layer.at.size() != model.points.size())
        return absl::InvalidArgumentError(absl::StrCat(place, " has work at ", layer.at.size(),
                                                       " clocks; needs ", model.points.size()));
      for (const ClockedWork &work : layer.at)
        for (double value :
             {work.seconds, work.switched, work.dram, work.switchedPeak, work.dramPeak})
          if (!isAmount(value))
            return absl::InvalidArgumentError(
                absl::StrCat(place, " takes ", value, "; needs at least 0"));
    }
  }
  return absl::OkStatus();
}

double layerEnergy(const PowerModel &model, const PowerLayer &layer, size_t voltage, size_t clock) {
  const ClockedWork &work = layer.at[clock];
  return work.switched * model.switching(voltage) + work.dram +
         work.seconds * model.idlePower(voltage, clock);
}

double layerPower(const PowerModel &model, const PowerLayer &layer, size_t voltage, size_t clock) {
  const double seconds = layer.at[clock].seconds;
  return seconds > 0 ? layerEnergy(model, layer, voltage, clock) / seconds : 0;
}

double layerPeakPower(const PowerModel &model, const PowerLayer &layer, size_t voltage,
                      size_t clock) {
  const ClockedWork &work = layer.at[clock];
  return work.switchedPeak * model.switching(voltage) + work.dramPeak +
         model.idlePower(voltage, clock);
}

SwitchCost switchCost(const PowerModel &model, ClockState from, ClockState to) {
  if (from == to)
    return {};
  const double seconds = from.voltage != to.voltage ? model.voltageSwitch : model.clockSwitch;
  const double leakage = std::max(model.leakage(from.voltage), model.leakage(to.voltage));
  return {seconds, seconds * (leakage + model.dramIdlePower)};
}

PowerLayer layerOfUnits(const PowerModel &model, std::string name,
                        const std::vector<UnitWork> &units, double latencyCycles) {
  PowerLayer layer{std::move(name), {}};
  for (const OperatingPoint &point : model.points) {
    ClockedWork work;
    for (const UnitWork &unit : units) {
      const double busy = std::max(unit.cycles / point.clock, unit.seconds);
      work.seconds = std::max(work.seconds, busy);
      work.switched += unit.switched;
      work.dram += unit.dram;
      if (busy > 0) {
        work.switchedPeak += unit.switched / busy;
        work.dramPeak += unit.dram / busy;
      }
    }
    work.seconds += latencyCycles / point.clock;
    layer.at.push_back(work);
  }
  return layer;
}

} // namespace sdopt
