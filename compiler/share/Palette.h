//===- Palette.h - the best few int8 values for many numbers ----*- C++ -*-===//
//
// Which int8 values stand best for many numbers: of all sets of so many values the one of least
// squared error, found by dynamic programming over the values themselves. What numbers between two
// neighbouring entries cost follows from sums over half steps, for all boundaries between entries
// lie at multiples of one half: one pass over the numbers, and the rest does not grow with them.
// As in Clusters.h, the best entry below moves up with the entry above it.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SHARE_PALETTE_H
#define SDOPT_COMPILER_SHARE_PALETTE_H

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace sdopt {

/// Entries of a palette are -127 to 127.
inline constexpr int kLargestEntry = 127;
/// Stretches between multiples of one half from -127 to 127; what lies outside is in the first and
/// the last one.
inline constexpr int kHalfSteps = 4 * kLargestEntry;

/// The stretch of a number; that of 0 for what is none.
inline int halfStep(float number) {
  const float step = number * 2 + 2 * kLargestEntry;
  if (!(step >= 0))
    return step < 0 ? 0 : 2 * kLargestEntry;
  return step < kHalfSteps - 1 ? static_cast<int>(step) : kHalfSteps - 1;
}

/// What numbers in units of the entries weigh.
class PaletteSums {
public:
  void add(float number, double weight) {
    Sums &sums = sums_[halfStep(number)];
    const double weighted = weight * number;
    sums.weight += weight;
    sums.sum += weighted;
    sums.squares += weighted * number;
  }
  void add(const PaletteSums &other);

private:
  friend class PaletteSearch;
  struct Sums {
    double weight = 0, sum = 0, squares = 0;
  };
  std::array<Sums, kHalfSteps> sums_ = {};
};

struct Palette {
  std::vector<int8_t> entries; ///< ascending, all different
  double error = 0;            ///< sum of weight * (number - nearest entry)^2
};

/// The best `count` entries, 1 to 255, without those that are nearest to nothing; with 0 among them
/// if `withZero`. Of equally good ones always the same.
Palette bestPalette(const PaletteSums &sums, int count, bool withZero);

/// Codes of numbers: the index of the nearest entry, of two equally near ones the larger.
class PaletteCodes {
public:
  /// Ascending entries, at least one; equal ones get the code of the first.
  explicit PaletteCodes(std::span<const int8_t> entries);

  uint8_t operator()(float number) const { return codes_[halfStep(number)]; }

private:
  std::array<uint8_t, kHalfSteps> codes_ = {};
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SHARE_PALETTE_H
