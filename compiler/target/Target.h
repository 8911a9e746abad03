//===- Target.h - the NPU that is compiled for ------------------*- C++ -*-===//
//
// Read from a YAML file (or a preset of that form); every constant there has a unit in its key and
// a `source`. Nothing about the machine is a constant in code.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_TARGET_TARGET_H
#define SDOPT_COMPILER_TARGET_TARGET_H

#include "absl/status/statusor.h"

#include <cstdint>
#include <string>
#include <vector>

namespace sdopt {

/// Bits of the two sides of a product, with the sign.
struct MultiplierTarget {
  int64_t codes = 8;   ///< of an activation, or a sum of them
  int64_t weights = 8; ///< of a weight, or a sum of them
};

/// Systolic arrays: `count` arrays of rows x columns multipliers, int8 x int8 at least.
struct ArrayTarget {
  int64_t count = 1;
  int64_t rows = 32;    ///< input channels
  int64_t columns = 32; ///< output channels
  /// Weight tiles that the registers of an array hold, 1 or 2: with 2 the next one comes while the
  /// array multiplies.
  int64_t weightTiles = 1;
  double a16w8Rate = 0.5;   ///< relative to int8 x int8
  double a16a16Rate = 0.25; ///< attention products on 16-bit values
  int64_t sparseWindow =
      16; ///< input channels among which a row finds the next weight that is not 0
  MultiplierTarget multiplier = {}; ///< wide ones take the sums of Winograd's transforms
};

struct VectorTarget {
  int64_t lanes = 64; ///< elements per cycle, all units together
};

/// Decodes stored weights between DRAM and SRAM.
struct DecoderTarget {
  int64_t weights = 32; ///< per cycle
  int64_t lanes = 16;   ///< of the entropy decoder: codes per cycle, each from a state of its own
};

struct SramTarget {
  int64_t bytes = 512 * 1024;
  int64_t banks = 16;
  int64_t alignment = 64; ///< of every buffer, bytes
};

/// Low to high address fields of the mapping.
enum class DramField : uint8_t { Burst, Channel, BankGroup, Column, Bank, Row };

struct DramTarget {
  std::string kind; ///< "LPDDR5-6400", for reports
  int64_t bytes = 0;
  double bandwidth = 0; ///< bytes per second, peak of all channels
  int64_t channels = 1;
  int64_t bankGroups = 1;
  int64_t banks = 8; ///< per bank group
  int64_t pageBytes = 2048;
  int64_t burstBytes = 32;
  double hitLatency = 0;      ///< seconds, row open
  double missLatency = 0;     ///< seconds, bank closed
  double conflictLatency = 0; ///< seconds, other row open
  double groupBurst = 0;      ///< seconds between bursts of one bank group; 0: they don't wait
  double refreshInterval = 1; ///< seconds between refreshes of a channel
  double refreshTime = 0;     ///< seconds that one takes
  int64_t refreshBanks = 1;   ///< that one closes
  std::vector<DramField> mapping;
};

/// Joules.
struct EnergyTarget {
  double mac8 = 0;          ///< one int8 x int8 multiply-accumulate
  double mac16 = 0;         ///< int16 x int8
  double mac16x16 = 0;      ///< int16 x int16
  double macWinograd = 0;   ///< one product of transformed int8 codes and weights, accumulated
  double addition = 0;      ///< one 32-bit addition of a transform
  double vectorElement = 0; ///< one element through the vector unit
  double sramByte = 0;      ///< one byte read or written
  double dramReadByte = 0;
  double dramWriteByte = 0;
  double dramActivate = 0;  ///< one row activation and precharge
  double leakagePower = 0;  ///< W, at nominal voltage
  double dramIdlePower = 0; ///< W
};

/// A voltage and the highest clock at which the NPU works with it.
struct OperatingPoint {
  double voltage = 0; ///< V
  double clock = 0;   ///< Hz
};

/// Clocks and voltages to choose from. Energies and powers of EnergyTarget are at the point of
/// Target::clock.
struct PowerTarget {
  std::vector<OperatingPoint> points; ///< ascending; one of them has Target::clock
  double leakageSlope = 0;            ///< V over which leakage current grows e-fold
  double clockPower = 0;              ///< W, switched in every cycle whatever runs
  double clockSwitch = 0;             ///< seconds of standstill
  double voltageSwitch = 0;           ///< seconds of standstill
};

struct Target {
  std::string name;
  double clock = 0; ///< Hz
  ArrayTarget array;
  VectorTarget vector;
  DecoderTarget decoder;
  SramTarget sram;
  DramTarget dram;
  EnergyTarget energy;
  PowerTarget power;
  /// One line for each constant whose source starts with "assumed", in a fixed order, for reports:
  /// "energy.dram_read: assumed: ...". Not part of the canonical form.
  std::vector<std::string> assumptions;
  /// BLAKE3 (hex) of the canonical form: two files that describe the same machine have one digest.
  std::string digest;
};

/// A preset name ("edge-tiny", "mobile", "laptop") or the path of a YAML file. Errors carry file,
/// line and column.
absl::StatusOr<Target> loadTarget(const std::string &nameOrPath);

/// The same from text; `origin` names it in errors.
absl::StatusOr<Target> parseTarget(const std::string &text, const std::string &origin);

/// Names of the built-in presets, sorted.
std::vector<std::string> targetPresets();
/// The YAML text of a preset (they are compiled in from compiler/target/presets/*.yaml).
absl::StatusOr<std::string> targetPresetText(const std::string &name);

/// Canonical text of a target: the same for equal machines, parseable by parseTarget; stored in
/// packages.
std::string canonicalText(const Target &target);

} // namespace sdopt

#endif // SDOPT_COMPILER_TARGET_TARGET_H
