//===- WeightStream.cpp - weights as they are stored -------------------------===//

#include "compiler/kernels/WeightStream.h"

#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/TargetClones.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace sdopt {

namespace {

constexpr int64_t kLeastGroup = 16, kLargestGroup = 256;

int64_t parameterCount(const WeightForm &form, const WeightExtent &block) {
  if (form.coding == WeightCoding::Raw || !form.hasScales())
    return 0;
  return block.outputs * form.groupTaps(block.taps) * form.groups(block.inputs, block.firstInGroup);
}

/// Half a byte for each scale, and half a byte for each zero point.
int64_t parameterBytes(const WeightForm &form, const WeightExtent &block) {
  const int64_t count = parameterCount(form, block);
  return form.symmetric ? (count + 1) / 2 : count;
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

} // namespace

std::string formProblem(const WeightForm &form) {
  const auto refuse = [](const char *field, int64_t value, const char *need) {
    return std::string(field) + " is " + std::to_string(value) + "; needs " + need;
  };
  if (form.coding != WeightCoding::Raw && form.coding != WeightCoding::Grouped)
    return refuse("coding", static_cast<int64_t>(form.coding), "0 (raw) or 1 (grouped)");
  if (form.coding == WeightCoding::Raw)
    return form == WeightForm() ? "" : "raw weights with parameters of another coding";
  if (form.bits < 2 || form.bits > 8)
    return refuse("bits", form.bits, "2..8");
  if (form.groupSize != 0 && (form.groupSize < kLeastGroup || form.groupSize > kLargestGroup))
    return refuse("group size", form.groupSize, "0 or 16..256");
  return "";
}

std::string name(const WeightForm &form) {
  if (form.coding == WeightCoding::Raw)
    return "int8";
  std::string text = std::to_string(form.bits) + " bit";
  if (form.groupSize > 0)
    text += ", groups of " + std::to_string(form.groupSize);
  if (form.sharedTaps)
    text += " over all taps";
  return text + (form.symmetric ? "" : ", zero points");
}

int32_t largestGroupScale(int64_t bits) { return bits <= 4 ? kLargestGroupScale : 1 << (8 - bits); }

int64_t storedBytes(const WeightForm &form, const WeightExtent &block) {
  if (form.coding == WeightCoding::Raw)
    return block.weights();
  return parameterBytes(form, block) + (block.weights() * form.bits + 7) / 8;
}

void encodeWeights(const WeightForm &form, const StoredWeights &weights, const WeightWindow &window,
                   const WeightExtent &block, std::byte *out) {
  const auto codesOf = [&](int64_t output, int64_t tap) {
    return weights.codes.data() +
           ((window.firstOutput + output) * window.taps + tap) * window.inputs + window.firstInput;
  };
  if (form.coding == WeightCoding::Raw) {
    for (int64_t o = 0; o < block.outputs; ++o)
      for (int64_t tap = 0; tap < block.taps; ++tap, out += block.inputs)
        std::memcpy(out, codesOf(o, tap), static_cast<size_t>(block.inputs));
    return;
  }
  if (form.hasScales()) {
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
  BitWriter codes(out + parameterBytes(form, block), form.bits);
  for (int64_t o = 0; o < block.outputs; ++o)
    for (int64_t tap = 0; tap < block.taps; ++tap)
      for (int64_t i = 0; i < block.inputs; ++i)
        codes.add(codesOf(o, tap)[i]);
  codes.finish();
}

void decodeWeights(const WeightForm &form, const WeightExtent &block, const std::byte *stream,
                   int8_t *out) {
  if (form.coding == WeightCoding::Raw) {
    std::memcpy(out, stream, static_cast<size_t>(block.weights()));
    return;
  }
  const std::byte *codes = stream + parameterBytes(form, block);
  const int64_t codeBytes = (block.weights() * form.bits + 7) / 8;
  const int64_t row = block.taps * block.inputs;
  const int64_t taps = form.groupTaps(block.taps);
  const int64_t groups = form.groups(block.inputs, block.firstInGroup);
  const auto parameter = [&](int64_t half) {
    return static_cast<int32_t>(stream[half / 2] >> (half % 2 * 4)) & 15;
  };
  const auto decodeOutput = [&](int64_t o) {
    int8_t *to = out + o * row;
    unpack(codes, codeBytes, o * row * form.bits, form.bits, row, to);
    if (!form.hasScales())
      return;
    for (int64_t tap = 0; tap < block.taps; ++tap, to += block.inputs)
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t at = (o * taps + (taps == 1 ? 0 : tap)) * groups + g;
        const int32_t scale = parameter(form.symmetric ? at : 2 * at) + 1;
        const int32_t half = form.symmetric ? 0 : parameter(2 * at + 1);
        const auto zero = static_cast<int32_t>((half < 8 ? half : half - 16) * form.zeroStep());
        const int64_t size = form.groupSize == 0 ? block.inputs : form.groupSize;
        const int64_t begin = std::max<int64_t>(g * size - block.firstInGroup, 0);
        const int64_t end = std::min((g + 1) * size - block.firstInGroup, block.inputs);
        applyGroup(to + begin, end - begin, zero, scale);
      }
  };
  const int64_t grain = std::max<int64_t>(1, (int64_t{1} << 16) / std::max<int64_t>(row, 1));
  parallelRanges(block.outputs, grain, [&](int64_t first, int64_t last) {
    for (int64_t o = first; o < last; ++o)
      decodeOutput(o);
  });
}

} // namespace sdopt
