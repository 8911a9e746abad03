//===- RandomParameters.h - parameters and constants of random layers -*- C++ -*-===//

#ifndef SDOPT_TESTS_SIMULATOR_RANDOMPARAMETERS_H
#define SDOPT_TESTS_SIMULATOR_RANDOMPARAMETERS_H

#include "compiler/schedule/Network.h"

#include <cstring>
#include <random>

namespace sdopt::test {

inline int64_t pick(std::mt19937 &random, int64_t least, int64_t most) {
  return least + static_cast<int64_t>(random() % static_cast<uint32_t>(most - least + 1));
}

inline Scaling randomScaling(std::mt19937 &random, int64_t leastShift, int64_t mostShift) {
  return {static_cast<int32_t>((int64_t{1} << 30) + pick(random, 0, (1 << 30) - 1)),
          static_cast<int32_t>(pick(random, leastShift, mostShift))};
}

/// Parameters with which results fill their range without being all saturated.
struct ParameterFill {
  std::mt19937 &random;
  void operator()(CombineLayer &s) {
    s.params.scaling = {static_cast<int32_t>(pick(random, 1 << 28, 1 << 30)),
                        static_cast<int32_t>(pick(random, 1 << 28, 1 << 30)),
                        static_cast<int32_t>(pick(random, 29, 38))};
  }
  void operator()(GegluLayer &s) { s.params.scaling = randomScaling(random, 45, 60); }
  void operator()(NormLayer &s) {
    s.params.epsilon = random();
    s.params.shift = static_cast<int32_t>(pick(random, 24, 30));
  }
  void operator()(AttentionLayer &s) {
    s.params.exponent = randomScaling(random, 30, 55);
    s.params.output = randomScaling(random, 30, 36);
  }
  void operator()(ModulateLayer &s) {
    s.params = {pick(random, 1 << 8, 1 << 16), pick(random, 0, 1 << 20), pick(random, 0, 1 << 24),
                static_cast<int32_t>(pick(random, 16, 30))};
  }
  void operator()(TimeEmbeddingLayer &s) {
    s.params.fractionBits = static_cast<int32_t>(pick(random, 0, 30));
  }
  template <typename Other> void operator()(Other &) {}
};

template <typename T, typename Make> std::vector<std::byte> filled(int64_t bytes, Make make) {
  std::vector<std::byte> out(static_cast<size_t>(bytes));
  for (size_t i = 0; i < out.size() / sizeof(T); ++i) {
    const T value = make();
    std::memcpy(out.data() + i * sizeof(T), &value, sizeof(T));
  }
  return out;
}

/// Sums of layers by F(4x4, 3x3) are about 2^9 times as large as those of others.
inline void fitTapWise(const Network &network, std::vector<std::vector<std::byte>> &constants) {
  for (const Layer &layer : network.layers) {
    const auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
    if (!matrix || matrix->winograd != WinogradForm::F4x4)
      continue;
    std::vector<std::byte> &params = constants[matrix->params];
    for (size_t at = 0; at < params.size(); at += sizeof(ChannelParams)) {
      ChannelParams channel;
      std::memcpy(&channel, params.data() + at, sizeof(channel));
      channel.shift += 9;
      std::memcpy(params.data() + at, &channel, sizeof(channel));
    }
  }
}

inline std::vector<std::byte> randomConstant(const ConstantInfo &info, std::mt19937 &random) {
  switch (info.kind) {
  case ConstantKind::ChannelParams:
    return filled<ChannelParams>(info.bytes, [&] {
      const Scaling scaling = randomScaling(random, 33, 48);
      return ChannelParams{pick(random, 0, 200000) - 100000, scaling.multiplier, scaling.shift};
    });
  case ConstantKind::NormChannels:
    return filled<NormChannel>(info.bytes, [&] {
      return NormChannel{pick(random, 0, 1 << 30) - (1 << 29),
                         static_cast<int32_t>(pick(random, 0, 1 << 15)) - (1 << 14), 0};
    });
  case ConstantKind::Table:
    return filled<int32_t>(
        info.bytes, [&] { return static_cast<int32_t>(pick(random, 0, 1 << 24)) - (1 << 23); });
  case ConstantKind::RowMultipliers:
    return filled<int32_t>(info.bytes,
                           [&] { return static_cast<int32_t>(pick(random, 0, 1 << 30)); });
  case ConstantKind::Weights:
  case ConstantKind::Rows:
  case ConstantKind::Codes:
    break;
  }
  return filled<int8_t>(info.bytes, [&] { return static_cast<int8_t>(random()); });
}

} // namespace sdopt::test

#endif // SDOPT_TESTS_SIMULATOR_RANDOMPARAMETERS_H
