//===- MemoryRecount.h - what lies where and how long -----------*- C++ -*-===//
//
// By brute force from the package's tensors, layers and commands.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_FIGURES_MEMORYRECOUNT_H
#define SDOPT_COMPILER_FIGURES_MEMORYRECOUNT_H

#include "compiler/package/Package.h"

namespace sdopt {

/// Bytes that a phase leaves in the arena for later ones.
int64_t keptBytes(const Network &network, Phase phase);

/// A tensor with bytes of its own in the arena and the layers in which they matter.
struct TensorRecount {
  TensorId tensor = kNone;
  int64_t first = 0, last = 0;
};
/// By offset, then first layer.
std::vector<TensorRecount> recountTensors(const ModuleInfo &info);
/// Bytes alive in the layer with the most.
int64_t mostLiveBytes(const ModuleInfo &info, const std::vector<TensorRecount> &tensors);
/// End of the last tensor, rounded up to 64.
int64_t endOfArena(const ModuleInfo &info, const std::vector<TensorRecount> &tensors);

/// Bytes of SRAM that the commands of each layer touch.
std::vector<int64_t> recountSram(const ModuleInfo &info);
/// End of the highest operand of all commands.
int64_t endOfSram(const ModuleInfo &info);

/// Of each constant of weights, what the commands read: streams, and the same with each filled up
/// to 16 bytes. Of other constants their bytes.
struct ConstantRecount {
  int64_t bytes = 0, padded = 0;
};
std::vector<ConstantRecount> recountConstants(const ModuleInfo &info);

} // namespace sdopt

#endif // SDOPT_COMPILER_FIGURES_MEMORYRECOUNT_H
