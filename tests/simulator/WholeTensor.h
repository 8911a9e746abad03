//===- WholeTensor.h - a layer without tiles --------------------*- C++ -*-===//
//
// The oracle of the simulator: one layer on whole tensors with the naive kernels. Knows nothing of
// plans and commands.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TESTS_SIMULATOR_WHOLETENSOR_H
#define SDOPT_TESTS_SIMULATOR_WHOLETENSOR_H

#include "compiler/schedule/Network.h"

#include <map>

namespace sdopt::test {

/// Bytes of each constant, before packing.
using ConstantBytes = std::vector<std::vector<std::byte>>;

/// Codes of the layer's output from the codes of its inputs.
Tensor evaluateWhole(const Network &network, const Layer &layer, const std::vector<Tensor> &inputs,
                     const ConstantBytes &constants);

} // namespace sdopt::test

#endif // SDOPT_TESTS_SIMULATOR_WHOLETENSOR_H
