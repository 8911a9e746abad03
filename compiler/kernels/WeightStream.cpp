//===- WeightStream.cpp - weights as they are stored -------------------------===//

#include "compiler/kernels/WeightStream.h"

#include "compiler/kernels/EntropyCoder.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/TargetClones.h"
#include "compiler/kernels/ZeroLayouts.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

namespace sdopt {

namespace {

constexpr int64_t kLeastGroup = 16, kLargestGroup = 256;

int64_t parameterCount(const WeightForm &form, const WeightExtent &block) {
  if (form.coding != WeightCoding::Grouped || !form.hasScales())
    return 0;
  return block.outputs * form.groupTaps(block.taps) * form.groups(block.inputs, block.firstInGroup);
}

/// Palettes; or half a byte for each scale, and half a byte for each zero point.
int64_t parameterBytes(const WeightForm &form, const WeightExtent &block) {
  if (form.coding == WeightCoding::Palette)
    return form.palettes(block.outputs, block.firstInPalette) * form.paletteEntries();
  const int64_t count = parameterCount(form, block);
  return form.symmetric ? (count + 1) / 2 : count;
}

int64_t packedCodeBytes(int64_t codes, const WeightForm &form) {
  return (codes * form.bits + 7) / 8;
}

CodeAlphabet alphabetOf(const WeightForm &form) {
  return {.bits = form.bits, .isSigned = form.coding != WeightCoding::Palette};
}

/// Codes of `bits` bits one after the other, lowest bits first.
class BitWriter {
public:
  BitWriter(std::byte *out, int64_t bits) : out_(out), bits_(bits) {}

  void add(int8_t code) {
    const uint32_t mask = (1u << bits_) - 1;
    pending_ |= (static_cast<uint32_t>(static_cast<uint8_t>(code)) & mask) << filled_;
    for (filled_ += bits_; filled_ >= 8; filled_ -= 8) {
      *out_++ = static_cast<std::byte>(pending_ & 255);
      pending_ >>= 8;
    }
  }
  void finish() {
    if (filled_ > 0)
      *out_ = static_cast<std::byte>(pending_ & 255);
  }

private:
  std::byte *out_;
  int64_t bits_, filled_ = 0;
  uint32_t pending_ = 0;
};

/// Two codes of each byte.
SDOPT_CLONES void unpackHalves(const uint8_t *__restrict from, int64_t bytes,
                               int8_t *__restrict to) {
  for (int64_t i = 0; i < bytes; ++i) {
    to[2 * i] = static_cast<int8_t>(static_cast<int8_t>(from[i] << 4) >> 4);
    to[2 * i + 1] = static_cast<int8_t>(static_cast<int8_t>(from[i]) >> 4);
  }
}

/// `count` codes from bit `position` of a stream of `bytes`.
void unpack(const std::byte *stream, int64_t bytes, int64_t position, int64_t bits, int64_t count,
            int8_t *to) {
  const auto *from = reinterpret_cast<const uint8_t *>(stream);
  if (bits == 8)
    return static_cast<void>(std::memcpy(to, from + position / 8, static_cast<size_t>(count)));
  int64_t done = 0;
  if (bits == 4 && position % 8 == 0) {
    unpackHalves(from + position / 8, count / 2, to);
    done = count / 2 * 2;
  }
  const auto unused = static_cast<int>(64 - bits);
  while (done < count) {
    const int64_t bit = position + done * bits, byte = bit / 8;
    uint64_t word = 0; // little endian
    for (int64_t i = std::min<int64_t>(8, bytes - byte); i-- > 0;)
      word = word << 8 | from[byte + i];
    word >>= bit % 8;
    for (const int64_t end = std::min(count, done + 8); done < end; ++done, word >>= bits)
      to[done] = static_cast<int8_t>(static_cast<int64_t>(word << unused) >> unused);
  }
}

SDOPT_CLONES void applyGroup(int8_t *codes, int64_t count, int32_t zero, int32_t scale) {
  const auto z = static_cast<int16_t>(zero), s = static_cast<int16_t>(scale);
  for (int64_t i = 0; i < count; ++i) {
    auto value = static_cast<int16_t>(static_cast<int16_t>(codes[i] - z) * s);
    value = value < -128 ? static_cast<int16_t>(-128) : value;
    value = value > 127 ? static_cast<int16_t>(127) : value;
    codes[i] = static_cast<int8_t>(value);
  }
}

void applyPalette(int8_t *codes, int64_t count, const std::byte *palette, int64_t entries) {
  std::array<int8_t, 256> all;
  for (int64_t i = 0; i < 256; ++i)
    all[i] = static_cast<int8_t>(palette[i & (entries - 1)]);
  for (int64_t i = 0; i < count; ++i)
    codes[i] = all[static_cast<uint8_t>(codes[i])];
}

/// What the parameters at the head of a stream make of codes, output by output.
class Meaning {
public:
  Meaning(const WeightForm &form, const WeightExtent &block, const std::byte *parameters)
      : form_(form), block_(block), parameters_(parameters), taps_(form.groupTaps(block.taps)),
        groups_(form.groups(block.inputs, block.firstInGroup)) {}

