//===- DramMapping.h - orders of address fields -----------------*- C++ -*-===//
//
// What a DRAM's timing asks of the mapping (DramTarget::mapping, low to high):
//
//   burst | channel | [bank group] | column | bank | row
//
// Channels lowest, so that every transfer uses all of them; the columns of an open row before the
// next bank, so that rows are opened once (Putra, Hanif, Shafique: ROMANet, IEEE TVLSI 29(4),
// 2021); banks before rows, so that the next row opens while this one is read. Where bursts of one
// bank group have to wait for each other (LPDDR5: tCCD_L > tCCD_S), bank groups come before the
// columns.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SIMULATOR_DRAMMAPPING_H
#define SDOPT_COMPILER_SIMULATOR_DRAMMAPPING_H

#include "compiler/target/Target.h"

#include <string>
#include <vector>

namespace sdopt {

/// The order above for this DRAM.
std::vector<DramField> rowHitMapping(const DramTarget &target);

/// All orders with the burst lowest whose fields of one value (no bank groups, one channel) stand
/// where rowHitMapping has them: those that differ.
std::vector<std::vector<DramField>> allMappings(const DramTarget &target);

/// "burst channel bank_group column bank row".
std::string mappingName(const std::vector<DramField> &mapping);

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_DRAMMAPPING_H
