//===- NvdlaMachine.h - the layers of the sheet on our machine --*- C++ -*-===//
//
// The layers of NvdlaSheet.h, planned, expanded to commands and timed on a target.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TESTS_BENCHMARK_NVDLAMACHINE_H
#define SDOPT_TESTS_BENCHMARK_NVDLAMACHINE_H

#include "absl/status/statusor.h"
#include "compiler/simulator/Simulator.h"
#include "compiler/target/Target.h"
#include "tests/benchmark/NvdlaSheet.h"

namespace sdopt {

/// What the sheet knows of a target.
SheetMachine machineOf(const Target &target);

/// The target with the multipliers, SRAM and bandwidth of `machine`: fewer arrays, then arrays of
/// fewer columns and rows.
Target targetOf(Target target, const SheetMachine &machine);

struct MachineCost {
  int64_t cycles = 0, arrayCycles = 0, dramCycles = 0; ///< the latter two: busy
  int64_t dramBytes = 0;
  bool winograd = false;
  Bound bound = Bound::Latency;
};

/// What the machine is given.
enum class Lowering : uint8_t {
  /// The layers as the sheet stores them, in the order of loops that it takes: strides folded into
  /// channels, 16 weights for 9 of every 3x3 window, additions fused. Tiles are searched for.
  Sheet,
  /// The layers as this compiler has them: additions and pooling by themselves, Winograd where it
  /// is faster, everything searched for.
  Own
};

/// sheetResNet50() or resNet50(), each layer alone. What follows a layer counts with it: additions
/// and pooling of Own. Nothing is pooled in Sheet.
absl::StatusOr<std::vector<MachineCost>> machineCosts(const Target &target, Lowering lowering);

/// Cycles of all layers of Own in one program.
absl::StatusOr<int64_t> networkCycles(const Target &target);

} // namespace sdopt

#endif // SDOPT_TESTS_BENCHMARK_NVDLAMACHINE_H
