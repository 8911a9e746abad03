//===- WinogradLayers.h - which layers take fewer products ------*- C++ -*-===//
//
// F(2x2, 3x3) (docs/spec.md, section 7) changes no result: which layers are done so is a choice of
// the schedule, where window, weights and target allow it. Weights whose zeros are skipped do not:
// their transform has next to none. F(4x4, 3x3) with a shift for each product (section 8) is what a
// layer means; the schedule has to keep its tiles where the layer has them.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_WINOGRADLAYERS_H
#define SDOPT_COMPILER_SCHEDULE_WINOGRADLAYERS_H

#include "absl/status/status.h"
#include "compiler/kernels/IntegerWinograd.h"
#include "compiler/kernels/TapWinograd.h"
#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"
#include "compiler/target/Target.h"

#include <optional>
#include <string>

namespace sdopt {

/// What the arrays do for a tile of one input and one output channel. Nothing is kept: each of its
/// transformed codes and weights is made at once of all its terms, once for each product.
struct WinogradWork {
  int64_t outputs;   ///< of a tile in one dimension; tiles of a layer are cut between them
  int64_t products;  ///< none: the window's
  int64_t codeTerms; ///< codes that all transformed ones are made of
  int64_t weightTerms;
  int64_t sumTerms;             ///< outputs that all sums of products are added to
  int64_t roundings;            ///< additions of a half, of the codes and of the weights
  int64_t depth;                ///< additions one after the other on the way of a number
  int64_t codeBits, weightBits; ///< of the factors, with the sign
  bool isLossy;                 ///< tiles that begin elsewhere give other results
};

const WinogradWork &workOf(WinogradForm form);

/// Tiles of so many outputs.
int64_t winogradTiles(WinogradForm form, int64_t height, int64_t width);

/// Why the layer cannot be done so, as the rest of a sentence about it; empty if it can.
std::string winogradProblem(WinogradForm form, const MatrixLayer &layer,
                            const ConstantInfo &weights, int64_t inputChannels);

/// How a command's products are others than its layer's, as the rest of a sentence about it; empty
/// if they are the layer's.
std::string productsProblem(const Layer &layer, const ConvCommand &command);

/// Are the multipliers wide enough?
bool multipliesTransformed(WinogradForm form, const MultiplierTarget &multiplier);

/// Why a layer of that shape cannot be cut so, as the rest of a sentence about it; empty if it can:
/// where tiles begin matters to a lossy form, and its windows cannot be summed in two commands.
std::string winogradTilingProblem(const MatrixShape &shape, const Tiling &tiling);

/// FAILED_PRECONDITION names the first layer by Winograd for which the multipliers are too narrow.
absl::Status checkWinograd(const Network &network, const MultiplierTarget &multiplier);

/// Cycles of a layer whose products are made so, with what overlaps overlapping, at the tiling that
/// searchTiles() finds; nothing where none fits. The layer has no winogradProblem() with that form,
/// and the multipliers are wide enough.
std::optional<int64_t> winogradCycles(MatrixShape shape, WinogradForm form, const Target &target);

/// The same without and with F(2x2, 3x3). A layer that waits for its weights takes as long either
/// way: it pays there where it keeps the arrays busy for no longer, so not where a picture has
/// fewer tiles of outputs than a tile of weights has rows.
struct WinogradChoice {
  std::optional<int64_t> direct, winograd;
  int64_t directWork = 0, winogradWork = 0; ///< cycles of arrays or vector unit
  bool pays() const {
    return winograd &&
           (!direct || *winograd < *direct || (*winograd == *direct && winogradWork <= directWork));
  }
};

/// Of a matrix layer without winogradProblem(); what its form is now does not matter.
WinogradChoice winogradChoice(const Network &network, const Layer &layer, const Target &target);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_WINOGRADLAYERS_H
