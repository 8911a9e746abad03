//===- Noise.cpp - seeded Gaussian noise ------------------------------------===//

#include "tools/sdopt-run/Noise.h"

#include "compiler/kernels/IntegerKernels.h"

#include <cmath>

namespace sdopt {

namespace {

constexpr double kTwoPi = 0x1.921fb54442d18p+2;
constexpr double kTwoLn2 = 0x1.62e42fefa39efp+0;

/// Two normal values from two words: radius from the first in (0, 1], angle from the second.
std::array<float, 2> boxMuller(uint32_t first, uint32_t second) {
  double radius = std::sqrt(-kTwoLn2 * deterministicLog2((first + 1.0) * 0x1p-32));
  double angle = kTwoPi * (second * 0x1p-32);
  return {static_cast<float>(radius * deterministicSin(angle + kTwoPi / 4)),
          static_cast<float>(radius * deterministicSin(angle))};
}

} // namespace

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

Tensor gaussianNoise(const Shape &shape, uint64_t seed, uint64_t stream) {
  Tensor noise(ElementType::F32, shape);
  auto values = noise.mutableValues<float>();
  std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (size_t i = 0; i < values.size(); i += 4) {
    uint64_t block = i / 4;
    auto words = philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                         static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
                        key);
    auto low = boxMuller(words[0], words[1]), high = boxMuller(words[2], words[3]);
    const float drawn[] = {low[0], low[1], high[0], high[1]};
    for (size_t j = 0; j < 4 && i + j < values.size(); ++j)
      values[i + j] = drawn[j];
  }
  return noise;
}

} // namespace sdopt