  /// The codes of output `o` become its weights.
  void apply(int64_t o, int8_t *codes) const {
    const int64_t row = block_.taps * block_.inputs;
    if (form_.coding == WeightCoding::Palette) {
      const int64_t palette =
          form_.paletteOutputs == 0 ? 0 : (block_.firstInPalette + o) / form_.paletteOutputs;
      applyPalette(codes, row, parameters_ + palette * form_.paletteEntries(),
                   form_.paletteEntries());
      return;
    }
    if (form_.coding == WeightCoding::Raw || !form_.hasScales())
      return;
    const int64_t size = form_.groupSize == 0 ? block_.inputs : form_.groupSize;
    for (int64_t tap = 0; tap < block_.taps; ++tap, codes += block_.inputs)
      for (int64_t g = 0; g < groups_; ++g) {
        const int64_t at = (o * taps_ + (taps_ == 1 ? 0 : tap)) * groups_ + g;
        const int32_t scale = half(form_.symmetric ? at : 2 * at) + 1;
        const int32_t bits = form_.symmetric ? 0 : half(2 * at + 1);
        const auto zero = static_cast<int32_t>((bits < 8 ? bits : bits - 16) * form_.zeroStep());
        const int64_t begin = std::max<int64_t>(g * size - block_.firstInGroup, 0);
        const int64_t end = std::min((g + 1) * size - block_.firstInGroup, block_.inputs);
        applyGroup(codes + begin, end - begin, zero, scale);
      }
  }

private:
  int32_t half(int64_t at) const {
    return static_cast<int32_t>(parameters_[at / 2] >> (at % 2 * 4)) & 15;
  }

