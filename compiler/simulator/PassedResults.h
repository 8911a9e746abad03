//===- PassedResults.h - results that never go to DRAM ----------*- C++ -*-===//
//
// For observers of a run: collects the results that joined layers take from SRAM and puts them
// where their tensors have their place in the arena, which no command touches.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SIMULATOR_PASSEDRESULTS_H
#define SDOPT_COMPILER_SIMULATOR_PASSEDRESULTS_H

#include "compiler/package/Package.h"
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

  /// The command has been executed; its operands are still there.
  void note(const Command &command, const MemoryImages &memory);

private:
  /// Codes [rows][channels] of one tile; `half`: of the right half of the channels.
  struct Part {
    std::vector<std::byte> codes;
    bool half = false;
  };
  void take(size_t layer, SramOffset at, int64_t bytes, bool half, const MemoryImages &memory);
  void place(const DmaStore &store, size_t layer, const MemoryImages &memory);

  const ModuleInfo &module_;
  std::vector<bool> isStored_;
  std::vector<size_t> leaders_;
  std::vector<std::deque<Part>> parts_; ///< by layer, of tiles whose last store has not come
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_PASSEDRESULTS_H
