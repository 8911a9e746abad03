#include "compiler/simulator/WholeResults.h"

#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/RecycledTensor.h"

#include <cstring>

namespace sdopt {
namespace {

constexpr int64_t kPixelsAtOnce = 256;

/// `pixels` runs of bytes from rows of one pitch to rows of another.
void copyRuns(const std::byte *from, int64_t fromPitch, std::byte *to, int64_t toPitch, int64_t run,
              int64_t pixels) {
  parallelRanges(pixels, kPixelsAtOnce, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i)
      std::memcpy(to + i * toPitch, from + i * fromPitch, static_cast<size_t>(run));
  });
}

std::byte *mutableCodes(Tensor &tensor) {
  return reinterpret_cast<std::byte *>(tensor.mutableBytes());
}

} // namespace

WholeInput::WholeInput(const WholePlace &place, ElementType type, int64_t pixels, int64_t channels,
                       const MemoryImages &memory)
    : codes_((place.block > 0 ? memory.sram : memory.arena).data() + place.offset) {
  if (place.block == 0 || place.block == channels)
    return;
  const int64_t width = byteWidth(type), run = place.block * width;
  dense_ = recycledTensor(type, {pixels, channels});
  for (int64_t i = 0; i < channels / place.block; ++i)
    copyRuns(codes_ + i * pixels * run, run, mutableCodes(dense_) + i * run, channels * width, run,
             pixels);
  codes_ = mutableCodes(dense_);
}

WholeOutput::WholeOutput(const WholeResult &result, ElementType type, int64_t pixels,
                         int64_t channels, const MemoryImages &memory)
    : result_(result), width_(byteWidth(type)), pixels_(pixels), channels_(channels),
      memory_(memory) {
  if (result.isStored && result.rowChannels == channels) {
    codes_ = memory.arena.data() + result.offset;
  } else if (result.resident.block == channels) {
    codes_ = memory.sram.data() + result.resident.offset;
  } else {
    dense_ = recycledTensor(type, {pixels, channels});
    codes_ = mutableCodes(dense_);
  }
}

void WholeOutput::spread() const {
  const int64_t bytes = channels_ * width_;
  if (result_.isStored) {
    std::byte *rows = memory_.arena.data() + result_.offset + result_.firstChannel * width_;
    if (codes_ != rows)
      copyRuns(codes_, bytes, rows, result_.rowChannels * width_, bytes, pixels_);
  }
  if (result_.resident.block > 0) {
    std::byte *blocks = memory_.sram.data() + result_.resident.offset;
    const int64_t run = result_.resident.block * width_;
    for (int64_t i = 0; i < bytes / run && codes_ != blocks; ++i)
      copyRuns(codes_ + i * run, bytes, blocks + i * pixels_ * run, run, run, pixels_);
  }
}

} // namespace sdopt
