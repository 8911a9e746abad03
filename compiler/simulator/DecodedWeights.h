//===- DecodedWeights.h - int8 weights of whole layers ----------*- C++ -*-===//
//
// Blocks of a layer are few, and decoding one takes one thread: the blocks of some layers together
// keep all threads busy. What was decoded is forgotten when the next layers are.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SIMULATOR_DECODEDWEIGHTS_H
#define SDOPT_COMPILER_SIMULATOR_DECODEDWEIGHTS_H

#include "compiler/kernels/Convolve.h"
#include "compiler/kernels/Tensor.h"
#include "compiler/simulator/WholeLayers.h"

#include <span>
#include <vector>

namespace sdopt {

class DecodedWeights {
public:
  /// Neither is copied.
  DecodedWeights(std::span<const WholeLayer> layers, std::span<const std::byte> constants)
      : layers_(layers), constants_(constants) {}

  /// The tiles of a layer, to the next call; layers are asked for in order. Empty if they do not
  /// fit memory or a stream does not decode.
  std::span<const WeightTile> of(size_t layer);

private:
  void decode(size_t first);

  const std::span<const WholeLayer> layers_;
  const std::span<const std::byte> constants_;
  size_t first_ = 0; ///< of the layers that are decoded
  std::vector<std::vector<WeightTile>> tiles_;
  Tensor decoded_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_DECODEDWEIGHTS_H
