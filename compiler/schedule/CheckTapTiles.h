//===- CheckTapTiles.h - where tiles by F(4x4, 3x3) begin -------*- C++ -*-===//
//
// A part of checkDataflow(). Codes are rounded after they are transformed, so that the sums depend
// on which 6x6 of them are transformed together: those that give rows and columns 4 i to 4 i + 3 of
// the layer's result. Which outputs a command makes follows from where its input comes from.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_CHECKTAPTILES_H
#define SDOPT_COMPILER_SCHEDULE_CHECKTAPTILES_H

#include "compiler/schedule/CheckCommand.h"
#include "compiler/schedule/Plan.h"

#include <map>
#include <optional>
#include <span>

namespace sdopt {

class TapTiles {
public:
  TapTiles(const Network &network, const Plan &plan);

  /// What is wrong with a command, whose footprints are sound; in the order of the program.
  std::string check(const Command &command, std::span<const Footprint> footprints);

private:
  /// The place of a pixel.
  struct Pixel {
    int64_t row, column;
  };
  struct Piece {
    int64_t end;
    DmaLoad load;
  };

  std::string tileProblem(const Layer &layer, const ConvCommand &c) const;
  std::optional<Pixel> firstPixel(const Layer &layer, SramOffset input) const;
  std::optional<int64_t> dramByte(SramOffset at) const;
  std::optional<int64_t> residentPixel(TensorId id, SramOffset at) const;

  const Network &network_;
  const Plan &plan_;
  bool isNeeded_;
  std::map<int64_t, Piece> pieces_; ///< what loads from the arena have left, by begin in SRAM
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_CHECKTAPTILES_H
