//===- TestTarget.h - a small machine with round numbers --------*- C++ -*-===//

#ifndef SDOPT_TESTS_SIMULATOR_TESTTARGET_H
#define SDOPT_TESTS_SIMULATOR_TESTTARGET_H

#include "compiler/target/Target.h"

namespace sdopt::test {

/// 1 GHz, 8x8 array, 4 lanes, 16 bytes a cycle from 2 DRAM channels.
inline Target testTarget(int64_t sramBytes = 64 * 1024) {
  Target target;
  target.name = "test";
  target.clock = 1e9;
  target.array = {.count = 1, .rows = 8, .columns = 8, .a16w8Rate = 0.5, .a16a16Rate = 0.25};
  target.array.multiplier = {.codes = 11, .weights = 12};
  target.vector.lanes = 4;
  target.sram = {.bytes = sramBytes, .banks = 4, .alignment = 64};
  target.dram = {.kind = "test",
                 .bytes = int64_t{1} << 30,
                 .bandwidth = 16e9,
                 .channels = 2,
                 .bankGroups = 2,
                 .banks = 4,
                 .pageBytes = 1024,
                 .burstBytes = 32,
                 .hitLatency = 20e-9,
                 .missLatency = 40e-9,
                 .conflictLatency = 60e-9,
                 .mapping = {DramField::Burst, DramField::Channel, DramField::BankGroup,
                             DramField::Column, DramField::Bank, DramField::Row}};
  target.energy = {.mac8 = 1e-13,
                   .mac16 = 2e-13,
                   .mac16x16 = 4e-13,
                   .macWinograd = 3e-13,
                   .addition = 1e-14,
                   .vectorElement = 1e-13,
                   .sramByte = 1e-13,
                   .dramReadByte = 1e-11,
                   .dramWriteByte = 1e-11,
                   .dramActivate = 1e-9,
                   .leakagePower = 0.01,
                   .dramIdlePower = 0.02};
  return target;
}

} // namespace sdopt::test

#endif // SDOPT_TESTS_SIMULATOR_TESTTARGET_H
