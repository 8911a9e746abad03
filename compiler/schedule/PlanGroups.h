//===- PlanGroups.h - groups, tiles and residents of a network --*- C++ -*-===//
//
// Dynamic programming over the order of layers. What is decided between two groups of joined layers
// is which results lie in SRAM there, and where: a state. From each state each group that may come
// next leads to others, with the best tiles for what SRAM is left; the least sum of estimated times
// (or bytes) wins. Exact over groups; of the states between two groups the cheapest are kept, by
// count, and always the one in which SRAM is empty.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_PLANGROUPS_H
#define SDOPT_COMPILER_SCHEDULE_PLANGROUPS_H

#include "compiler/schedule/TileSearch.h"

namespace sdopt {

/// Tilings, joins and resident results, without costs. RESOURCE_EXHAUSTED names the layer that does
/// not fit SRAM.
absl::StatusOr<std::vector<LayerPlan>> planGroups(const Network &network, const Target &target,
                                                  const SearchOptions &options);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_PLANGROUPS_H
