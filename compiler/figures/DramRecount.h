//===- DramRecount.h - bus time of transfers, burst by burst ----*- C++ -*-===//
//
// docs/isa.md, "DRAM", written a second time from that text: every burst of a transfer is looked up
// by itself. Work is proportional to the bytes.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_FIGURES_DRAMRECOUNT_H
#define SDOPT_COMPILER_FIGURES_DRAMRECOUNT_H

#include "compiler/target/Target.h"

#include <array>
#include <cstdint>
#include <map>
#include <vector>

namespace sdopt {

class DramRecount {
public:
  /// Physical bytes [first, first + bytes).
  struct Run {
    int64_t first = 0, bytes = 0;
  };
  struct Result {
    int64_t cycles = 0, bursts = 0, activations = 0;
  };

  explicit DramRecount(const Target &target);

  /// Closes all rows.
  void close();
  /// The runs of one command, in order.
  Result transfer(const std::vector<Run> &runs);
  /// Cycles after the transfer until a command ends.
  int64_t latency() const { return latency_; }

private:
  /// Channel, bank group, bank, row.
  using Page = std::array<int64_t, 4>;
  Page pageOf(int64_t burst) const;
  void visit(const Page &page, int64_t bursts, Result &result);

  /// A field of the address in bursts, low to high, and how many values it has; 0: any.
  struct Field {
    DramField name;
    int64_t values;
  };
  std::vector<Field> fields_;
  int64_t burstBytes_, columns_;
  int64_t belowColumn_ = 1; ///< values of all fields below the column
  int64_t burstTicks_, missTicks_, conflictTicks_, latency_;
  std::map<std::array<int64_t, 3>, int64_t> openRows_; ///< by channel, bank group, bank
  struct Channel {
    int64_t ticks = 0, before = 0;
    std::array<int64_t, 3> bank = {-1, -1, -1};
  };
  std::map<int64_t, Channel> channels_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_FIGURES_DRAMRECOUNT_H
