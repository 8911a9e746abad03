// Streams of all forms: palettes, layouts of zeros, entropy coding; written and read back, smaller
// where they should be, and read from bytes that are no stream.

#include "compiler/kernels/EntropyCoder.h"
#include "compiler/kernels/VectorLoop.h"
#include "compiler/kernels/WeightStream.h"
#include "compiler/kernels/ZeroLayouts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace sdopt {
namespace {

int64_t below(std::mt19937 &random, int64_t n) { return static_cast<int64_t>(random() % n); }

/// About normal: a sum of uniform numbers.
int8_t bellCode(std::mt19937 &random, int64_t bits) {
  const int64_t half = int64_t{1} << (bits - 1);
  int64_t sum = 0;
  for (int i = 0; i < 8; ++i)
    sum += below(random, 2 * half) - half;
  return static_cast<int8_t>(std::clamp<int64_t>(sum / 5, -half, half - 1));
}

/// A layer of random codes, of which `density` percent mean something other than 0 where the form
/// lets a weight be 0.
struct Layer {
  WeightForm form;
  WeightWindow window;
  std::vector<int8_t> codes, scales, zeros, palettes;

  Layer(const WeightForm &f, int64_t outputs, int64_t taps, int64_t inputs, int64_t density,
        uint32_t seed)
      : form(f), window{outputs, taps, inputs} {
    std::mt19937 random(seed);
    const int64_t entries = form.paletteEntries();
    if (form.coding == WeightCoding::Palette)
      for (int64_t i = 0; i < form.palettes(outputs) * entries; ++i)
        palettes.push_back(
            static_cast<int8_t>(i % entries == 0 ? 0 : below(random, 127) - (i % 2) * 127));
    if (form.coding == WeightCoding::Grouped && form.hasScales())
      for (int64_t i = 0; i < outputs * form.groupTaps(taps) * form.groups(inputs); ++i) {
        scales.push_back(static_cast<int8_t>(1 + below(random, kLargestGroupScale)));
        if (!form.symmetric)
          zeros.push_back(static_cast<int8_t>((below(random, 4) - 2) * form.zeroStep()));
      }
    for (int64_t i = 0; i < outputs * taps * inputs; ++i) {
      const bool isZero = below(random, 100) >= density;
      const int8_t code = form.coding == WeightCoding::Palette
                              ? static_cast<int8_t>(below(random, entries))
                              : bellCode(random, form.bits);
      codes.push_back(isZero ? zeroCode(i) : code);
    }
  }

  int8_t zeroCode(int64_t i) const { return zeros.empty() ? int8_t{0} : zeros[groupOf(i)]; }

  int64_t groupOf(int64_t i) const {
    const int64_t input = i % window.inputs, tap = i / window.inputs % window.taps,
                  o = i / window.inputs / window.taps;
    const int64_t groupTaps = form.groupTaps(window.taps);
    return (o * groupTaps + (groupTaps == 1 ? 0 : tap)) * form.groups(window.inputs) +
           (form.groupSize ? input / form.groupSize : 0);
  }

  int8_t meaning(int64_t o, int64_t tap, int64_t input) const {
    const int64_t i = (o * window.taps + tap) * window.inputs + input;
    if (form.coding == WeightCoding::Palette) {
      const int64_t palette = form.paletteOutputs ? o / form.paletteOutputs : 0;
      return palettes[palette * form.paletteEntries() + static_cast<uint8_t>(codes[i])];
    }
    if (scales.empty())
      return codes[i];
    return decodedWeight(codes[i], zeros.empty() ? 0 : zeros[groupOf(i)], scales[groupOf(i)]);
  }

  /// At most form.kept weights other than 0 in each run.
  void obeyRuns() {
    for (int64_t row = 0; row < window.outputs * window.taps; ++row)
      for (int64_t first = 0; first < window.inputs; first += form.run) {
        int64_t left = form.kept;
        for (int64_t i = first; i < std::min(first + form.run, window.inputs); ++i) {
          const int64_t at = row * window.inputs + i;
          if (meaning(row / window.taps, row % window.taps, i) != 0 && left-- <= 0)
            codes[at] = zeroCode(at);
        }
      }
  }

