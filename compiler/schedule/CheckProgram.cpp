// checkProgram: commands one by one, then their order. Shares no code with expand().

#include "absl/strings/str_cat.h"
#include "compiler/schedule/CheckCommand.h"
#include "compiler/schedule/Plan.h"

#include <deque>
#include <map>

namespace sdopt {
namespace {

/// Command index of the newest command of each queue that is known to have ended; -1: none.
using Clock = std::array<int64_t, kQueues>;
constexpr Clock kStart = {-1, -1, -1, -1};

void advance(Clock &clock, const Clock &other) {
  for (int q = 0; q < kQueues; ++q)
    clock[q] = std::max(clock[q], other[q]);
}

/// A function of the address that is constant between cuts.
template <typename State> class AddressMap {
public:
  explicit AddressMap(int64_t size) : size(size) { states[0] = State(); }

  /// Calls body(state) for every piece of [begin, end).
  template <typename Body> void visit(int64_t begin, int64_t end, Body body) {
    cut(begin);
    cut(end);
    for (auto it = states.find(begin); it != states.end() && it->first < end; ++it)
      body(it->second);
  }
  /// Gives [begin, end) one state.
  void assign(int64_t begin, int64_t end, const State &state) {
    cut(begin);
    cut(end);
    states.erase(states.find(begin), states.lower_bound(end));
    states[begin] = state;
  }

private:
  void cut(int64_t at) {
    if (at >= size)
      return;
    auto it = std::prev(states.upper_bound(at));
    if (it->first != at)
      states.emplace_hint(std::next(it), at, it->second);
  }
  int64_t size;
  std::map<int64_t, State> states;
};

struct Usage {
  bool written = false;
  Clock writer = kStart, readers = kStart;
};

/// Runs the queues of a phase against their semaphores and finds what each command knows to have
/// ended when it starts.
class QueueRun {
public:
  QueueRun(const std::vector<Command> &commands, CommandRange range)
      : commands(commands), before(commands.size(), kStart) {
    for (size_t i = range.begin; i < range.end; ++i)
      queues[static_cast<int>(commands[i].queue)].push_back(static_cast<int64_t>(i));
  }

  std::string problem() {
    for (bool progress = true; progress;) {
      progress = false;
      for (int q = 0; q < kQueues; ++q)
        while (heads[q] < queues[q].size() && ready(q)) {
          if (std::string wrong = start(q); !wrong.empty())
            return wrong;
          progress = true;
        }
    }
    for (int q = 0; q < kQueues; ++q)
      if (heads[q] < queues[q].size()) {
        const int64_t stuck = queues[q][heads[q]];
        return absl::StrCat("command ", stuck, " (", mnemonic(commands[stuck]),
                            ") waits forever on queue ", name(static_cast<Queue>(q)));
      }
    return "";
  }
  const Clock &knownBefore(size_t command) const { return before[command]; }

private:
  struct Token {
    int64_t producer;
    int64_t count;
  };
  bool ready(int q) const {
    const Command &command = commands[queues[q][heads[q]]];
    for (int from = 0; from < kQueues; ++from)
      if (available[from][q] < command.waits[from])
        return false;
    return true;
  }
  std::string start(int q) {
    const int64_t index = queues[q][heads[q]];
    const Command &command = commands[index];
    Clock clock = kStart;
    if (heads[q] > 0)
      clock = ended(queues[q][heads[q] - 1]);
    for (int from = 0; from < kQueues; ++from) {
      available[from][q] -= command.waits[from];
      for (int64_t left = command.waits[from]; left > 0;) {
        Token &token = tokens[from][q].front();
        if (token.producer > index)
          return absl::StrCat("command ", index, " (", mnemonic(command), ") waits for command ",
                              token.producer, ", which comes after it");
        advance(clock, ended(token.producer));
        const int64_t taken = std::min(left, token.count);
        left -= taken;
        token.count -= taken;
        if (token.count == 0)
          tokens[from][q].pop_front();
      }
    }
    before[index] = clock;
    for (int to = 0; to < kQueues; ++to)
      if (command.signals[to] > 0) {
        tokens[q][to].push_back({index, command.signals[to]});
        available[q][to] += command.signals[to];
      }
    ++heads[q];
    return "";
  }
  Clock ended(int64_t index) const {
    Clock clock = before[index];
    clock[static_cast<int>(commands[index].queue)] = index;
    return clock;
  }

  const std::vector<Command> &commands;
  std::vector<Clock> before;
  std::array<std::vector<int64_t>, kQueues> queues;
  std::array<size_t, kQueues> heads = {};
  std::array<std::array<int64_t, kQueues>, kQueues> available = {};
  std::array<std::array<std::deque<Token>, kQueues>, kQueues> tokens;
};

/// What commands made that only commands of their kind may use.
class TypedRanges {
public:
  /// A read of typed content: somebody must have made all of it, as that.
  std::string read(const Footprint &f) const {
    const auto it = ranges.find(f.begin);
    if (it == ranges.end() || it->second.end < f.end || it->second.content != f.content)
      return absl::StrCat("takes bytes ", f.begin, "..", f.end,
                          " of sram for sums that no command made there");
    return "";
  }
  std::string write(const Footprint &f) {
    double magnitude = f.growth;
    if (f.content != Content::Bytes && !f.clear) {
      const Range &old = ranges.find(f.begin)->second; // read() came first
      magnitude += old.magnitude;
      if (old.end != f.end)
        return absl::StrCat("adds to a part of the sums at ", f.begin);
      if (magnitude >= 4.0 * static_cast<double>(int64_t{1} << 60))
        return absl::StrCat("may overflow the sums at ", f.begin);
    }
    auto it = ranges.lower_bound(f.begin);
    if (it != ranges.begin() && std::prev(it)->second.end > f.begin)
      --it;
    while (it != ranges.end() && it->first < f.end)
      it = ranges.erase(it);
    if (f.content != Content::Bytes)
      ranges[f.begin] = {f.end, f.content, magnitude};
    return "";
  }

private:
  struct Range {
    int64_t end;
    Content content;
    double magnitude;
  };
  std::map<int64_t, Range> ranges;
};

/// Follows memory in program order.
struct MemoryCheck {
  AddressMap<Usage> sram, arena;
  TypedRanges typed;

