// Dependencies by interval maps, tokens by vector clocks.

#include "compiler/schedule/Synchronize.h"

#include <algorithm>
#include <map>

namespace sdopt {
namespace {

using Memory = MemoryAccess::Memory;
constexpr int64_t kWide = 8;
constexpr int64_t kWord = 4;
constexpr int64_t kRecord = 16;

int64_t tableBytes(CodeFormat input) {
  return kWord * (input.type == ElementType::I8 ? kTableEntries8 : kTableKnots16);
}

struct Accesses {
  std::vector<MemoryAccess> list;

  void read(SramOffset begin, int64_t bytes) {
    list.push_back({Memory::Sram, false, begin, begin + bytes});
  }
  void write(SramOffset begin, int64_t bytes) {
    list.push_back({Memory::Sram, true, begin, begin + bytes});
  }
  void update(SramOffset begin, int64_t bytes, bool clear) {
    if (!clear)
      read(begin, bytes);
    write(begin, bytes);
  }
  static int64_t extent(const DmaShape &shape, const std::array<int64_t, 3> &strides) {
    int64_t bytes = shape.runBytes;
    for (int i = 0; i < 3; ++i)
      bytes += (shape.counts[i] - 1) * strides[i];
    return bytes;
  }
  static int64_t rows(int64_t count, int64_t stride, int64_t width) {
    return (count - 1) * stride + width;
  }