  StoredWeights stored() const { return {codes, scales, zeros, palettes}; }
};

std::vector<WeightForm> codings() {
  std::vector<WeightForm> all = {{}};
  for (int64_t bits : {1, 2, 3, 4, 5, 7, 8})
    for (int64_t outputs : {0, 3})
      all.push_back({.coding = WeightCoding::Palette, .bits = bits, .paletteOutputs = outputs});
  for (int64_t bits : {2, 4, 5, 8})
    for (int64_t size : {0, 23})
      for (bool symmetric : {true, false})
        all.push_back({WeightCoding::Grouped, bits, size, symmetric, size == 0});
  return all;
}

std::vector<WeightForm> forms() {
  std::vector<WeightForm> all;
  for (const WeightForm &coding : codings())
    for (int64_t lanes : {0, 1, 7, 64}) {
      WeightForm form = coding;
      form.lanes = lanes;
      for (ZeroLayout zeros : {ZeroLayout::Dense, ZeroLayout::Bitmap, ZeroLayout::Runs}) {
        form.zeros = zeros;
        all.push_back(form);
      }
      form.zeros = ZeroLayout::Structured;
      for (auto [kept, run] : {std::pair<int64_t, int64_t>{2, 4}, {1, 2}, {3, 16}, {5, 7}}) {
        form.kept = kept;
        form.run = run;
        all.push_back(form);
      }
    }
  return all;
}

struct Encoded {
  WeightExtent block;
  std::vector<std::byte> stream;
};

Encoded encode(const Layer &layer, int64_t firstOutput, int64_t firstInput, int64_t outputs,
               int64_t inputs) {
  WeightWindow window = layer.window;
  window.firstOutput = firstOutput;
  window.firstInput = firstInput;
  Encoded result{blockAt(layer.form, firstOutput, firstInput, outputs, window.taps, inputs), {}};
  const int64_t most = storedBytes(layer.form, result.block);
  result.stream.assign(most + 1, std::byte{0x5a});
  const int64_t bytes =
      encodeWeights(layer.form, layer.stored(), window, result.block, result.stream.data());
  EXPECT_EQ(result.stream.back(), std::byte{0x5a});
  EXPECT_LE(bytes, most);
  if (!layer.form.varies()) {
    EXPECT_EQ(bytes, most);
  }
  result.stream.resize(bytes);
  result.stream.shrink_to_fit(); // so that a sanitizer sees a read past the end
  return result;
}

void expectMeanings(const Layer &layer, int64_t tileO, int64_t tileI) {
  for (int64_t o = 0; o < layer.window.outputs; o += tileO)
    for (int64_t i = 0; i < layer.window.inputs; i += tileI) {
      const Encoded encoded = encode(layer, o, i, std::min(tileO, layer.window.outputs - o),
                                     std::min(tileI, layer.window.inputs - i));
      const WeightExtent &block = encoded.block;
      std::vector<int8_t> back(block.weights() + 1, 77);
      ASSERT_TRUE(decodeWeights(layer.form, block, encoded.stream, back.data()));
      EXPECT_EQ(back.back(), 77);
      for (int64_t a = 0, at = 0; a < block.outputs; ++a)
        for (int64_t tap = 0; tap < block.taps; ++tap)
          for (int64_t b = 0; b < block.inputs; ++b, ++at)
            ASSERT_EQ(back[at], layer.meaning(o + a, tap, i + b));
    }
}

TEST(WeightForms, BlocksMeanTheirWeights) {
  for (const WeightForm &form : forms()) {
    ASSERT_EQ(formProblem(form), "") << name(form);
    SCOPED_TRACE(name(form) + ", lanes " + std::to_string(form.lanes));
    for (auto [outputs, taps, inputs] :
         {std::array<int64_t, 3>{5, 9, 70}, {3, 1, 131}, {1, 4, 1}, {7, 1, 13}})
      for (int64_t density : {0, 8, 45, 100}) {
        Layer layer(form, outputs, taps, inputs, density, 5);
        if (form.zeros == ZeroLayout::Structured && density < 100)
          layer.obeyRuns();
        expectMeanings(layer, 100, 300);
        expectMeanings(layer, 2, 33);
      }
  }
}

/// What is left out takes no bytes.
TEST(WeightForms, ZerosCostWhatTheirLayoutSays) {
  const auto bytes = [](WeightForm form, int64_t density) {
    Layer layer(form, 16, 9, 64, density, 3);
    if (form.zeros == ZeroLayout::Structured)
      layer.obeyRuns();
    return static_cast<int64_t>(encode(layer, 0, 0, 16, 64).stream.size());
  };
  const int64_t weights = int64_t{16} * 9 * 64;
  // 2 of 4 at 8 bits: half the codes and 3 bits for each run.
  EXPECT_EQ(bytes({.zeros = ZeroLayout::Structured, .kept = 2, .run = 4}, 60),
            weights / 2 + weights / 4 * 3 / 8);
  EXPECT_EQ(bytes({.zeros = ZeroLayout::Structured, .kept = 4, .run = 8}, 60),
            weights / 2 + weights / 8 * 7 / 8);
  EXPECT_EQ(bytes({.zeros = ZeroLayout::Bitmap}, 0), weights / 8);
  EXPECT_EQ(bytes({.zeros = ZeroLayout::Runs}, 0), 4 + (weights / 16 + 1) / 2 + weights / 16);
  // All weights are there: nothing is gained, and nothing lost.
  for (ZeroLayout zeros : {ZeroLayout::Bitmap, ZeroLayout::Runs}) {
    Layer layer({.zeros = zeros}, 16, 9, 64, 100, 3);
    std::fill(layer.codes.begin(), layer.codes.end(), int8_t{1});
    EXPECT_EQ(encode(layer, 0, 0, 16, 64).stream.size(), weights);
  }
}

TEST(WeightForms, CombinationsTakeTheFewestBits) {
  EXPECT_EQ(combinationBits(2, 4), 3);
  EXPECT_EQ(combinationBits(1, 2), 1);
  EXPECT_EQ(combinationBits(4, 8), 7);
  EXPECT_EQ(combinationBits(8, 16), 14);
}

/// A run that has more weights than the form keeps makes its block plain.
TEST(WeightForms, RunsThatAreFullerAreStoredPlain) {
  Layer layer({.zeros = ZeroLayout::Structured, .kept = 2, .run = 4}, 4, 1, 16, 100, 1);
  std::fill(layer.codes.begin(), layer.codes.end(), int8_t{3});
  EXPECT_EQ(encode(layer, 0, 0, 4, 16).stream.size(), 64U);
  expectMeanings(layer, 4, 16);
}

std::vector<int8_t> sequence(int kind, int64_t count, CodeAlphabet alphabet) {
  std::mt19937 random(static_cast<uint32_t>(kind));
  std::vector<int8_t> codes;
  for (int64_t i = 0; i < count; ++i) {
    uint8_t symbol = 0;
    switch (kind) {
    case 0: // one symbol
      symbol = static_cast<uint8_t>(alphabet.symbols() - 1);
      break;
    case 1: // all equally often
      symbol = static_cast<uint8_t>(random() & (alphabet.symbols() - 1));
      break;
    case 2: // one rare symbol among another
      symbol = i == count / 2 ? 1 : 0;
      break;
    case 3: // each code once, then the first again and again
      symbol = static_cast<uint8_t>(std::max<int64_t>(alphabet.symbols() - 1 - i, 0));
      break;
    default: // like weights
      symbol = alphabet.symbol(bellCode(random, alphabet.bits));
    }
    codes.push_back(alphabet.code(symbol));
  }
  return codes;
}

TEST(EntropyCoder, DecodesWhatItEncodes) {
  for (int64_t bits = 1; bits <= 8; ++bits)
    for (bool isSigned : {true, false})
      for (int64_t lanes : {1, 2, 13, 16, 48, 256})
        for (int64_t count : {0, 1, 2, 3, 17, 256, 1031, 40000})
          for (int kind = 0; kind < 5; ++kind) {
            const CodeAlphabet alphabet{bits, isSigned};
            const std::vector<int8_t> codes = sequence(kind, count, alphabet);
            std::vector<std::byte> stream;
            entropyEncode(codes, alphabet, lanes, stream);
            for (VectorLevel level : {VectorLevel::Portable, VectorLevel::Avx512}) {
              limitVectorLevel(level);
              std::vector<int8_t> back(codes.size());
              ASSERT_TRUE(entropyDecode(stream, alphabet, lanes, back))
                  << bits << ' ' << lanes << ' ' << count << ' ' << kind;
              ASSERT_EQ(back, codes);
            }
          }
}

/// Within 3 % of the zero-order entropy, all counted, from 64 KiB on; the estimate close by.
TEST(EntropyCoder, CostsLittleMoreThanTheEntropy) {
  for (int64_t bits : {2, 3, 4, 6, 8}) {
    const CodeAlphabet alphabet{bits, true};
    const std::vector<int8_t> codes = sequence(4, (int64_t{64} << 10) * 8 / bits, alphabet);
    SymbolCounts counts = {};
    countSymbols(codes, alphabet, counts);
    const double entropy = zeroOrderEntropy(counts) / 8;
    std::vector<std::byte> stream;
    entropyEncode(codes, alphabet, 64, stream);
    EXPECT_LT(static_cast<double>(stream.size()), 1.012 * entropy) << bits;
    EXPECT_GT(static_cast<double>(stream.size()), 0.995 * entropy) << bits;
    EXPECT_NEAR(static_cast<double>(estimatedEntropyBytes(counts, alphabet, 64)),
                static_cast<double>(stream.size()), 0.005 * entropy)
        << bits;
  }
}

TEST(EntropyCoder, FrequenciesAddUp) {
  std::mt19937 random(8);
  for (int trial = 0; trial < 200; ++trial) {
    const CodeAlphabet alphabet{1 + below(random, 8), true};
    SymbolCounts counts = {};
    for (int64_t s = 0; s < alphabet.symbols(); ++s)
      counts[s] = below(random, 3) == 0 ? 0 : int64_t{1} << below(random, 36);
    counts[below(random, alphabet.symbols())] += 1;
    int64_t sum = 0;
    const auto frequencies = normalizedFrequencies(counts);
    for (size_t s = 0; s < counts.size(); ++s) {
      EXPECT_EQ(frequencies[s] > 0, counts[s] > 0);
      sum += frequencies[s];
    }
    EXPECT_EQ(sum, int64_t{1} << kFrequencyBits);
  }
}

/// Streams with a byte changed, cut short, or of random bytes: an answer, and nothing beyond the
/// buffers.
TEST(WeightForms, AnyBytesAreAStreamOrAnError) {
  std::mt19937 random(6);
  int64_t refused = 0, trials = 0;
  const auto attempt = [&](const WeightForm &form, const WeightExtent &block,
                           std::vector<std::byte> stream) {
    stream.shrink_to_fit();
    std::vector<int8_t> weights(block.weights() + 1, 77);
    refused += decodeWeights(form, block, stream, weights.data()) ? 0 : 1;
    codedCodes(form, block, stream);
    EXPECT_EQ(weights.back(), 77);
    ++trials;
  };
  for (const WeightForm &form : forms()) {
    Layer layer(form, 4, 3, 90, 30, 2);
    if (form.zeros == ZeroLayout::Structured)
      layer.obeyRuns();
    const Encoded sound = encode(layer, 1, 17, 3, 61);
    for (int i = 0; i < 20; ++i) {
      std::vector<std::byte> stream = sound.stream;
      stream[below(random, static_cast<int64_t>(stream.size()))] ^=
          static_cast<std::byte>(1 + below(random, 255));
      attempt(form, sound.block, stream);
      stream = sound.stream;
      stream.resize(below(random, static_cast<int64_t>(stream.size()) + 1));
      attempt(form, sound.block, stream);
      stream = sound.stream;
      stream.push_back(std::byte{0});
      attempt(form, sound.block, stream);
      stream.resize(below(random, storedBytes(form, sound.block) + 3));
      for (std::byte &byte : stream)
        byte = static_cast<std::byte>(random() & 255);
      attempt(form, sound.block, stream);
    }
  }
  EXPECT_GT(refused, trials / 2);
}

/// Nearly every damage to an entropy-coded stream shows.
TEST(EntropyCoder, DamageShows) {
  std::mt19937 random(4);
  const CodeAlphabet alphabet{8, true};
  const std::vector<int8_t> codes = sequence(4, 20000, alphabet);
  std::vector<std::byte> sound;
  entropyEncode(codes, alphabet, 16, sound);
  int unnoticed = 0;
  for (int i = 0; i < 300; ++i) {
    std::vector<std::byte> stream = sound;
    stream[below(random, static_cast<int64_t>(stream.size()))] ^=
        static_cast<std::byte>(1 << below(random, 8));
    std::vector<int8_t> back(codes.size()), portable(codes.size());
    const bool isSound = entropyDecode(stream, alphabet, 16, back);
    unnoticed += isSound ? 1 : 0;
    limitVectorLevel(VectorLevel::Portable);
    EXPECT_EQ(entropyDecode(stream, alphabet, 16, portable), isSound);
    limitVectorLevel(VectorLevel::Avx512);
    EXPECT_TRUE(!isSound || portable == back);
  }
  EXPECT_LE(unnoticed, 15);
}

/// docs/format.md, "Entropy coding": the example.
TEST(EntropyCoder, FourCodes) {
  const std::vector<int8_t> codes = {1, 0, 0, 0};
  std::vector<std::byte> stream;
  entropyEncode(codes, {.bits = 8, .isSigned = true}, 2, stream);
  const std::vector<std::byte> expected = {std::byte{0x10}, std::byte{0}, std::byte{0},
                                           std::byte{0}, std::byte{0}};
  EXPECT_EQ(stream, expected);
}

TEST(WeightForms, WrongFormsAreNamed) {
  const auto problem = [](WeightForm form) { return formProblem(form); };
  EXPECT_EQ(problem({.coding = WeightCoding::Palette, .bits = 0}), "bits is 0; needs 1..8");
  EXPECT_EQ(problem({.coding = WeightCoding::Palette, .bits = 4, .groupSize = 64}),
            "a palette with groups, zero points or shared taps");
  EXPECT_EQ(problem({.coding = WeightCoding::Grouped, .bits = 4, .paletteOutputs = 8}),
            "groups with a palette");
  EXPECT_EQ(problem({.coding = WeightCoding::Palette, .bits = 4, .paletteOutputs = -1}),
            "palette outputs is -1; needs 0..2^31 - 1");
  EXPECT_EQ(problem({.zeros = static_cast<ZeroLayout>(4)}),
            "layout of zeros is 4; needs 0 (dense), 1 (bitmap), 2 (structured) or 3 (runs)");
  EXPECT_EQ(problem({.zeros = ZeroLayout::Structured, .kept = 2, .run = 17}),
            "run is 17; needs 2..16");
  EXPECT_EQ(problem({.zeros = ZeroLayout::Structured, .kept = 4, .run = 4}),
            "kept is 4; needs at least 1 and less than the run");
  EXPECT_EQ(problem({.zeros = ZeroLayout::Bitmap, .kept = 2, .run = 4}),
            "a run without structured zeros");
  EXPECT_EQ(problem({.lanes = 257}), "lanes is 257; needs 0..256");
}

TEST(WeightForms, HaveNames) {
  EXPECT_EQ(name(WeightForm{.coding = WeightCoding::Palette,
                            .bits = 4,
                            .paletteOutputs = 64,
                            .zeros = ZeroLayout::Bitmap,
                            .lanes = 32}),
            "4 bit palette for each 64 outputs, bitmap, entropy-coded in 32 lanes");
  EXPECT_EQ(name(WeightForm{.zeros = ZeroLayout::Structured, .kept = 2, .run = 4}), "int8, 2 of 4");
}

} // namespace
} // namespace sdopt
