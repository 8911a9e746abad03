#include "compiler/figures/DramRecount.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

constexpr double kTicksOfCycle = 1024;

int64_t up(double value) { return static_cast<int64_t>(std::ceil(value)); }

/// Of the target, completed: fields that it leaves out come below the row.
std::vector<DramField> orderOf(const DramTarget &dram) {
  std::vector<DramField> order = dram.mapping;
  for (DramField field : {DramField::Burst, DramField::Channel, DramField::BankGroup,
                          DramField::Column, DramField::Bank, DramField::Row})
    if (std::ranges::find(order, field) == order.end())
      order.insert(std::ranges::find(order, DramField::Row), field);
  return order;
}

} // namespace

DramRecount::DramRecount(const Target &target) {
  const DramTarget &dram = target.dram;
  burstBytes_ = std::max<int64_t>(dram.burstBytes, 1);
  columns_ = std::max<int64_t>(dram.pageBytes / burstBytes_, 1);
  const int64_t banks = dram.channels * dram.bankGroups * dram.banks;
  const std::vector<DramField> order = orderOf(dram);
  bool belowColumn = true, rotatesGroups = false;
  for (DramField field : order) {
    int64_t values = 1;
    switch (field) {
    case DramField::Burst:
      continue; // bytes within a burst
    case DramField::Channel:
      values = dram.channels;
      break;
    case DramField::BankGroup:
      values = dram.bankGroups;
      rotatesGroups = belowColumn;
      break;
    case DramField::Column:
      values = columns_;
      belowColumn = false;
      break;
    case DramField::Bank:
      values = dram.banks;
      break;
    case DramField::Row:
      values =
          field == order.back() ? 0 : std::max<int64_t>(dram.bytes / (banks * dram.pageBytes), 1);
      break;
    }
    fields_.push_back({field, values});
    if (belowColumn)
      belowColumn_ *= values;
  }
  const double bytesOfCycle = dram.bandwidth / target.clock / static_cast<double>(dram.channels);
  const double groups = rotatesGroups ? static_cast<double>(dram.bankGroups) : 1;
  const double burst = std::max(static_cast<double>(burstBytes_) / bytesOfCycle,
                                dram.groupBurst * target.clock / groups);
  const double away = dram.refreshTime / dram.refreshInterval *
                      static_cast<double>(dram.refreshBanks) /
                      static_cast<double>(dram.bankGroups * dram.banks);
  burstTicks_ = up(burst * kTicksOfCycle / (1 - std::clamp(away, 0.0, 0.5)));
  const auto beyondHit = [&](double seconds) {
    return std::max<int64_t>(up((seconds - dram.hitLatency) * target.clock * kTicksOfCycle), 0);
  };
  missTicks_ = beyondHit(dram.missLatency);
  conflictTicks_ = beyondHit(dram.conflictLatency);
  latency_ = std::max<int64_t>(up(dram.hitLatency * target.clock), 1);
}

void DramRecount::close() {
  openRows_.clear();
  channels_.clear();
}

DramRecount::Page DramRecount::pageOf(int64_t burst) const {
  Page page = {0, 0, 0, 0};
  for (const Field &field : fields_) {
    const int64_t value = field.values == 0 ? burst : burst % field.values;
    burst = field.values == 0 ? 0 : burst / field.values;
    if (field.name == DramField::Channel)
      page[0] = value;
    else if (field.name == DramField::BankGroup)
      page[1] = value;
    else if (field.name == DramField::Bank)
      page[2] = value;
    else if (field.name == DramField::Row)
      page[3] = value;
  }
  return page;
}

void DramRecount::visit(const Page &page, int64_t bursts, Result &result) {
  const std::array<int64_t, 3> bank = {page[0], page[1], page[2]};
  Channel &channel = channels_[page[0]];
  const auto open = openRows_.find(bank);
  int64_t activation = 0;
  if (open == openRows_.end())
    activation = missTicks_;
  else if (open->second != page[3])
    activation = conflictTicks_;
  if (open == openRows_.end() || open->second != page[3])
    ++result.activations;
  openRows_[bank] = page[3];
  const int64_t hidden = channel.bank == bank ? 0 : channel.before;
  channel.before = bursts * burstTicks_;
  channel.bank = bank;
  channel.ticks += channel.before + std::max<int64_t>(activation - hidden, 0);
}

DramRecount::Result DramRecount::transfer(const std::vector<Run> &runs) {
  Result result;
  for (auto &[index, channel] : channels_)
    channel.ticks = channel.before = 0;
  const int64_t stripe = belowColumn_ * columns_;
  std::vector<std::pair<Page, int64_t>> visits;
  for (size_t i = 0; i < runs.size();) {
    const int64_t first = runs[i].first;
    int64_t end = first;
    for (; i < runs.size() && runs[i].first == end; ++i)
      end += runs[i].bytes;
    for (int64_t burst = first / burstBytes_; burst * burstBytes_ < end; ++burst) {
      ++result.bursts;
      const Page page = pageOf(burst);
      const auto known = std::ranges::find(visits, page, &std::pair<Page, int64_t>::first);
      if (known == visits.end())
        visits.emplace_back(page, 1);
      else
        ++known->second;
      if ((burst + 1) % stripe != 0 && (burst + 1) * burstBytes_ < end)
        continue;
      for (const auto &[visited, bursts] : visits)
        visit(visited, bursts, result);
      visits.clear();
    }
  }
  int64_t ticks = 0;
  for (const auto &[index, channel] : channels_)
    ticks = std::max(ticks, channel.ticks);
  result.cycles = up(static_cast<double>(ticks) / kTicksOfCycle);
  return result;
}

} // namespace sdopt
