#include "compiler/simulator/Leftovers.h"

#include "compiler/schedule/JoinedLayers.h"
#include "compiler/simulator/BytePattern.h"

#include <algorithm>
#include <iterator>

namespace sdopt {
namespace {

/// Does the command leave some of the bytes of its results as they were, or add to them?
bool keepsSome(const DmaLoad &c) { return !isDense(c.shape); }
bool keepsSome(const ConvCommand &c) { return !c.clear; }
bool keepsSome(const NormSumsCommand &c) { return !c.clear; }
bool keepsSome(const AttentionMaximaCommand &c) { return !c.clear; }
bool keepsSome(const AttentionAccumulateCommand &c) { return !c.clear; }
template <typename Other> bool keepsSome(const Other &) { return false; }

int64_t end(const SramOperand &operand) { return operand.offset + operand.bytes; }

} // namespace

Leftovers::Leftovers(const ModuleInfo &module, const ResidentTensors &residents)
    : module_(module), taken_(module.network.layers.size()) {
  const std::vector<Layer> &layers = module.network.layers;
  for (size_t i = 0; i < layers.size(); ++i)
    for (size_t k = 0; k < layers[i].inputs.size(); ++k)
      if (const SramPlace *place = residents.ofInput(i, k)) {
        const TensorId input = layers[i].inputs[k];
        taken_[i].push_back({{place->offset, place->offset + module.network.tensors[input].bytes()},
                             leaderOf(module.plan, residents.makerOf(input))});
      }
}

void Leftovers::add(const Command &command, size_t stretch) {
  const std::vector<SramOperand> operands = sramOperands(command.args);
  const bool keeps = std::visit([](const auto &args) { return keepsSome(args); }, command.args);
  for (const SramOperand &operand : operands)
    if (!operand.written || keeps)
      read(operand, stretch, taken_[static_cast<size_t>(command.layer)]);
  if (const auto *finish = std::get_if<AttentionFinishCommand>(&command.args)) {
    // Heads come one after the other between those of other rows.
    const int64_t width = byteWidth(finish->outputFormat.type), run = finish->headDim * width;
    for (int64_t i = 0; i < finish->queries; ++i)
      write(finish->output + i * finish->outputStride * width, run, stretch);
    return;
  }
  for (const SramOperand &operand : operands)
    if (operand.written)
      write(operand.offset, operand.bytes, stretch);
}

size_t Leftovers::leader(size_t stretch) const {
  return leaderOf(module_.plan, static_cast<size_t>(module_.program.commands[stretch].layer));
}

void Leftovers::read(const SramOperand &operand, size_t stretch, const std::vector<Taken> &taken) {
  for (auto it = cut(operand.offset); it != pieces_.end() && it->first < end(operand); ++it) {
    const auto isResult = [&](const Taken &input) {
      return operand.offset >= input.span.begin && end(operand) <= input.span.end &&
             leader(it->second.stretch) == input.leader;
    };
    if (it->second.stretch != stretch && !std::ranges::any_of(taken, isResult))
      read_.insert(it->second.stretch);
  }
}

void Leftovers::write(int64_t offset, int64_t bytes, size_t stretch) {
  int64_t end = offset + bytes;
  auto it = cut(offset);
  cut(end);
  while (it != pieces_.end() && it->first < end)
    it = pieces_.erase(it);
  if (it != pieces_.end() && it->first == end && it->second.stretch == stretch) {
    end = it->second.end;
    it = pieces_.erase(it);
  }
  if (it != pieces_.begin() && std::prev(it)->second.end == offset &&
      std::prev(it)->second.stretch == stretch)
    std::prev(it)->second.end = end;
  else
    pieces_.emplace_hint(it, offset, Piece{end, stretch});
}

std::map<int64_t, Leftovers::Piece>::iterator Leftovers::cut(int64_t at) {
  auto next = pieces_.lower_bound(at);
  if (next == pieces_.begin())
    return next;
  Piece &before = std::prev(next)->second;
  if (before.end <= at)
    return next;
  const Piece rest = before;
  before.end = at;
  return pieces_.emplace_hint(next, at, rest);
}

} // namespace sdopt
