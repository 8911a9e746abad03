//===- Sweep.h - one number of the target, several values -------*- C++ -*-===//
//
//   --sweep sram=512KiB..8MiB      512 KiB, 1 MiB, 2 MiB, 4 MiB, 8 MiB
//   --sweep sram=512KiB,3MiB
//   --sweep dram_bandwidth=12.8GB/s..51.2GB/s
//   --sweep arrays=1..8
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PIPELINE_SWEEP_H
#define SDOPT_COMPILER_PIPELINE_SWEEP_H

#include "absl/status/statusor.h"
#include "compiler/target/Target.h"

#include <string>
#include <vector>

namespace sdopt {

/// Which number of the target.
enum class SweepField : uint8_t { Sram, Dram, DramBandwidth, Arrays, Lanes };
const char *name(SweepField field);

struct Sweep {
  SweepField field = SweepField::Sram;
  std::vector<double> values; ///< ascending; bytes, bytes per second, or how many
};

/// INVALID_ARGUMENT quotes the text, says what is wrong and what is needed.
absl::StatusOr<Sweep> parseSweep(const std::string &text);

/// "512 KiB", "51.2 GB/s", "4".
std::string valueText(SweepField field, double value);

/// The target with that value; INVALID_ARGUMENT if no target file could have it.
absl::StatusOr<Target> targetWith(const Target &target, SweepField field, double value);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_SWEEP_H
