//===- DamagedCommands.h - programs with one wrong bit ----------*- C++ -*-===//

#ifndef SDOPT_TESTS_SIMULATOR_DAMAGEDCOMMANDS_H
#define SDOPT_TESTS_SIMULATOR_DAMAGEDCOMMANDS_H

#include "compiler/package/Package.h"
#include "compiler/schedule/Plan.h"

#include <algorithm>
#include <optional>
#include <random>

namespace sdopt::test {

/// The commands of a program with one bit of their encoding another one, if they still are commands
/// of the same layers that checkProgram() accepts.
inline std::optional<std::vector<Command>>
damagedCommands(const Program &program, int64_t sramBytes, std::mt19937 &random) {
  std::string bytes = encodeCommands(program.commands);
  bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
  auto commands = decodeCommands(std::as_bytes(std::span(bytes.data(), bytes.size())));
  if (!commands.ok() ||
      !std::ranges::equal(*commands, program.commands, {}, &Command::layer, &Command::layer))
    return std::nullopt;
  Program damaged = program;
  damaged.commands = *std::move(commands);
  if (!checkProgram(damaged, sramBytes).ok())
    return std::nullopt;
  return std::move(damaged.commands);
}

} // namespace sdopt::test

#endif // SDOPT_TESTS_SIMULATOR_DAMAGEDCOMMANDS_H
