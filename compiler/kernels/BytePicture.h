//===- BytePicture.h - the input of a convolution as bytes ------*- C++ -*-===//
//
// A band of output rows needs a band of the input, which becomes one or two planes of unsigned
// bytes (ByteBlocks.h) in one of two layouts, both with a constant distance from row to row of the
// matrix product:
//
//   padded (stride 1):  the picture with its padding; a tap is an offset into it, and the matrix
//   has
//                       a row for every pixel of the padded width, those at the right edge unused
//   gathered:           the patch of each output pixel, one tap
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_BYTEPICTURE_H
#define SDOPT_COMPILER_KERNELS_BYTEPICTURE_H

#include "compiler/kernels/ByteBlocks.h"

#include <vector>

namespace sdopt {

class BytePicture {
public:
  BytePicture(const ConvTile &tile, Codes x);

  int planes() const { return wide ? 2 : 1; }
  /// Bytes from one row of the matrix to the next.
  int64_t rowStride() const { return stride; }
  std::span<const int64_t> taps() const { return offsets; }
  int64_t tapDepth() const { return depth; }
  /// Weights are [output channels][weightTaps][weightChannels].
  int64_t weightTaps() const { return padded ? tile.kernelHeight * tile.kernelWidth : 1; }
  int64_t weightChannels() const;

  /// Rows of the matrix for some output rows; column `width` of each output row starts the next.
  int64_t width() const { return padded ? paddedWidth : tile.outputWidth; }
  /// Bytes of one plane for a band of output rows.
  int64_t planeBytes(int64_t outputRows) const;
  /// The band is filled piece by piece, pieces in any order.
  int64_t pieces(int64_t outputRows) const;
  void fill(int64_t firstOutputRow, int64_t piece, uint8_t *high, uint8_t *low) const;

private:
  void fillRow(int64_t inputRow, uint8_t *high, uint8_t *low) const;
  void fillPatches(int64_t outputRow, uint8_t *high, uint8_t *low) const;
  void copy(int64_t from, int64_t count, uint8_t *high, uint8_t *low) const;
  void pad(int64_t count, uint8_t *high, uint8_t *low) const;

  ConvTile tile;
  Codes x;
  bool wide, padded;
  int64_t paddedWidth, depth, stride;
  std::vector<int64_t> offsets;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_BYTEPICTURE_H