  MemoryCheck(int64_t sramBytes, int64_t arenaBytes)
      : sram(std::max<int64_t>(sramBytes, 1)), arena(std::max<int64_t>(arenaBytes, 1)) {}

  static std::string unordered(const Clock &others, const Clock &known, int own) {
    for (int q = 0; q < kQueues; ++q)
      if (q != own && others[q] > known[q])
        return absl::StrCat("is not ordered after command ", others[q], " on the same bytes");
    return "";
  }

  /// Only the DMA-in queue reads the arena and only the DMA-out queue writes it: a read that was
  /// ordered after the newest writer of its range leaves nothing to tell its pieces apart.
  void joinPieces(const Footprint &f) {
    Usage whole;
    arena.visit(f.begin, f.end, [&](const Usage &usage) {
      advance(whole.writer, usage.writer);
      advance(whole.readers, usage.readers);
    });
    arena.assign(f.begin, f.end, whole);
  }

  std::string touch(const Footprint &f, int64_t index, int queue, const Clock &known) {
    AddressMap<Usage> &memory = f.sram ? sram : arena;
    std::string problem;
    const auto note = [&](std::string found) {
      if (problem.empty() && !found.empty())
        problem = absl::StrCat(std::move(found), " (", f.sram ? "sram" : "arena", " ", f.begin,
                               "..", f.end, ")");
    };
    if (!f.write) {
      memory.visit(f.begin, f.end, [&](Usage &usage) {
        if (f.sram && !usage.written)
          note("reads sram that nothing has written");
        note(unordered(usage.writer, known, queue));
        usage.readers[queue] = index;
      });
      if (f.content != Content::Bytes)
        note(typed.read(f));
      if (!f.sram)
        joinPieces(f);
      return problem;
    }
    memory.visit(f.begin, f.end, [&](Usage &usage) {
      note(unordered(usage.writer, known, queue));
      note(unordered(usage.readers, known, queue));
    });
    if (!problem.empty())
      return problem;
    if (f.sram)
      note(typed.write(f));
    Usage usage;
    usage.written = true;
    usage.writer[queue] = index;
    memory.assign(f.begin, f.end, usage);
    return problem;
  }
};

absl::Status error(const Program &program, size_t i, const std::string &problem) {
  return absl::InvalidArgumentError(
      absl::StrCat("command ", i, " (", mnemonic(program.commands[i]), "): ", problem));
}

absl::Status checkPhase(const Program &program, CommandRange range) {
  QueueRun run(program.commands, range);
  if (std::string problem = run.problem(); !problem.empty())
    return absl::InvalidArgumentError(problem);
  std::vector<Footprint> footprints;
  MemoryCheck memory(program.sramBytes, program.arenaBytes);
  for (size_t i = range.begin; i < range.end; ++i) {
    commandProblem(program.commands[i], program, program.sramBytes, footprints);
    const int queue = static_cast<int>(program.commands[i].queue);
    for (bool write : {false, true})
      for (const Footprint &footprint : footprints)
        if (footprint.write == write)
          if (std::string problem =
                  memory.touch(footprint, static_cast<int64_t>(i), queue, run.knownBefore(i));
              !problem.empty())
            return error(program, i, problem);
  }
  return absl::OkStatus();
}

} // namespace

absl::Status checkProgram(const Program &program, int64_t sramBytes) {
  if (program.arenaBytes < 0 || program.constantsBytes < 0 || program.sramBytes < 0 ||
      program.arenaBytes > int64_t{1} << 44 || program.constantsBytes > int64_t{1} << 44)
    return absl::InvalidArgumentError("program has a memory of an impossible size");
  if (program.sramBytes > sramBytes)
    return absl::InvalidArgumentError(
        absl::StrCat("program takes ", program.sramBytes, " bytes of sram; there are ", sramBytes));
  std::vector<Footprint> footprints;
  for (size_t i = 0; i < program.commands.size(); ++i)
    if (std::string problem =
            commandProblem(program.commands[i], program, program.sramBytes, footprints);
        !problem.empty())
      return error(program, i, problem);
  size_t begin = 0;
  for (size_t end : program.phaseEnds) {
    if (end < begin)
      return absl::InvalidArgumentError("program has phases that overlap");
    begin = end;
  }
  if (!program.phaseEnds.empty() && begin != program.commands.size())
    return absl::InvalidArgumentError("program has phases that do not cover its commands");
  for (const CommandRange &range : phasesOf(program))
    if (absl::Status status = checkPhase(program, range); !status.ok())
      return status;
  return absl::OkStatus();
}

} // namespace sdopt
