#include "compiler/simulator/WholeAttention.h"

#include "compiler/package/CommandOperands.h"

#include <algorithm>

namespace sdopt {
namespace {

bool areOfOneTile(const AttentionMaximaCommand &maxima, const AttentionAccumulateCommand &sums) {
  return sums.tile == maxima.tile && sums.q == maxima.q && sums.k == maxima.k &&
         sums.rowMax == maxima.rowMax && sums.qFormat == maxima.qFormat &&
         sums.kFormat == maxima.kFormat && sums.params == maxima.params;
}

bool meet(const SramOperand &a, const SramOperand &b) {
  return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

/// Does one write where the other reads or writes?
bool clash(const std::vector<SramOperand> &some, const std::vector<SramOperand> &others) {
  return std::ranges::any_of(some, [&](const SramOperand &a) {
    return std::ranges::any_of(others, [&](const SramOperand &b) {
      return &a != &b && (a.written || b.written) && meet(a, b);
    });
  });
}

} // namespace

std::optional<size_t> sumsOf(std::span<const Command> commands, size_t maxima) {
  const auto *first = std::get_if<AttentionMaximaCommand>(&commands[maxima].args);
  if (!first)
    return std::nullopt;
  const std::vector<SramOperand> own = sramOperands(commands[maxima].args);
  for (size_t i = maxima + 1; i < commands.size(); ++i) {
    const Command &command = commands[i];
    if (command.layer != commands[maxima].layer)
      return std::nullopt;
    std::vector<SramOperand> operands = sramOperands(command.args);
    if (const auto *sums = std::get_if<AttentionAccumulateCommand>(&command.args)) {
      for (SramOperand &operand : operands) // maxima are written between reading scores and values
        operand.written |= operand.offset == first->rowMax;
      const bool isOneTile = areOfOneTile(*first, *sums);
      return isOneTile && !clash(operands, operands) ? std::optional(i) : std::nullopt;
    }
    if (!std::holds_alternative<DmaLoad>(command.args) || clash(own, operands))
      return std::nullopt;
  }
  return std::nullopt;
}

} // namespace sdopt