  void operator()(const DmaLoad &c) {
    if (c.region == Region::Arena)
      list.push_back({Memory::Arena, false, c.dram, c.dram + extent(c.shape, c.shape.dramStrides)});
    write(c.sram, extent(c.shape, c.shape.sramStrides));
  }
  void operator()(const DmaStore &c) {
    list.push_back({Memory::Arena, true, c.dram, c.dram + extent(c.shape, c.shape.dramStrides)});
    read(c.sram, extent(c.shape, c.shape.sramStrides));
  }
  void operator()(const DmaGather &c) {
    read(c.ids, c.rows * kWord);
    write(c.sram, c.rows * c.rowBytes);
  }
  void operator()(const DmaWeights &c) { write(c.sram, c.block.weights()); }
  void operator()(const ConvCommand &c) {
    const ConvTile &t = c.tile;
    read(c.input, t.inputHeight * t.inputWidth * t.inputChannels * byteWidth(c.inputFormat.type));
    read(c.weights, t.outputChannels * t.kernelHeight * t.kernelWidth * t.inputChannels);
    update(c.accumulator, t.outputHeight * t.outputWidth * t.outputChannels * kWide, c.clear);
  }
  void operator()(const RequantizeCommand &c) {
    read(c.accumulator, c.rows * c.channels * kWide);
    read(c.params, c.channels * kRecord);
    write(c.output, c.rows * c.channels * byteWidth(c.outputFormat.type));
  }
  void operator()(const CombineCommand &c) {
    const int64_t elements = c.rows * c.channels;
    read(c.a, elements * byteWidth(c.aFormat.type));
    if (c.b >= 0)
      read(c.b, (c.params.broadcastRows ? c.channels : elements) * byteWidth(c.bFormat.type));
    write(c.output, elements * byteWidth(c.outputFormat.type));
  }
  void operator()(const ModulateCommand &c) {
    const int64_t elements = c.rows * c.channels;
    read(c.input, elements * byteWidth(c.inputFormat.type));
    read(c.scale, c.channels * byteWidth(c.scaleFormat.type));
    if (c.shift >= 0)
      read(c.shift, c.channels * byteWidth(c.shiftFormat.type));
    write(c.output, elements * byteWidth(c.outputFormat.type));
  }
  void operator()(const TableCommand &c) {
    read(c.input, c.count * byteWidth(c.inputFormat.type));
    read(c.table, tableBytes(c.inputFormat));
    write(c.output, c.count * byteWidth(c.outputFormat.type));
  }
  void operator()(const GegluCommand &c) {
    const int64_t half = c.rows * c.channels * byteWidth(c.inputFormat.type);
    read(c.input, c.gate < 0 ? 2 * half : half);
    if (c.gate >= 0)
      read(c.gate, half);
    read(c.table, tableBytes(c.inputFormat));
    write(c.output, c.rows * c.channels * byteWidth(c.outputFormat.type));
  }
  void operator()(const NormSumsCommand &c) {
    read(c.input, c.rows * c.channels * byteWidth(c.inputFormat.type));
    update(c.sums, c.channels / c.channelsPerGroup * kRecord, c.clear);
  }
  void operator()(const NormApplyCommand &c) {
    read(c.input, c.rows * c.channels * byteWidth(c.inputFormat.type));
    if (!c.perRow)
      read(c.sums, c.channels / c.channelsPerGroup * kRecord);
    read(c.channelParams, c.channels * kRecord);
    write(c.output, c.rows * c.channels * byteWidth(c.outputFormat.type));
  }
  void operator()(const AttentionMaximaCommand &c) {
    const AttentionTile &t = c.tile;
    read(c.q, rows(t.queries, t.queryStride, t.headDim) * byteWidth(c.qFormat.type));
    read(c.k, rows(t.keys, t.keyStride, t.headDim) * byteWidth(c.kFormat.type));
    update(c.rowMax, t.queries * kWide, c.clear);
  }
  void operator()(const AttentionAccumulateCommand &c) {
    const AttentionTile &t = c.tile;
    read(c.q, rows(t.queries, t.queryStride, t.headDim) * byteWidth(c.qFormat.type));
    read(c.k, rows(t.keys, t.keyStride, t.headDim) * byteWidth(c.kFormat.type));
    read(c.v, rows(t.keys, t.keyStride, t.headDim) * byteWidth(c.vFormat.type));
    read(c.rowMax, t.queries * kWide);
    update(c.rowSum, t.queries * kWide, c.clear);
    update(c.accumulator, t.queries * t.headDim * kWide, c.clear);
  }
  void operator()(const AttentionFinishCommand &c) {
    read(c.rowSum, c.queries * kWide);
    read(c.accumulator, c.queries * c.headDim * kWide);
    write(c.output, rows(c.queries, c.outputStride, c.headDim) * byteWidth(c.outputFormat.type));
  }
  void operator()(const TimeEmbeddingCommand &c) {
    read(c.input, c.inputs * kWord);
    read(c.steps, c.params.halfDim * kWord);
    read(c.sine, kTableKnots16 * kWord);
    write(c.output, c.batch * 2 * c.params.halfDim * byteWidth(c.outputFormat.type));
  }
  void operator()(const EmbedCommand &c) {
    read(c.tokens, c.rows * c.channels);
    read(c.tokenMultipliers, c.rows * kWord);
    read(c.positions, c.rows * c.channels);
    read(c.positionMultipliers, c.rows * kWord);
    write(c.output, c.rows * c.channels * byteWidth(c.outputFormat.type));
  }
  void operator()(const PoolTokenCommand &c) {
    read(c.hidden, c.tokens * c.rowBytes);
    read(c.ids, c.tokens * kWord);
    write(c.output, c.rowBytes);
  }
};

/// For each queue, the newest command of interest, as an index in program order; -1: none.
using Newest = std::array<int32_t, kQueues>;
constexpr Newest kNobody = {-1, -1, -1, -1};

void join(Newest &into, const Newest &other) {
  for (int q = 0; q < kQueues; ++q)
    into[q] = std::max(into[q], other[q]);
}

/// Who wrote each byte last and who has read it since.
class History {
public:
  /// `oneReader`: all reads come from one queue and all writes from another, as in the arena. What
  /// that queue has read once it knows to be done, so that the pieces of a range that it reads are
  /// one from then on, and many overlapping reads stay cheap.
  explicit History(bool oneReader) : oneReader(oneReader) {}

