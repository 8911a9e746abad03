//===- TargetConstants.cpp - the constants of a target file -----------------===//

#include "compiler/target/TargetConstants.h"

namespace sdopt {

namespace {

constexpr TargetUnit kFrequency[] = {{"hertz", 0, 0}, {"megahertz", 6, 0}, {"gigahertz", 9, 0}};
constexpr TargetUnit kBytes[] = {
    {"bytes", 0, 0}, {"kibibytes", 0, 10}, {"mebibytes", 0, 20}, {"gibibytes", 0, 30}};
constexpr TargetUnit kBandwidth[] = {
    {"bytes_per_second", 0, 0}, {"megabytes_per_second", 6, 0}, {"gigabytes_per_second", 9, 0}};
constexpr TargetUnit kTime[] = {{"seconds", 0, 0}, {"nanoseconds", -9, 0}};
constexpr TargetUnit kSwitchTime[] = {{"seconds", 0, 0}, {"microseconds", -6, 0}};
constexpr TargetUnit kVoltage[] = {{"volts", 0, 0}, {"millivolts", -3, 0}};
constexpr TargetUnit kEnergy[] = {
    {"joules", 0, 0}, {"nanojoules", -9, 0}, {"picojoules", -12, 0}, {"femtojoules", -15, 0}};
constexpr TargetUnit kEnergyPerByte[] = {
    {"joules_per_byte", 0, 0}, {"picojoules_per_byte", -12, 0}, {"picojoules_per_bit", -12, 3}};
constexpr TargetUnit kPower[] = {{"watts", 0, 0}, {"milliwatts", -3, 0}};
constexpr TargetUnit kCount[] = {{"count", 0, 0}};
constexpr TargetUnit kMultipliers[] = {{"multipliers", 0, 0}};
constexpr TargetUnit kTiles[] = {{"tiles", 0, 0}};
constexpr TargetUnit kElementsPerCycle[] = {{"elements_per_cycle", 0, 0}};
constexpr TargetUnit kRate[] = {{"relative_to_a8w8", 0, 0}};

constexpr double kMostBytes = 1ull << 40;
constexpr double kMostSramBytes = (1ull << 31) - 1; // addresses have 31 bits
constexpr double kLeastRate = 1.0 / 256;
constexpr double kMostEnergy = 1e-3; // J for one operation: far above any technology

#define SDOPT_INTEGER(member) IntegerField([](Target &t) -> int64_t & { return t.member; })
#define SDOPT_REAL(member) RealField([](Target &t) -> double & { return t.member; })

const TargetConstant kConstants[] = {
    {"", "clock", kFrequency, SDOPT_REAL(clock), 1e6, 1e11},
    {"array", "count", kCount, SDOPT_INTEGER(array.count), 1, 1024},
    {"array", "rows", kMultipliers, SDOPT_INTEGER(array.rows), 1, 1024},
    {"array", "columns", kMultipliers, SDOPT_INTEGER(array.columns), 1, 1024},
    {"array", "weight_registers", kTiles, SDOPT_INTEGER(array.weightTiles), 1, 2, false, true},
    {"array", "a16w8_rate", kRate, SDOPT_REAL(array.a16w8Rate), kLeastRate, 1},
    {"array", "a16a16_rate", kRate, SDOPT_REAL(array.a16a16Rate), kLeastRate, 1},
    {"array", "sparse_window", kMultipliers, SDOPT_INTEGER(array.sparseWindow), 1, 65536},
    {"vector", "lanes", kElementsPerCycle, SDOPT_INTEGER(vector.lanes), 1, 65536},
    {"decoder", "weights", kElementsPerCycle, SDOPT_INTEGER(decoder.weights), 1, 65536},
    {"decoder", "entropy_lanes", kElementsPerCycle, SDOPT_INTEGER(decoder.lanes), 1, 65536},
    {"sram", "capacity", kBytes, SDOPT_INTEGER(sram.bytes), 1, kMostSramBytes},
    {"sram", "banks", kCount, SDOPT_INTEGER(sram.banks), 1, 65536},
    {"sram", "alignment", kBytes, SDOPT_INTEGER(sram.alignment), 16, 65536, true},
    {"dram", "capacity", kBytes, SDOPT_INTEGER(dram.bytes), 1, kMostBytes},
    {"dram", "bandwidth", kBandwidth, SDOPT_REAL(dram.bandwidth), 1e3, 1e15},
    {"dram", "channels", kCount, SDOPT_INTEGER(dram.channels), 1, 1024, true},
    {"dram", "bank_groups", kCount, SDOPT_INTEGER(dram.bankGroups), 1, 64, true},
    {"dram", "banks_per_group", kCount, SDOPT_INTEGER(dram.banks), 1, 64, true},
    {"dram", "page", kBytes, SDOPT_INTEGER(dram.pageBytes), 1, 65536, true},
    {"dram", "burst", kBytes, SDOPT_INTEGER(dram.burstBytes), 1, 65536, true},
    {"dram", "hit_latency", kTime, SDOPT_REAL(dram.hitLatency), 0, 1e-3},
    {"dram", "miss_latency", kTime, SDOPT_REAL(dram.missLatency), 0, 1e-3},
    {"dram", "conflict_latency", kTime, SDOPT_REAL(dram.conflictLatency), 0, 1e-3},
    {"dram", "same_group_burst", kTime, SDOPT_REAL(dram.groupBurst), 0, 1e-3},
    {"dram", "refresh_interval", kTime, SDOPT_REAL(dram.refreshInterval), 1e-9, 1},
    {"dram", "refresh_time", kTime, SDOPT_REAL(dram.refreshTime), 0, 1},
    {"dram", "refresh_banks", kCount, SDOPT_INTEGER(dram.refreshBanks), 1, 4096},
    {"energy", "mac8", kEnergy, SDOPT_REAL(energy.mac8), 0, kMostEnergy},
    {"energy", "mac16", kEnergy, SDOPT_REAL(energy.mac16), 0, kMostEnergy},
    {"energy", "mac16x16", kEnergy, SDOPT_REAL(energy.mac16x16), 0, kMostEnergy},
    {"energy", "mac_winograd", kEnergy, SDOPT_REAL(energy.macWinograd), 0, kMostEnergy},
    {"energy", "addition", kEnergy, SDOPT_REAL(energy.addition), 0, kMostEnergy},
    {"energy", "vector_element", kEnergy, SDOPT_REAL(energy.vectorElement), 0, kMostEnergy},
    {"energy", "sram", kEnergyPerByte, SDOPT_REAL(energy.sramByte), 0, kMostEnergy},
    {"energy", "dram_read", kEnergyPerByte, SDOPT_REAL(energy.dramReadByte), 0, kMostEnergy},
    {"energy", "dram_write", kEnergyPerByte, SDOPT_REAL(energy.dramWriteByte), 0, kMostEnergy},
    {"energy", "dram_activate", kEnergy, SDOPT_REAL(energy.dramActivate), 0, kMostEnergy},
    {"energy", "leakage", kPower, SDOPT_REAL(energy.leakagePower), 0, 1e4},
    {"energy", "dram_idle", kPower, SDOPT_REAL(energy.dramIdlePower), 0, 1e4},
    {"power", "leakage_slope", kVoltage, SDOPT_REAL(power.leakageSlope), 1e-3, 1e3},
    {"power", "clock_tree", kPower, SDOPT_REAL(power.clockPower), 0, 1e4},
    {"power", "clock_switch", kSwitchTime, SDOPT_REAL(power.clockSwitch), 0, 1},
    {"power", "voltage_switch", kSwitchTime, SDOPT_REAL(power.voltageSwitch), 0, 1},
};

#undef SDOPT_INTEGER
#undef SDOPT_REAL

} // namespace

std::span<const TargetConstant> targetConstants() { return kConstants; }

std::string pathOf(const TargetConstant &constant) {
  std::string section = constant.section;
  return section.empty() ? constant.key : section + "." + constant.key;
}

} // namespace sdopt
