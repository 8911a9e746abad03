//===- PowerModel.h - watts and joules by voltage and clock -----*- C++ -*-===//
//
//   P = sum(activity x C) V^2 f + leakage(V) + P_dram
//   leakage(V) = leakage(V0) (V / V0) exp((V - V0) / slope)
//
// Activities are events (multiplications, SRAM bytes, vector elements), so what they switch is
// given as the energy E0 that they take at the nominal voltage V0: E0 (V / V0)^2 at V, whatever the
// clock. DRAM has a supply and a clock of its own: its accesses cost the same everywhere, its idle
// power runs on. The whole NPU is in one domain of voltage and clock.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_POWER_POWERMODEL_H
#define SDOPT_COMPILER_POWER_POWERMODEL_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/target/Target.h"

#include <cstdint>
#include <string>
#include <vector>

namespace sdopt {

/// At the voltage of a point its clock and those of all points before it can be chosen.
struct PowerModel {
  std::vector<OperatingPoint> points; ///< voltages and clocks ascending
  size_t nominal = 0;                 ///< the point that energies and powers here are of
  double leakagePower = 0;            ///< W
  double leakageSlope = 1;            ///< V over which leakage current grows e-fold
  double clockPower = 0;              ///< W, switched in every cycle, whatever runs
  double dramIdlePower = 0;           ///< W, at every point
  double clockSwitch = 0;             ///< s of standstill when the clock changes
  double voltageSwitch = 0;           ///< s, when the voltage changes, with or without the clock

  /// Of energy switched per event, relative to the nominal voltage.
  double switching(size_t voltage) const;
  /// W.
  double leakage(size_t voltage) const;
  /// W that are drawn without any work: leakage, clock, idle DRAM.
  double idlePower(size_t voltage, size_t clock) const;
};

/// The target's constants; its clock is the nominal one. INVALID_ARGUMENT if it has no points or
/// none with its clock.
absl::StatusOr<PowerModel> powerModel(const Target &target);

/// INVALID_ARGUMENT if there is no point, one does not ascend, or a number is negative or not
/// finite.
absl::Status checkPowerModel(const PowerModel &model);

/// What a layer takes at one clock. Whether two layers overlap or not, each instant is in one of
/// them: its work is what the NPU does in its seconds.
struct ClockedWork {
  double seconds = 0;
  double switched = 0;     ///< J at the nominal voltage: arrays, vector unit, SRAM
  double dram = 0;         ///< J of DRAM accesses
  double switchedPeak = 0; ///< W at the nominal voltage, all units that are busy at once
  double dramPeak = 0;     ///< W
};

struct PowerLayer {
  std::string name;
  std::vector<ClockedWork> at; ///< by clock, parallel to PowerModel::points
};

/// A program of layers, run so many times in a row with the same voltage and clocks.
struct PowerModule {
  std::string name;
  int64_t runs = 1;
  std::vector<PowerLayer> layers;
};

/// What one picture takes, in order. It begins and ends at the nominal point.
using PowerWorkload = std::vector<PowerModule>;

/// INVALID_ARGUMENT names the module or layer that has no runs, no layers, not one entry for each
/// clock, or a number that is negative or not finite.
absl::Status checkWorkload(const PowerModel &model, const PowerWorkload &workload);

/// J of one run of the layer.
double layerEnergy(const PowerModel &model, const PowerLayer &layer, size_t voltage, size_t clock);
/// W, mean over the layer; 0 if it takes no time.
double layerPower(const PowerModel &model, const PowerLayer &layer, size_t voltage, size_t clock);
/// W, when everything that the layer uses is busy.
double layerPeakPower(const PowerModel &model, const PowerLayer &layer, size_t voltage,
                      size_t clock);

/// Where the NPU stands: indices into PowerModel::points.
struct ClockState {
  size_t voltage = 0, clock = 0;
  friend bool operator==(const ClockState &, const ClockState &) = default;
};
/// Time and energy of going from one to the other: the NPU stands still, leaks at the higher
/// voltage, and DRAM idles.
struct SwitchCost {
  double seconds = 0, energy = 0;
};
SwitchCost switchCost(const PowerModel &model, ClockState from, ClockState to);

/// Work of a layer at one clock, split by what bounds it.
struct UnitWork {
  double cycles = 0;   ///< busy, of the NPU's clock
  double seconds = 0;  ///< busy, whatever the clock (the DRAM bus)
  double switched = 0; ///< J at the nominal voltage
  double dram = 0;     ///< J
};
/// A layer of which only the work of its units is known: it takes as long as the unit that is busy
/// longest, and `latencyCycles` more in which none is.
PowerLayer layerOfUnits(const PowerModel &model, std::string name,
                        const std::vector<UnitWork> &units, double latencyCycles);

} // namespace sdopt

#endif // SDOPT_COMPILER_POWER_POWERMODEL_H
