//===- Simulator.h - the reference NPU --------------------------*- C++ -*-===//
//
// Runs a module's commands on byte-exact SRAM and DRAM images, tile by tile, in the order that the
// queues and semaphores allow, and models cycles, DRAM traffic, row-buffer behaviour and energy.
// Values never depend on the timing model. No MLIR.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SIMULATOR_SIMULATOR_H
#define SDOPT_COMPILER_SIMULATOR_SIMULATOR_H

#include "absl/status/statusor.h"
#include "compiler/package/Package.h"

#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace sdopt {

/// What bounded a layer: the largest of its four busy times, or Latency if none exceeds half of it.
enum class Bound : uint8_t { Array = 0, Vector = 1, Dram = 2, Latency = 3 };
const char *name(Bound bound);

struct LayerStatistics {
  int64_t cycles =
      0; ///< from its first command's start to its last end, minus overlap with the layer before
  int64_t firstCycle = 0; ///< of those, from the begin of its phase
  int64_t arrayCycles = 0, vectorCycles = 0, dmaInCycles = 0, dmaOutCycles = 0; ///< busy
  int64_t dramReadBytes = 0, dramWriteBytes = 0;
  int64_t multiplyAccumulates = 0;
  int64_t skippedMultiplies = 0; ///< with weights of 0, not among the former
  int64_t vectorElements = 0;    ///< times passes
  double energy = 0;             ///< J, without leakage and idle power
  Bound bound = Bound::Latency;
};

struct RunStatistics {
  int64_t cycles = 0;
  double seconds = 0;
  int64_t dramReadBytes = 0, dramWriteBytes = 0;
  int64_t dramActivations = 0;
  int64_t sramPeakBytes = 0;
  int64_t multiplyAccumulates = 0;
  int64_t skippedMultiplies = 0;
  double energy = 0; ///< J, everything
  /// Cycles that the multiplications take at the peak of their rates, and the elements on all
  /// lanes.
  double arrayFloor = 0, vectorFloor = 0;
  std::vector<LayerStatistics> layers; ///< parallel to the module's layers
};

/// Start and end of one command, for the trace. Cycles.
struct TraceEvent {
  int32_t command = 0;
  int64_t begin = 0, end = 0;
  /// When its unit works: a transfer waits for the bus before, and for its latency after.
  int64_t workBegin = 0, workEnd = 0;
};

struct SimulatorOptions {
  /// The phases to run. Those before `first` must have left their bytes: by an earlier run, or by
  /// restore(). Results come with the last phase.
  Phase first = Phase::Prompt, last = Phase::Step;
  const IntegerKernels *kernels = nullptr; ///< null: fastKernels()
  bool timing = true;
  /// Runs the schedule phase even if the package has what it leaves.
  bool runSchedule = false;
  /// False: commands are timed but not executed, and no result is given: cycles, traffic and energy
  /// without the arithmetic. Token ids count as 0.
  bool values = true;
  /// Layers that amount to one product (WholeLayers.h) are computed at once, in the order of the
  /// program: the same outputs several times faster, from a program that checkProgram accepts, as
  /// Package::open makes sure of. Not where a trace is asked for or token ids decide about time.
  bool wholeLayers = false;
  /// Mapped constants stay in memory up to about this, or less under a memory limit; more of them
  /// are read in again by the next run.
  int64_t residentConstants = std::numeric_limits<int64_t>::max();
  /// Called after a layer's last command with its output codes, packed [n,h,w,c] (for --verify).
  /// Layers whose results are passed on in SRAM come with the last one of their group.
  std::function<void(int32_t layer, const Tensor &codes)> observer = nullptr;
  std::vector<TraceEvent> *trace = nullptr;
};

/// A module ready to run: keeps its DRAM arena and SRAM between runs. With buckets of timesteps,
/// the program of the timestep among the inputs runs, whatever phases are asked for; all use one
/// arena.
class Simulator {
public:
  Simulator(const PackageModule &module, const Target &target);
  ~Simulator();

  /// Codes in, codes out, by tensor name; shape is the tensor's [n,h,w,c] dims, element type its
  /// storage type. All inputs that the phases read are needed. Without values, inputs are not
  /// looked at.
  absl::StatusOr<std::map<std::string, Tensor>> run(const std::map<std::string, Tensor> &inputs,
                                                    const SimulatorOptions &options = {},
                                                    RunStatistics *statistics = nullptr);

  /// What a phase has left for later ones (keptTensors), one after the other, and back. Another
  /// run of an earlier phase may overwrite it. The module must have run.
  std::vector<std::byte> kept(Phase phase) const;
  void restore(Phase phase, std::span<const std::byte> bytes);
  /// What either takes on the device: a copy within DRAM.
  RunStatistics copyCost(Phase phase) const;

private:
  struct State;
  /// That runs such inputs.
  absl::StatusOr<State *> stateFor(const std::map<std::string, Tensor> &inputs,
                                   const SimulatorOptions &options) const;
  std::vector<std::unique_ptr<State>> states_; ///< of the module and its buckets of timesteps
};

/// Is the input read by a layer of these phases?
bool isRead(const Network &network, TensorId input, Phase first, Phase last);

/// Adds cycles, traffic and energy of runs one after the other, layer by layer.
void addTo(RunStatistics &sum, const RunStatistics &run);

/// 32-bit numbers with a scale are real numbers in fixed point, such as timesteps with fractions.
bool isFixedPoint(const TensorInfo &info);

/// Host side of a module's boundary, docs/spec.md `sd.quantize` / `sd.dequantize`: real tensors in
/// their ONNX shape to codes and back. F32 inputs are quantized round half up and clamped; I64
/// inputs become I32.
absl::StatusOr<Tensor> quantizeInput(const TensorInfo &info, const Tensor &value);
absl::StatusOr<Tensor> dequantizeOutput(const TensorInfo &info, const Tensor &codes);

/// run() with real tensors on both sides.
absl::StatusOr<std::map<std::string, Tensor>> runModule(Simulator &simulator,
                                                        const PackageModule &module,
                                                        const std::map<std::string, Tensor> &inputs,
                                                        const SimulatorOptions &options = {},
                                                        RunStatistics *statistics = nullptr);

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_SIMULATOR_H