  void read(int64_t begin, int64_t end, int32_t command, Queue queue, Newest &dependencies) {
    const auto first = isolate(begin, end);
    Newest writers = kNobody;
    auto it = first;
    for (; it != touched.end() && it->first < end; ++it) {
      join(writers, it->second.writers);
      it->second.readers[static_cast<int>(queue)] = command;
    }
    join(dependencies, writers);
    if (!oneReader || first == it)
      return;
    first->second.end = end;
    first->second.writers = writers;
    touched.erase(std::next(first), it);
  }
  void write(int64_t begin, int64_t end, int32_t command, Queue queue, Newest &dependencies) {
    const auto first = isolate(begin, end);
    auto last = first;
    for (; last != touched.end() && last->first < end; ++last) {
      join(dependencies, last->second.writers);
      join(dependencies, last->second.readers);
    }
    touched.erase(first, last);
    Entry entry{end, kNobody, kNobody};
    entry.writers[static_cast<int>(queue)] = command;
    touched.emplace(begin, entry);
  }

private:
  struct Entry {
    int64_t end;
    Newest writers, readers;
  };
  using Map = std::map<int64_t, Entry>;

  void split(int64_t at) {
    auto it = touched.upper_bound(at);
    if (it == touched.begin())
      return;
    --it;
    if (it->first == at || it->second.end <= at)
      return;
    const Entry tail = it->second;
    it->second.end = at;
    touched.emplace_hint(std::next(it), at, tail);
  }

  /// Makes entries cover exactly [begin, end); returns the first.
  Map::iterator isolate(int64_t begin, int64_t end) {
    split(begin);
    split(end);
    auto it = touched.lower_bound(begin);
    for (int64_t at = begin; at < end;) {
      if (it == touched.end() || it->first > at) {
        const int64_t stop = it == touched.end() ? end : std::min(end, it->first);
        it = touched.emplace_hint(it, at, Entry{stop, kNobody, kNobody});
      }
      at = it->second.end;
      ++it;
    }
    return touched.lower_bound(begin);
  }

  const bool oneReader;
  Map touched;
};

/// Turns dependencies into tokens.
class Tokens {
public:
  explicit Tokens(std::span<Command> commands)
      : commands(commands), done(commands.size(), kNobody) {}

  /// The command waits for those of `dependencies` that are not known to be done when it starts.
  void wait(int32_t index, Newest dependencies) {
    Command &command = commands[index];
    const int own = static_cast<int>(command.queue);
    Newest known = last[own] < 0 ? kNobody : done[last[own]];
    dependencies[own] = -1;
    // Newest first: it is the most likely to imply the others.
    for (;;) {
      const int q = static_cast<int>(std::max_element(dependencies.begin(), dependencies.end()) -
                                     dependencies.begin());
      const int32_t producer = dependencies[q];
      if (producer < 0)
        break;
      dependencies[q] = -1;
      if (known[q] >= producer)
        continue;
      ++commands[producer].signals[own];
      ++command.waits[q];
      join(known, done[producer]);
    }
    known[own] = index;
    done[index] = known;
    last[own] = index;
  }

private:
  std::span<Command> commands;
  std::vector<Newest> done; ///< what is done, on every queue, when a command is
  Newest last = kNobody;
};

} // namespace

std::vector<MemoryAccess> accesses(const Command &command) {
  Accesses result;
  std::visit(result, command.args);
  return std::move(result.list);
}

void synchronize(std::span<Command> commands) {
  History sram(false), arena(true);
  Tokens tokens(commands);
  for (size_t i = 0; i < commands.size(); ++i) {
    const auto index = static_cast<int32_t>(i);
    Command &command = commands[i];
    command.waits = command.signals = {};
    Newest dependencies = kNobody;
    const std::vector<MemoryAccess> touched = accesses(command);
    for (bool writes : {false, true})
      for (const MemoryAccess &access : touched) {
        if (access.write != writes)
          continue;
        History &history = access.memory == Memory::Sram ? sram : arena;
        if (writes)
          history.write(access.begin, access.end, index, command.queue, dependencies);
        else
          history.read(access.begin, access.end, index, command.queue, dependencies);
      }
    tokens.wait(index, dependencies);
  }
}

} // namespace sdopt
