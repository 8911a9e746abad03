//===- PassedResults.h - results that never go to DRAM ----------*- C++ -*-===//
//
// For observers of a run: collects the results that joined layers take from SRAM, and those that
// are resident there.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SIMULATOR_PASSEDRESULTS_H
#define SDOPT_COMPILER_SIMULATOR_PASSEDRESULTS_H

#include "compiler/package/Package.h"
#include "compiler/schedule/ResidentTensors.h"
#include "compiler/simulator/CommandExecution.h"

#include <deque>
#include <vector>

namespace sdopt {

class PassedResults {
public:
  explicit PassedResults(const ModuleInfo &module);

  /// Does the result of the layer stay in SRAM?
  bool isPassedOn(size_t layer) const { return !isStored_[layer]; }
  /// First and last layer of the group that a layer is of.
  size_t leader(size_t layer) const { return leaders_[layer]; }
  bool isLast(size_t layer) const {
    return layer + 1 == leaders_.size() || leaders_[layer + 1] != leaders_[layer];
  }

  /// A result that stays in SRAM, once all commands that make it have been executed; one that the
  /// next layer takes tile by tile, once those of its group have.
  Tensor result(size_t layer) const;

  /// The command has been executed; its operands are still there.
  void note(const Command &command, const MemoryImages &memory);

private:
  /// Codes [rows][channels] of one tile; `half`: of the right half of the channels.
  struct Part {
    std::vector<std::byte> codes;
    bool half = false;
  };
  void take(size_t layer, SramOffset at, int64_t bytes, bool half, const MemoryImages &memory);
  void takeResident(const Command &command, size_t layer, const MemoryImages &memory);
  void takeOperands(const Command &command, size_t layer, const MemoryImages &memory);
  /// Codes of a tile of the last layer of a group, as ranges of elements of its result.
  struct Range {
    int64_t first, count;
  };
  std::vector<Range> storedRanges(const DmaStore &store, size_t layer) const;
  std::vector<Range> residentRanges(const Command &command, size_t layer) const;
  void place(const std::vector<Range> &ranges, size_t layer);

  const ModuleInfo &module_;
  const ResidentTensors residents_;
  std::vector<bool> isStored_;
  std::vector<size_t> leaders_;
  std::vector<std::deque<Part>> parts_;       ///< by layer, of tiles whose last result has not come
  std::vector<std::vector<std::byte>> codes_; ///< by layer, of those that tiles pass on
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_PASSEDRESULTS_H
