//===- WholeResults.h - whole tensors in and out ----------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_SIMULATOR_WHOLERESULTS_H
#define SDOPT_COMPILER_SIMULATOR_WHOLERESULTS_H

#include "compiler/kernels/Tensor.h"
#include "compiler/simulator/CommandExecution.h"
#include "compiler/simulator/WholeLayers.h"

namespace sdopt {

/// The codes [pixels][channels] of a whole tensor, as they lie or put together.
class WholeInput {
public:
  WholeInput(const WholePlace &place, ElementType type, int64_t pixels, int64_t channels,
             const MemoryImages &memory);
  const std::byte *codes() const { return codes_; }

private:
  Tensor dense_;
  const std::byte *codes_;
};

/// Codes [pixels][channels] that are computed where they stay if they lie there together.
class WholeOutput {
public:
  WholeOutput(const WholeResult &result, ElementType type, int64_t pixels, int64_t channels,
              const MemoryImages &memory);
  /// To be written, then passed on.
  std::byte *codes() const { return codes_; }
  /// Puts what was written wherever else it stays.
  void spread() const;

private:
  const WholeResult result_;
  const int64_t width_, pixels_, channels_;
  const MemoryImages &memory_;
  Tensor dense_;
  std::byte *codes_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_WHOLERESULTS_H
