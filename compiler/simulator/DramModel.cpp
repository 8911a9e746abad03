#include "compiler/simulator/DramModel.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sdopt {
namespace {

/// Bus time is summed in fractions of a cycle, so that rounding up once a burst does not distort
/// it.
constexpr int64_t kTicks = 1024;

/// Of one bank.
int64_t rowsOf(const DramTarget &target) {
  const int64_t banks = target.channels * target.bankGroups * target.banks;
  return std::max<int64_t>(target.bytes / (banks * target.pageBytes), 1);
}

int64_t roundedUp(double value) { return static_cast<int64_t>(std::ceil(value)); }

} // namespace

DramModel::Field::Field(int64_t divisor, int64_t size)
    : divisor_(divisor), size_(size),
      shift_(std::has_single_bit(static_cast<uint64_t>(divisor)) &&
                     std::has_single_bit(static_cast<uint64_t>(size))
                 ? std::countr_zero(static_cast<uint64_t>(divisor))
                 : -1) {}

DramModel::DramModel(const DramTarget &target, double clock)
    : burstBytes_(std::max<int64_t>(target.burstBytes, 1)) {
  const int64_t columns = std::max<int64_t>(target.pageBytes / burstBytes_, 1);
  const std::array<int64_t, 6> sizes = {burstBytes_, target.channels, target.bankGroups,
                                        columns,     target.banks,    1};
  std::vector<DramField> mapping = target.mapping;
  // A mapping that leaves a field out has it above all others, before the row.
  for (int i = 0; i < 6; ++i)
    if (std::find(mapping.begin(), mapping.end(), static_cast<DramField>(i)) == mapping.end())
      mapping.insert(std::find(mapping.begin(), mapping.end(), DramField::Row),
                     static_cast<DramField>(i));
  int64_t divisor = 1;
  for (DramField which : mapping) {
    int64_t size = std::max<int64_t>(sizes[static_cast<size_t>(which)], 1);
    if (which == DramField::Row)
      size = mapping.back() == which ? int64_t{1} << 62 : rowsOf(target);
    fields_[static_cast<size_t>(which)] = Field(divisor, size);
    if (which != mapping.back())
      divisor *= size;
  }
  interleave_ = field(DramField::Column).divisor() / burstBytes_;
  stripeBursts_ = interleave_ * columns;
  channels_.resize(field(DramField::Channel).size());
  openRows_.resize(field(DramField::Channel).size() * field(DramField::BankGroup).size() *
                   field(DramField::Bank).size());

  const double bytesPerCycle = target.bandwidth / clock / static_cast<double>(channels_.size());
  const bool rotatesGroups =
      field(DramField::BankGroup).divisor() < field(DramField::Column).divisor();
  const double groups = rotatesGroups ? static_cast<double>(target.bankGroups) : 1;
  const double burstTime = std::max(static_cast<double>(burstBytes_) / bytesPerCycle,
                                    target.groupBurst * clock / groups);
  const double away = target.refreshTime / target.refreshInterval *
                      static_cast<double>(target.refreshBanks) /
                      static_cast<double>(target.bankGroups * target.banks);
  burstTicks_ = roundedUp(burstTime * kTicks / (1 - std::clamp(away, 0.0, 0.5)));
  auto ticks = [&](double seconds) {
    return std::max<int64_t>(roundedUp((seconds - target.hitLatency) * clock * kTicks), 0);
  };
  missTicks_ = ticks(target.missLatency);
  conflictTicks_ = ticks(target.conflictLatency);
  latency_ = roundedUp(target.hitLatency * clock);
  reset();
}

void DramModel::reset() {
  std::fill(openRows_.begin(), openRows_.end(), -1);
  std::fill(channels_.begin(), channels_.end(), Channel());
  transfer_ = {};
  runBegin_ = runEnd_ = 0;
}

void DramModel::addRun(int64_t address, int64_t bytes) {
  if (address != runEnd_) {
    flush();
    runBegin_ = address;
  }
  runEnd_ = address + bytes;
}

void DramModel::flush() {
  if (runEnd_ <= runBegin_)
    return;
  int64_t burst = runBegin_ / burstBytes_;
  const int64_t end = (runEnd_ + burstBytes_ - 1) / burstBytes_;
  transfer_.burstBytes += (end - burst) * burstBytes_;
  while (burst < end) {
    const int64_t stripeEnd = std::min((burst / stripeBursts_ + 1) * stripeBursts_, end);
    const int64_t bursts = stripeEnd - burst;
    for (int64_t i = 0; i < std::min(interleave_, bursts); ++i)
      accessPage((burst + i) * burstBytes_, (bursts - i - 1) / interleave_ + 1);
    burst = stripeEnd;
  }
  runBegin_ = runEnd_ = 0;
}

void DramModel::accessPage(int64_t address, int64_t bursts) {
  const int64_t channel = field(DramField::Channel).of(address);
  const int64_t bank =
      (channel * field(DramField::BankGroup).size() + field(DramField::BankGroup).of(address)) *
          field(DramField::Bank).size() +
      field(DramField::Bank).of(address);
  const int64_t row = field(DramField::Row).of(address);
  Channel &state = channels_[channel];
  int64_t penalty = 0;
  if (openRows_[bank] == row) {
    ++transfer_.hits;
  } else {
    const bool closed = openRows_[bank] < 0;
    penalty = closed ? missTicks_ : conflictTicks_;
    ++(closed ? transfer_.misses : transfer_.conflicts);
    openRows_[bank] = row;
  }
  const int64_t hidden = state.lastBank != bank ? state.lastTicks : 0;
  state.lastTicks = bursts * burstTicks_;
  state.lastBank = bank;
  state.ticks += state.lastTicks + std::max<int64_t>(penalty - hidden, 0);
}

DramTransfer DramModel::finish() {
  flush();
  int64_t ticks = 0;
  for (Channel &channel : channels_) {
    ticks = std::max(ticks, channel.ticks);
    channel.ticks = 0;
    // Nothing is under way when the next command comes.
    channel.lastTicks = 0;
  }
  DramTransfer result = transfer_;
  result.cycles = (ticks + kTicks - 1) / kTicks;
  transfer_ = {};
  return result;
}

} // namespace sdopt
