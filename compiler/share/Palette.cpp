//===- Palette.cpp - the best few int8 values for many numbers ----------------===//

#include "compiler/share/Palette.h"

#include <algorithm>
#include <limits>

namespace sdopt {

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr int kValues = 2 * kLargestEntry + 1;
constexpr int kZero = kLargestEntry; ///< index of the value 0

} // namespace

/// Values are counted from -127 on: value v lies behind 2 v half steps.
class PaletteSearch {
public:
  PaletteSearch(const PaletteSums &sums, int count) : count_(count) {
    for (Table &table : tables_) {
      table.least.resize(static_cast<size_t>(count));
      table.previous.resize(static_cast<size_t>(count));
    }
    for (int i = 0; i < kHalfSteps; ++i)
      before_[i + 1] = {before_[i].weight + sums.sums_[i].weight,
                        before_[i].sum + sums.sums_[i].sum,
                        before_[i].squares + sums.sums_[i].squares};
  }

  Palette run() {
    Table &table = tables_[0];
    for (int v = 0; v < kValues; ++v)
      table.least[0][v] = belowAll(v);
    for (int level = 1; level < count_; ++level)
      table.advance(*this, level, 0);
    Palette palette{.entries = {}, .error = kNever};
    int last = 0;
    for (int v = 0; v < kValues; ++v)
      if (const double error = table.least[count_ - 1][v] + aboveAll(v); error < palette.error) {
        palette.error = error;
        last = v;
      }
    trace(table, count_ - 1, last, palette);
    return palette;
  }

  Palette runWithZero() {
    Table &below = tables_[0], &above = tables_[1];
    for (int v = 0; v < kValues; ++v)
      below.least[0][v] = belowAll(v);
    above.least[0].fill(kNever);
    above.least[0][kZero] = 0;
    for (int level = 1; level < count_; ++level) {
      below.advance(*this, level, 0);
      above.advance(*this, level, kZero);
    }
    Palette palette{.entries = {}, .error = kNever};
    int bestLevel = 0, last = kZero;
    for (int level = 0; level < count_; ++level)
      for (int v = kZero; v < kValues; ++v)
        if (const double error =
                below.least[level][kZero] + above.least[count_ - 1 - level][v] + aboveAll(v);
            error < palette.error) {
          palette.error = error;
          bestLevel = level;
          last = v;
        }
    trace(below, bestLevel, kZero, palette);
    palette.entries.pop_back();
    trace(above, count_ - 1 - bestLevel, last, palette);
    return palette;
  }

  /// Without entries that stand for nothing; 0 stays if `withZero`.
  void dropUnused(Palette &palette, bool withZero) const {
    std::vector<int8_t> used;
    const std::vector<int8_t> &all = palette.entries;
    for (size_t i = 0; i < all.size(); ++i) {
      const int first = i == 0 ? 0 : all[i - 1] + all[i] + 2 * kZero;
      const int last = i + 1 == all.size() ? kHalfSteps : all[i] + all[i + 1] + 2 * kZero;
      if (before_[last].weight > before_[first].weight || (withZero && all[i] == 0))
        used.push_back(all[i]);
    }
    if (!used.empty())
      palette.entries = std::move(used);
  }

private:
  struct Sums {
    double weight = 0, sum = 0, squares = 0;
  };

  /// least[level][v]: error of all numbers up to v with level + 1 entries, v being the last;
  /// previous: the entry before it.
  struct Table {
    std::vector<std::array<double, kValues>> least;
    std::vector<std::array<uint8_t, kValues>> previous;

    void advance(const PaletteSearch &search, int level, int first) {
      least[level].fill(kNever);
      fill(search, level, first + 1, kValues - 1, first, kValues - 1);
    }

    void fill(const PaletteSearch &search, int level, int from, int to, int low, int high) {
      if (from > to)
        return;
      const int middle = (from + to) / 2;
      double best = kNever;
      int entry = std::min(low, middle - 1);
      for (int v = low; v <= std::min(high, middle - 1); ++v)
        if (const double error = least[level - 1][v] + search.between(v, middle); error < best) {
          best = error;
          entry = v;
        }
      least[level][middle] = best;
      previous[level][middle] = static_cast<uint8_t>(entry);
      // Without an entry below there is none for smaller values either.
      fill(search, level, from, middle - 1, low, best < kNever ? entry : high);
      fill(search, level, middle + 1, to, best < kNever ? entry : low, high);
    }
  };

  double cost(int firstHalf, int lastHalf, int v) const {
    const Sums &from = before_[firstHalf], &to = before_[lastHalf];
    const double value = v - kZero;
    const double error = (to.squares - from.squares) - 2 * value * (to.sum - from.sum) +
                         value * value * (to.weight - from.weight);
    return error > 0 ? error : 0;
  }
  double belowAll(int v) const { return cost(0, 2 * v, v); }
  double aboveAll(int v) const { return cost(2 * v, kHalfSteps, v); }
  double between(int v, int next) const {
    return cost(2 * v, v + next, v) + cost(v + next, 2 * next, next);
  }

  static void trace(const Table &table, int level, int last, Palette &palette) {
    std::vector<int8_t> entries;
    for (; level >= 0; --level) {
      entries.push_back(static_cast<int8_t>(last - kZero));
      last = table.previous[level][last];
    }
    palette.entries.insert(palette.entries.end(), entries.rbegin(), entries.rend());
  }

  int count_;
  std::array<Sums, kHalfSteps + 1> before_ = {};
  std::array<Table, 2> tables_;
};

void PaletteSums::add(const PaletteSums &other) {
  for (int i = 0; i < kHalfSteps; ++i) {
    sums_[i].weight += other.sums_[i].weight;
    sums_[i].sum += other.sums_[i].sum;
    sums_[i].squares += other.sums_[i].squares;
  }
}

Palette bestPalette(const PaletteSums &sums, int count, bool withZero) {
  PaletteSearch search(sums, count);
  Palette palette = withZero ? search.runWithZero() : search.run();
  search.dropUnused(palette, withZero);
  return palette;
}

PaletteCodes::PaletteCodes(std::span<const int8_t> entries) {
  size_t code = 0;
  for (int step = 0; step < kHalfSteps; ++step) {
    // All of the stretch is nearer to the next entry once the boundary between them is passed.
    for (size_t next = code + 1; next < entries.size(); ++next)
      if (entries[next] > entries[code] &&
          step - 2 * kLargestEntry >= entries[code] + entries[next])
        code = next;
    codes_[step] = static_cast<uint8_t>(code);
  }
}

} // namespace sdopt
