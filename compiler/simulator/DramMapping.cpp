#include "compiler/simulator/DramMapping.h"

#include <algorithm>
#include <bit>

namespace sdopt {
namespace {

const char *nameOf(DramField field) {
  switch (field) {
  case DramField::Burst:
    return "burst";
  case DramField::Channel:
    return "channel";
  case DramField::BankGroup:
    return "bank_group";
  case DramField::Column:
    return "column";
  case DramField::Bank:
    return "bank";
  case DramField::Row:
    return "row";
  }
  return "unknown";
}

int64_t valuesOf(DramField field, const DramTarget &target) {
  switch (field) {
  case DramField::Channel:
    return target.channels;
  case DramField::BankGroup:
    return target.bankGroups;
  case DramField::Bank:
    return target.banks;
  case DramField::Column:
    return target.pageBytes / target.burstBytes;
  default:
    return 2;
  }
}

} // namespace

std::vector<DramField> rowHitMapping(const DramTarget &target) {
  using enum DramField;
  const double burst = static_cast<double>(target.burstBytes * target.channels) / target.bandwidth;
  if (target.bankGroups > 1 && target.groupBurst > burst * (1 + 1e-9))
    return {Burst, Channel, BankGroup, Column, Bank, Row};
  return {Burst, Channel, Column, Bank, BankGroup, Row};
}

std::vector<std::vector<DramField>> allMappings(const DramTarget &target) {
  std::vector<DramField> order = rowHitMapping(target), free;
  for (DramField field : order)
    if (field != DramField::Burst && valuesOf(field, target) > 1)
      free.push_back(field);
  std::sort(free.begin(), free.end());
  std::vector<std::vector<DramField>> mappings;
  do {
    // A row below other fields needs a number of rows that is a power of two.
    if (free.back() != DramField::Row && !std::has_single_bit(static_cast<uint64_t>(target.bytes)))
      continue;
    std::vector<DramField> mapping;
    size_t next = 0;
    for (DramField field : order) {
      const bool isFree = field != DramField::Burst && valuesOf(field, target) > 1;
      mapping.push_back(isFree ? free[next++] : field);
    }
    mappings.push_back(std::move(mapping));
  } while (std::next_permutation(free.begin(), free.end()));
  return mappings;
}

std::string mappingName(const std::vector<DramField> &mapping) {
  std::string text;
  for (DramField field : mapping)
    text += (text.empty() ? "" : " ") + std::string(nameOf(field));
  return text;
}

} // namespace sdopt
