//===- WinogradLayers.h - which layers take fewer products ------*- C++ -*-===//
//
// F(2x2, 3x3) (docs/spec.md, section 7) changes no result: which layers are done so is a choice of
// the schedule, where window, weights and target allow it. Weights whose zeros are skipped do not:
// their transform has next to none.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_WINOGRADLAYERS_H
#define SDOPT_COMPILER_SCHEDULE_WINOGRADLAYERS_H

#include "absl/status/status.h"
#include "compiler/kernels/IntegerWinograd.h"
#include "compiler/schedule/Network.h"
#include "compiler/target/Target.h"

#include <optional>
#include <string>

namespace sdopt {

/// What the transforms are made of where each number is made at once: codes and weights of the 16
/// transformed ones of a tile, and outputs that their 16 sums are added to.
inline constexpr int64_t kWinogradCodeTerms = 64, kWinogradWeightTerms = 64, kWinogradSumTerms = 36;
/// Additions one after the other on the way of a number: trees over 4 codes and 9 weights, then to
/// the sum.
inline constexpr int64_t kWinogradDepth = 2 + 4 + 1;

/// Why the layer cannot be done so, as the rest of a sentence about it; empty if it can.
std::string winogradProblem(const MatrixLayer &layer, const ConstantInfo &weights,
                            int64_t inputChannels);

/// Are the multipliers wide enough?
bool multipliesTransformed(const MultiplierTarget &multiplier);

/// FAILED_PRECONDITION names the first layer by Winograd for which the multipliers are too narrow.
absl::Status checkWinograd(const Network &network, const MultiplierTarget &multiplier);

/// Cycles of one layer, with what overlaps overlapping, at the tilings that searchTiles() finds for
/// either way; nothing where none fits.
struct WinogradChoice {
  std::optional<int64_t> direct, winograd;
  bool pays() const { return winograd && (!direct || *winograd < *direct); }
};

/// Of a matrix layer without winogradProblem(); whether it is by Winograd now does not matter.
WinogradChoice winogradChoice(const Network &network, const Layer &layer, const Target &target);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_WINOGRADLAYERS_H
