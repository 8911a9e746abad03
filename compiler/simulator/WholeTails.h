//===- WholeTails.h - joined layers over whole tensors ----------*- C++ -*-===//

#ifndef SDOPT_COMPILER_SIMULATOR_WHOLETAILS_H
#define SDOPT_COMPILER_SIMULATOR_WHOLETAILS_H

#include "compiler/simulator/CommandExecution.h"
#include "compiler/simulator/WholeLayers.h"

namespace sdopt {

/// What the tails of a layer make of its whole result, the codes of all pictures at `result`;
/// stores theirs in the arena.
void executeTails(const WholeLayer &layer, const std::byte *result, const MemoryImages &memory,
                  const IntegerKernels &kernels);

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_WHOLETAILS_H
