//===- InputPower.cpp - how much each input of a layer carries ---------------===//

#include "compiler/prune/InputPower.h"

#include "compiler/kernels/KernelThreads.h"

namespace sdopt {

namespace {
/// Channels that one thread adds up.
constexpr int64_t kChannels = 64;
} // namespace

InputPower::InputPower(const KernelWindow &window)
    : window_(window), sums_(static_cast<size_t>(window.taps() * window.channels)) {}

void InputPower::add(const float *input, int64_t pictures, double weight) {
  const int64_t parts = (window_.channels + kChannels - 1) / kChannels;
  parallelFor(window_.taps() * parts, [&](int64_t i, int) {
    const int64_t first = i % parts * kChannels;
    addTap(input, pictures, weight, i / parts, first,
           std::min(window_.channels, first + kChannels));
  });
}

void InputPower::addTap(const float *input, int64_t pictures, double weight, int64_t tap,
                        int64_t first, int64_t last) {
  const int64_t down = tap / window_.kernelWidth * window_.dilationH - window_.top;
  const int64_t across = tap % window_.kernelWidth * window_.dilationW - window_.left;
  double *sums = sums_.data() + tap * window_.channels;
  for (int64_t picture = 0; picture < pictures; ++picture)
    for (int64_t y = 0; y < window_.outHeight; ++y) {
      const int64_t h = y * window_.strideH + down;
      if (h < 0 || h >= window_.height)
        continue;
      for (int64_t x = 0; x < window_.outWidth; ++x) {
        const int64_t w = x * window_.strideW + across;
        if (w < 0 || w >= window_.width)
          continue;
        const float *pixel =
            input + ((picture * window_.height + h) * window_.width + w) * window_.channels;
        for (int64_t c = first; c < last; ++c) {
          const double value = pixel[c];
          sums[c] += weight * (value * value);
        }
      }
    }
}

} // namespace sdopt