  const WeightForm &form_;
  const WeightExtent &block_;
  const std::byte *parameters_;
  int64_t taps_, groups_;
};

template <typename Body> void forOutputs(const WeightExtent &block, Body body) {
  const int64_t row = block.taps * block.inputs;
  const int64_t grain = std::max<int64_t>(1, (int64_t{1} << 16) / std::max<int64_t>(row, 1));
  parallelRanges(block.outputs, grain, [&](int64_t first, int64_t last) {
    for (int64_t o = first; o < last; ++o)
      body(o);
  });
}

void decodePlain(const WeightForm &form, const WeightExtent &block, const std::byte *stream,
                 int8_t *out) {
  if (form.coding == WeightCoding::Raw) {
    std::memcpy(out, stream, static_cast<size_t>(block.weights()));
    return;
  }
  const std::byte *codes = stream + parameterBytes(form, block);
  const int64_t codeBytes = packedCodeBytes(block.weights(), form);
  const int64_t row = block.taps * block.inputs;
  const Meaning meaning(form, block, stream);
  forOutputs(block, [&](int64_t o) {
    unpack(codes, codeBytes, o * row * form.bits, form.bits, row, out + o * row);
    meaning.apply(o, out + o * row);
  });
}

void writeParameters(const WeightForm &form, const StoredWeights &weights,
                     const WeightWindow &window, const WeightExtent &block, std::byte *out) {
  if (form.coding == WeightCoding::Palette) {
    const int64_t first = form.paletteOutputs == 0 ? 0 : window.firstOutput / form.paletteOutputs;
    std::memcpy(out, weights.palettes.data() + first * form.paletteEntries(),
                static_cast<size_t>(parameterBytes(form, block)));
    return;
  }
  if (form.coding == WeightCoding::Raw || !form.hasScales())
    return;
  BitWriter parameters(out, 4);
  const int64_t taps = form.groupTaps(window.taps), groups = form.groups(window.inputs);
  const int64_t first = form.groupSize == 0 ? 0 : window.firstInput / form.groupSize;
  for (int64_t o = 0; o < block.outputs; ++o)
    for (int64_t tap = 0; tap < taps; ++tap)
      for (int64_t g = 0; g < form.groups(block.inputs, block.firstInGroup); ++g) {
        const int64_t at = ((window.firstOutput + o) * taps + tap) * groups + first + g;
        parameters.add(static_cast<int8_t>(weights.scales[at] - 1));
        if (!form.symmetric)
          parameters.add(static_cast<int8_t>(weights.zeros[at] / form.zeroStep()));
      }
  parameters.finish();
}

/// Codes of 8 bits are bytes.
void packCodes(const int8_t *codes, int64_t count, int64_t bits, BitWriter &writer,
               std::byte *&whole) {
  if (bits == 8) {
    std::memcpy(whole, codes, static_cast<size_t>(count));
    whole += count;
    return;
  }
  for (int64_t i = 0; i < count; ++i)
    writer.add(codes[i]);
}

void encodePlain(const WeightForm &form, const StoredWeights &weights, const WeightWindow &window,
                 const WeightExtent &block, std::byte *out) {
  writeParameters(form, weights, window, block, out);
  out += parameterBytes(form, block);
  BitWriter writer(out, form.bits);
  for (int64_t o = 0; o < block.outputs; ++o)
    for (int64_t tap = 0; tap < block.taps; ++tap)
      packCodes(weights.codes.data() +
                    ((window.firstOutput + o) * window.taps + tap) * window.inputs +
                    window.firstInput,
                block.inputs, form.bits, writer, out);
  writer.finish();
}

std::vector<int8_t> codesOfBlock(const StoredWeights &weights, const WeightWindow &window,
                                 const WeightExtent &block) {
  std::vector<int8_t> codes(static_cast<size_t>(block.weights()));
  int8_t *next = codes.data();
  for (int64_t o = 0; o < block.outputs; ++o)
    for (int64_t tap = 0; tap < block.taps; ++tap, next += block.inputs)
      std::memcpy(next,
                  weights.codes.data() +
                      ((window.firstOutput + o) * window.taps + tap) * window.inputs +
                      window.firstInput,
                  static_cast<size_t>(block.inputs));
  return codes;
}

/// The stored codes of what follows the parameters, without those of zeros; nothing if the bytes
/// are no such part.
struct StoredCodes {
  std::vector<int8_t> codes;
  StoredPlaces places;
};

std::optional<StoredCodes> readCodes(const WeightForm &form, const WeightExtent &block,
                                     std::span<const std::byte> stream) {
  std::optional<StoredPlaces> places = readZeros(form, block, stream);
  if (!places)
    return std::nullopt;
  StoredCodes result{.codes = {}, .places = *std::move(places)};
  const size_t count = result.places.places.size();
  stream = stream.subspan(result.places.bytes);
  result.codes.resize(count);
  if (form.lanes > 0) {
    if (!entropyDecode(stream, alphabetOf(form), form.lanes, result.codes))
      return std::nullopt;
    return result;
  }
  const auto codes = static_cast<int64_t>(count), bytes = packedCodeBytes(codes, form);
  if (static_cast<int64_t>(stream.size()) != bytes)
    return std::nullopt;
  unpack(stream.data(), bytes, 0, form.bits, codes, result.codes.data());
  return result;
}

} // namespace

WeightForm WeightForm::plain() const {
  WeightForm form = *this;
  form.zeros = ZeroLayout::Dense;
  form.kept = form.run = form.lanes = 0;
  return form;
}

namespace {

std::string refused(const char *field, int64_t value, const char *need) {
  return std::string(field) + " is " + std::to_string(value) + "; needs " + need;
}

std::string codingProblem(const WeightForm &form) {
  if (form.coding > WeightCoding::Palette)
    return refused("coding", static_cast<int64_t>(form.coding),
                   "0 (raw), 1 (grouped) or 2 (palette)");
  const WeightForm plain = form.plain();
  if (form.coding == WeightCoding::Raw)
    return plain == WeightForm() ? "" : "raw weights with parameters of another coding";
  const bool isPalette = form.coding == WeightCoding::Palette;
  if (form.bits < (isPalette ? 1 : 2) || form.bits > 8)
    return refused("bits", form.bits, isPalette ? "1..8" : "2..8");
  WeightForm allowed{.coding = form.coding, .bits = form.bits};
  if (isPalette) {
    allowed.paletteOutputs = form.paletteOutputs;
    if (form.paletteOutputs < 0 || form.paletteOutputs > std::numeric_limits<int32_t>::max())
      return refused("palette outputs", form.paletteOutputs, "0..2^31 - 1");
    return plain == allowed ? "" : "a palette with groups, zero points or shared taps";
  }
  if (form.groupSize != 0 && (form.groupSize < kLeastGroup || form.groupSize > kLargestGroup))
    return refused("group size", form.groupSize, "0 or 16..256");
  return form.paletteOutputs == 0 ? "" : "groups with a palette";
}

} // namespace

std::string formProblem(const WeightForm &form) {
  if (std::string problem = codingProblem(form); !problem.empty())
    return problem;
  if (form.zeros > ZeroLayout::Runs)
    return refused("layout of zeros", static_cast<int64_t>(form.zeros),
                   "0 (dense), 1 (bitmap), 2 (structured) or 3 (runs)");
  if (form.zeros == ZeroLayout::Structured) {
    if (form.run < 2 || form.run > kLargestRun)
      return refused("run", form.run, "2..16");
    if (form.kept < 1 || form.kept >= form.run)
      return refused("kept", form.kept, "at least 1 and less than the run");
  } else if (form.kept != 0 || form.run != 0) {
    return "a run without structured zeros";
  }
  if (form.lanes < 0 || form.lanes > kMostLanes)
    return refused("lanes", form.lanes, "0..256");
  return "";
}

std::string name(const WeightForm &form) {
  std::string text = "int8";
  if (form.coding == WeightCoding::Grouped) {
    text = std::to_string(form.bits) + " bit";
    if (form.groupSize > 0)
      text += ", groups of " + std::to_string(form.groupSize);
    if (form.sharedTaps)
      text += " over all taps";
    text += form.symmetric ? "" : ", zero points";
  } else if (form.coding == WeightCoding::Palette) {
    text = std::to_string(form.bits) + " bit palette";
    if (form.paletteOutputs > 0)
      text += " for each " + std::to_string(form.paletteOutputs) + " outputs";
  }
  if (form.zeros == ZeroLayout::Bitmap)
    text += ", bitmap";
  if (form.zeros == ZeroLayout::Structured)
    text += ", " + std::to_string(form.kept) + " of " + std::to_string(form.run);
  if (form.zeros == ZeroLayout::Runs)
    text += ", zero runs";
  return text +
         (form.lanes > 0 ? ", entropy-coded in " + std::to_string(form.lanes) + " lanes" : "");
}

int32_t largestGroupScale(int64_t bits) { return bits <= 4 ? kLargestGroupScale : 1 << (8 - bits); }

WeightExtent blockAt(const WeightForm &form, int64_t firstOutput, int64_t firstInput,
                     int64_t outputs, int64_t taps, int64_t inputs) {
  return {.outputs = outputs,
          .taps = taps,
          .inputs = inputs,
          .firstInGroup = form.groupSize > 0 ? firstInput % form.groupSize : 0,
          .firstInRun = form.run > 0 ? firstInput % form.run : 0,
          .firstInPalette = form.paletteOutputs > 0 ? firstOutput % form.paletteOutputs : 0};
}

int64_t storedBytes(const WeightForm &form, const WeightExtent &block) {
  return parameterBytes(form, block) + packedCodeBytes(block.weights(), form);
}

int64_t encodeWeights(const WeightForm &form, const StoredWeights &weights,
                      const WeightWindow &window, const WeightExtent &block, std::byte *out) {
  const WeightForm plain = form.plain();
  const int64_t plainBytes = storedBytes(form, block), parameters = parameterBytes(form, block);
  if (form == plain) {
    encodePlain(plain, weights, window, block, out);
    return plainBytes;
  }
  const std::vector<int8_t> codes = codesOfBlock(weights, window, block);
  writeParameters(form, weights, window, block, out);
  std::vector<std::byte> stream;
  std::vector<int8_t> some;
  std::span<const int8_t> stored = codes;
  bool fits = true;
  if (form.zeros != ZeroLayout::Dense) {
    std::vector<int8_t> meant = codes;
    const Meaning meaning(plain, block, out);
    forOutputs(block,
               [&](int64_t o) { meaning.apply(o, meant.data() + o * block.taps * block.inputs); });
    fits = writeZeros(form, block, meant, codes, stream, some);
    stored = some;
  }
  if (fits && form.lanes > 0) {
    entropyEncode(stored, alphabetOf(form), form.lanes, stream);
  } else if (fits) {
    const size_t at = stream.size();
    stream.resize(at + packedCodeBytes(static_cast<int64_t>(stored.size()), form));
    std::byte *whole = stream.data() + at;
    BitWriter writer(whole, form.bits);
    packCodes(stored.data(), static_cast<int64_t>(stored.size()), form.bits, writer, whole);
    writer.finish();
  }
  const int64_t bytes = parameters + static_cast<int64_t>(stream.size());
  if (!fits || bytes >= plainBytes) {
    encodePlain(plain, weights, window, block, out);
    return plainBytes;
  }
  std::memcpy(out + parameters, stream.data(), stream.size());
  return bytes;
}

bool decodeWeights(const WeightForm &form, const WeightExtent &block,
                   std::span<const std::byte> stream, int8_t *out) {
  const auto bytes = static_cast<int64_t>(stream.size());
  const WeightForm plain = form.plain();
  const int64_t plainBytes = storedBytes(form, block);
  if (bytes == plainBytes) {
    decodePlain(plain, block, stream.data(), out);
    return true;
  }
  const int64_t parameters = parameterBytes(form, block);
  if (form == plain || bytes > plainBytes || bytes < parameters)
    return false;
  const std::span<const std::byte> coded = stream.subspan(static_cast<size_t>(parameters));
  const Meaning meaning(plain, block, stream.data());
  const int64_t row = block.taps * block.inputs;
  if (form.zeros == ZeroLayout::Dense) { // and entropy-coded
    if (!entropyDecode(coded, alphabetOf(form), form.lanes,
                       {out, static_cast<size_t>(block.weights())}))
      return false;
    forOutputs(block, [&](int64_t o) { meaning.apply(o, out + o * row); });
    return true;
  }
  const std::optional<StoredCodes> stored = readCodes(form, block, coded);
  if (!stored)
    return false;
  // Scatter, take the meaning of everything, and keep that of what was stored.
  const std::vector<int64_t> &places = stored->places.places;
  std::vector<int8_t> meant(static_cast<size_t>(block.weights()));
  for (size_t i = 0; i < places.size(); ++i)
    if (places[i] >= 0)
      meant[places[i]] = stored->codes[i];
  forOutputs(block, [&](int64_t o) { meaning.apply(o, meant.data() + o * row); });
  std::memset(out, 0, meant.size());
  for (int64_t place : places)
    if (place >= 0)
      out[place] = meant[place];
  return true;
}

int64_t codedCodes(const WeightForm &form, const WeightExtent &block,
                   std::span<const std::byte> stream) {
  const int64_t parameters = parameterBytes(form, block);
  const auto bytes = static_cast<int64_t>(stream.size());
  if (form.lanes == 0 || bytes >= storedBytes(form, block) || bytes < parameters)
    return 0;
  if (form.zeros == ZeroLayout::Dense)
    return block.weights();
  if (form.zeros == ZeroLayout::Structured)
    return structuredCodes(form, block);
  const std::optional<StoredPlaces> places =
      readZeros(form, block, stream.subspan(static_cast<size_t>(parameters)));
  return places ? static_cast<int64_t>(places->places.size()) : 0;
}

} // namespace sdopt
