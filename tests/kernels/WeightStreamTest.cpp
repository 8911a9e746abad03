// Streams of weight blocks: written and read back, against the definition, and read from anything.

#include "compiler/kernels/WeightStream.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace sdopt {
namespace {

struct Layer {
  WeightForm form;
  WeightWindow window;
  std::vector<int8_t> codes, scales, zeros;

  Layer(WeightForm f, int64_t outputs, int64_t taps, int64_t inputs, uint32_t seed)
      : form(f), window{outputs, taps, inputs} {
    std::mt19937 random(seed);
    const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % n); };
    const int64_t half = int64_t{1} << (form.bits - 1);
    for (int64_t i = 0; i < outputs * taps * inputs; ++i)
      codes.push_back(static_cast<int8_t>(below(2 * half) - half));
    for (int64_t i = 0; i < outputs * form.groupTaps(taps) * form.groups(inputs); ++i) {
      scales.push_back(static_cast<int8_t>(1 + below(kLargestGroupScale)));
      zeros.push_back(static_cast<int8_t>((below(16) - 8) * form.zeroStep()));
    }
  }
  StoredWeights stored() const { return {codes, scales, zeros}; }

  int8_t meaning(int64_t o, int64_t tap, int64_t i) const {
    const int8_t code = codes[(o * window.taps + tap) * window.inputs + i];
    if (form.coding == WeightCoding::Raw || !form.hasScales())
      return code;
    const int64_t groupTaps = form.groupTaps(window.taps), groups = form.groups(window.inputs);
    const int64_t at = (o * groupTaps + (groupTaps == 1 ? 0 : tap)) * groups +
                       (form.groupSize ? i / form.groupSize : 0);
    return decodedWeight(code, form.symmetric ? 0 : zeros[at], scales[at]);
  }
};

std::vector<WeightForm> forms() {
  std::vector<WeightForm> all = {{}};
  for (int64_t bits = 2; bits <= 8; ++bits)
    for (int64_t size : {0, 16, 23, 64, 256})
      for (bool symmetric : {true, false})
        for (bool shared : {true, false})
          all.push_back({WeightCoding::Grouped, bits, size, symmetric, shared});
  return all;
}

/// Every block of several tilings decodes to the weights that it stands for and fills its bytes.
TEST(WeightStream, BlocksMeanTheirWeights) {
  for (const WeightForm &form : forms())
    for (auto [outputs, taps, inputs] : {std::array<int64_t, 3>{5, 9, 70}, {3, 1, 129}, {1, 4, 1}})
      for (auto [tileO, tileI] : {std::array<int64_t, 2>{100, 300}, {2, 33}, {1, 64}}) {
        SCOPED_TRACE(name(form));
        ASSERT_EQ(formProblem(form), "");
        Layer layer(form, outputs, taps, inputs, 9);
        for (int64_t o = 0; o < outputs; o += tileO)
          for (int64_t i = 0; i < inputs; i += tileI) {
            layer.window.firstOutput = o;
            layer.window.firstInput = i;
            const WeightExtent block{std::min(tileO, outputs - o), taps,
                                     std::min(tileI, inputs - i),
                                     form.groupSize ? i % form.groupSize : 0};
            const int64_t bytes = storedBytes(form, block);
            std::vector<std::byte> stream(bytes + 1, std::byte{0x5a});
            ASSERT_EQ(encodeWeights(form, layer.stored(), layer.window, block, stream.data()),
                      bytes);
            EXPECT_EQ(stream.back(), std::byte{0x5a});
            stream.pop_back();
            stream.shrink_to_fit(); // so that a sanitizer sees a read past the end
            std::vector<int8_t> back(block.weights() + 1, 77);
            ASSERT_TRUE(decodeWeights(form, block, stream, back.data()));
            EXPECT_EQ(back.back(), 77);
            for (int64_t a = 0, at = 0; a < block.outputs; ++a)
              for (int64_t tap = 0; tap < taps; ++tap)
                for (int64_t b = 0; b < block.inputs; ++b, ++at)
                  ASSERT_EQ(back[at], layer.meaning(o + a, tap, i + b));
          }
      }
}

TEST(WeightStream, AnyBytesAreAStream) {
  std::mt19937 random(3);
  for (const WeightForm &form : forms()) {
    const WeightExtent block{3, 9, 50, form.groupSize ? 7 : 0};
    std::vector<std::byte> stream(storedBytes(form, block));
    for (std::byte &byte : stream)
      byte = static_cast<std::byte>(random() & 255);
    std::vector<int8_t> weights(block.weights());
    EXPECT_TRUE(decodeWeights(form, block, stream, weights.data()));
  }
}

/// docs/format.md, "Weight streams".
TEST(WeightStream, FourBitsInGroups) {
  const WeightForm form{WeightCoding::Grouped, 4, 16, true, false};
  const WeightExtent block{1, 1, 18, 0};
  EXPECT_EQ(storedBytes(form, block), 1 + 9);
  std::vector<std::byte> stream(10, std::byte{0x21}); // codes 1, 2, 1, 2, ...
  stream[0] = std::byte{0xf2};                        // scales 3 and 16
  stream[9] = std::byte{0x8f};                        // codes -1 and -8
  std::vector<int8_t> weights(18);
  ASSERT_TRUE(decodeWeights(form, block, stream, weights.data()));
  EXPECT_EQ(weights[0], 3);
  EXPECT_EQ(weights[1], 6);
  EXPECT_EQ(weights[16], -16);
  EXPECT_EQ(weights[17], -128);
}

TEST(WeightStream, WrongFormsAreNamed) {
  const auto problem = [](WeightForm form) { return formProblem(form); };
  EXPECT_EQ(problem({WeightCoding::Grouped, 1, 64}), "bits is 1; needs 2..8");
  EXPECT_EQ(problem({WeightCoding::Grouped, 9, 64}), "bits is 9; needs 2..8");
  EXPECT_EQ(problem({WeightCoding::Grouped, 4, 15}), "group size is 15; needs 0 or 16..256");
  EXPECT_EQ(problem({WeightCoding::Grouped, 4, 257}), "group size is 257; needs 0 or 16..256");
  EXPECT_EQ(problem({WeightCoding::Grouped, 4, -1}), "group size is -1; needs 0 or 16..256");
  EXPECT_EQ(problem({static_cast<WeightCoding>(7)}),
            "coding is 7; needs 0 (raw), 1 (grouped) or 2 (palette)");
  EXPECT_NE(problem({WeightCoding::Raw, 4}), "");
}

} // namespace
} // namespace sdopt
