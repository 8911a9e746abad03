//===- DramModel.h - row buffers and bus time of DRAM -----------*- C++ -*-===//
//
// Addresses are split into burst, channel, bank group, column, bank and row as the target's mapping
// says. Each bank keeps one row open (open-page policy): an access to the open row is a hit, to a
// closed bank a miss (one activation), to another row a conflict (precharge and activation).
//
// Time of a transfer, for each channel: bursts at the channel's share of the peak bandwidth, plus
// the activation time that is exposed: the activation of a bank overlaps the transfer before it if
// that one is in another bank of the channel. The transfer takes as long as its busiest channel. A
// run of contiguous bytes costs whole bursts.
//
// Bursts of one bank group follow each other no faster than the target's groupBurst. A page's
// bursts wait for that unless the mapping has the bank groups below the columns, so that bursts go
// from group to group. Refresh takes the share refreshTime / refreshInterval of as many banks of a
// channel as it closes; transfers are in order, so they take that much longer on average.
//
// Work is proportional to the pages touched, not to the bytes.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SIMULATOR_DRAMMODEL_H
#define SDOPT_COMPILER_SIMULATOR_DRAMMODEL_H

#include "compiler/target/Target.h"

#include <array>
#include <cstdint>
#include <vector>

namespace sdopt {

struct DramTransfer {
  int64_t cycles = 0; ///< bus time, rounded up
  int64_t burstBytes = 0;
  int64_t hits = 0, misses = 0, conflicts = 0; ///< page accesses
  int64_t activations() const { return misses + conflicts; }
};

class DramModel {
public:
  /// `clock` in Hz: cycles are of the NPU's clock.
  DramModel(const DramTarget &target, double clock);

  /// Closes every row.
  void reset();

  /// Adds one contiguous run of physical bytes to the transfer under way. Runs that continue each
  /// other are one.
  void addRun(int64_t address, int64_t bytes);

  /// Ends the transfer.
  DramTransfer finish();

  /// Cycles from a command's issue to its first byte.
  int64_t latency() const { return latency_; }

private:
  /// Powers of two, as nearly all are, are shifted out: a division costs as much as all else.
  class Field {
  public:
    Field() = default;
    Field(int64_t divisor, int64_t size);
    int64_t divisor() const { return divisor_; }
    int64_t size() const { return size_; }
    int64_t of(int64_t address) const {
      return shift_ >= 0 ? (address >> shift_) & (size_ - 1) : address / divisor_ % size_;
    }

  private:
    int64_t divisor_ = 1, size_ = 1;
    int shift_ = 0; ///< -1: not powers of two
  };
  struct Channel {
    int64_t ticks = 0;     ///< of the transfer under way
    int64_t lastTicks = 0; ///< bus time of the access before
    int64_t lastBank = -1;
  };

  const Field &field(DramField which) const { return fields_[static_cast<size_t>(which)]; }
  void flush();
  void accessPage(int64_t address, int64_t bursts);

  std::array<Field, 6> fields_;
  int64_t burstBytes_ = 1;
  int64_t interleave_ = 1;   ///< pages that alternate burst by burst
  int64_t stripeBursts_ = 1; ///< bursts after which the next set of pages begins
  int64_t burstTicks_ = 0;   ///< of one burst in a long run, refresh included
  int64_t missTicks_ = 0, conflictTicks_ = 0, latency_ = 0;
  std::vector<int64_t> openRows_; ///< by channel, bank group, bank; -1: closed
  std::vector<Channel> channels_;
  DramTransfer transfer_;
  int64_t runBegin_ = 0, runEnd_ = 0; ///< collected, not yet charged
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_DRAMMODEL_H
