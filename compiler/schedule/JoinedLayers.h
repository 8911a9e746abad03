//===- JoinedLayers.h - layers that follow in the tiles of another -*- C++ -*-===//
//
// A layer that is joined (LayerPlan::joined) takes each tile of results of the layer before it
// while that is in SRAM. Joined layers form a group with their leader, a matrix layer or a group
// norm: both have the same tiles, as adaptive scheduling asks for (a map that is split in N parts
// feeds a map that is split in N parts, or goes to DRAM). What nothing else reads is never in DRAM.
//
//   conv -> combine(+ skip) -> layer norm     conv: not stored; combine: stored, others read it
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_JOINEDLAYERS_H
#define SDOPT_COMPILER_SCHEDULE_JOINEDLAYERS_H

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"

#include <string>
#include <vector>

namespace sdopt {

/// What the joined layers of a network may be, and what they are in its tiles.
class JoinedLayers {
public:
  /// The network must have passed checkNetwork() and outlive this.
  explicit JoinedLayers(const Network &network);

  /// Why layer `layer` cannot follow in the tiles of `lead`, with all layers between them; "" if it
  /// can.
  std::string problem(size_t lead, size_t layer) const;

  /// Why it cannot if `lead` is cut in this way: gated channels in pairs of tiles that follow each
  /// other, rows whole; "" if it can.
  std::string tilingProblem(size_t layer, const Tiling &tiling, size_t lead) const;

  /// Does the result of a layer of the group that ends before `end` go to DRAM?
  bool isStored(size_t layer, size_t end) const;

  /// Which input of a joined layer is the result of the one before it: 0 or 1.
  size_t carriedInput(size_t layer) const;

  /// Shape of layers [lead, end) together. Those that follow can be joined.
  LayerShape shape(size_t lead, size_t end) const;

private:
  TailShape tailShape(size_t layer, size_t end) const;

  const Network &network;
  std::vector<int64_t> readers; ///< by tensor, of all its views; outputs count as one more
};

/// Why a plan with tilings cannot join what it joins, with the layer's name; "" if it can.
std::string joinProblem(const Network &network, const Plan &plan);

/// One past the last layer of the group that `lead` leads.
size_t groupEnd(const Plan &plan, size_t lead);
/// The leader of the group that a layer is of.
size_t leaderOf(const Plan &plan, size_t layer);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_JOINEDLAYERS_H
