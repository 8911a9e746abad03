//===- Leftovers.h - bytes that layers leave in SRAM ------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_SIMULATOR_LEFTOVERS_H
#define SDOPT_COMPILER_SIMULATOR_LEFTOVERS_H

#include "compiler/package/CommandOperands.h"
#include "compiler/package/Package.h"
#include "compiler/schedule/ResidentTensors.h"

#include <map>
#include <set>
#include <vector>

namespace sdopt {

/// Which stretches of commands leave bytes in SRAM that another one reads, other than results that
/// are resident for it.
class Leftovers {
public:
  /// Both must outlive this.
  Leftovers(const ModuleInfo &module, const ResidentTensors &residents);

  /// The next command, of a stretch of commands of one group of layers, which is named by its
  /// first.
  void add(const Command &command, size_t stretch);
  bool isRead(size_t stretch) const { return read_.contains(stretch); }

private:
  struct Piece {
    int64_t end;
    size_t stretch;
  };
  /// A resident input of a layer.
  struct Taken {
    SramSpan span;
    size_t leader; ///< of the group that makes it
  };

  void read(const SramOperand &operand, size_t stretch, const std::vector<Taken> &taken);
  void write(int64_t offset, int64_t bytes, size_t stretch);
  size_t leader(size_t stretch) const;
  /// The first piece from `at` on; none goes across it.
  std::map<int64_t, Piece>::iterator cut(int64_t at);

  const ModuleInfo &module_;
  std::vector<std::vector<Taken>> taken_; ///< by layer
  std::map<int64_t, Piece> pieces_;       ///< by first byte
  std::set<size_t> read_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_LEFTOVERS_H
