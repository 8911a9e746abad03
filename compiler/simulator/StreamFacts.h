//===- StreamFacts.h - what a stream of weights saves and costs -*- C++ -*-===//
//
// The cost of a command may depend on the weights that it reads: zeros that their form tells are
// not multiplied (docs/isa.md, "Timing", sparse weights), and an entropy decoder is busy with the
// codes that are stored.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SIMULATOR_STREAMFACTS_H
#define SDOPT_COMPILER_SIMULATOR_STREAMFACTS_H

#include "compiler/schedule/Command.h"
#include "compiler/target/Target.h"

#include <map>
#include <span>
#include <vector>

namespace sdopt {

struct StreamFacts {
  int64_t codes = 0;     ///< that an entropy decoder makes; 0: it makes none
  bool isSparse = false; ///< zeros are skipped; the rest is only known then
  int64_t nonzeros = 0;
  int64_t rows = 0; ///< input channels that the arrays take, for all taps and output blocks
  std::vector<int64_t> tiles = {}; ///< weight tiles of each block of output channels, over all taps
};

/// Of weights [outputs][taps][inputs].
StreamFacts sparseFacts(const WeightExtent &block, std::span<const int8_t> weights,
                        const ArrayTarget &array);

/// The facts of the streams of a program, each looked at once.
class ProgramStreams {
public:
  /// Which stream each convolution multiplies with: that which was put last where it reads.
  ProgramStreams(const Program &program, std::span<const std::byte> constants,
                 const ArrayTarget &array);

  /// Of the command's stream; null if its form makes no difference to time.
  const StreamFacts *facts(int32_t command);

private:
  const DmaWeights *streamOf(int32_t command) const;

  const Program &program_;
  std::span<const std::byte> constants_;
  ArrayTarget array_;
  std::vector<int32_t> feeders_;         ///< by command; -1: none
  std::map<int64_t, StreamFacts> known_; ///< by place of the stream
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_STREAMFACTS_H
