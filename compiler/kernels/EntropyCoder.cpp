//===- EntropyCoder.cpp - codes in as many bits as they carry ----------------===//

#include "compiler/kernels/EntropyCoder.h"

#include "compiler/kernels/BitStream.h"
#include "compiler/kernels/FixedPoint.h"
#include "compiler/kernels/InstructionSets.h"
#include "compiler/kernels/VectorLoop.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace sdopt {

namespace {

using UInt128 = unsigned __int128;

constexpr uint32_t kLeastState = uint32_t{1} << 16;
constexpr uint32_t kFrequencies = uint32_t{1} << kFrequencyBits;
constexpr int64_t kLengthBits = 4, kLeastStateBits = kLengthBits + 16;
constexpr int64_t kLongestUnary = 12;

using Frequencies = std::array<uint16_t, 256>;
using States = std::array<uint32_t, 256>;

/// Codes at the end of the sequence that lie in the states before the first code is added: 16 bits
/// of a state mean nothing otherwise.
int64_t tailCodes(int64_t codes, CodeAlphabet alphabet, int64_t lanes) {
  return std::min(codes, 16 / alphabet.bits * lanes);
}

/// How many bits a state has beyond 17, then those below its highest.
void writeState(uint32_t state, BitAppender &out) {
  const int64_t more = std::bit_width(state) - 17;
  out.add(static_cast<uint32_t>(more), kLengthBits);
  out.add(state, 16 + more);
}

uint32_t readState(BitReader &in) {
  const int64_t more = in.take(kLengthBits);
  return uint32_t{1} << (16 + more) | in.take(16 + more);
}

/// Parameter of the next Rice code, by the running mean of what came before.
class RiceParameter {
public:
  int64_t bits() const {
    int64_t k = 0;
    while ((mean_ >> (k + 3)) > 0)
      ++k;
    return k;
  }
  void note(uint32_t value) { mean_ = (3 * mean_ + 4 * static_cast<int64_t>(value) + 2) / 4; }

private:
  int64_t mean_ = 64; ///< in quarters
};

uint32_t zigzag(int32_t value) {
  return (static_cast<uint32_t>(value) << 1) ^ static_cast<uint32_t>(value >> 31);
}

int32_t unzigzag(uint32_t value) {
  return static_cast<int32_t>(value >> 1) ^ -static_cast<int32_t>(value & 1);
}

/// Rice codes of the steps from one frequency to the next, until the sum is reached.
void writeFrequencies(const Frequencies &frequencies, BitAppender &out) {
  int64_t left = kFrequencies;
  int32_t before = 0;
  RiceParameter parameter;
  for (int64_t s = 0; left > 0; ++s) {
    const int32_t frequency = frequencies[s];
    const uint32_t step = zigzag(frequency - before);
    const int64_t k = parameter.bits(), unary = step >> k;
    if (unary < kLongestUnary) {
      out.add((uint32_t{1} << unary) - 1, unary + 1);
      out.add(step, k);
    } else {
      out.add((uint32_t{1} << kLongestUnary) - 1, kLongestUnary);
      out.add(static_cast<uint32_t>(frequency), kFrequencyBits + 1);
    }
    parameter.note(step);
    before = frequency;
    left -= frequency;
  }
}

/// False if they do not add up.
bool readFrequencies(BitReader &in, CodeAlphabet alphabet, Frequencies &frequencies) {
  int64_t left = kFrequencies;
  int32_t before = 0;
  RiceParameter parameter;
  frequencies.fill(0);
  for (int64_t s = 0; left > 0; ++s) {
    if (s == alphabet.symbols() || in.overrun())
      return false;
    const int64_t k = parameter.bits();
    int64_t unary = 0;
    while (unary < kLongestUnary && in.take(1) == 1)
      ++unary;
    int64_t frequency = 0;
    uint32_t step = 0;
    if (unary < kLongestUnary) {
      step = static_cast<uint32_t>(unary) << k | in.take(k);
      frequency = int64_t{before} + unzigzag(step);
    } else {
      frequency = in.take(kFrequencyBits + 1);
      step = zigzag(static_cast<int32_t>(frequency) - before);
    }
    if (frequency < 0 || frequency > left)
      return false;
    frequencies[s] = static_cast<uint16_t>(frequency);
    parameter.note(step);
    before = static_cast<int32_t>(frequency);
    left -= frequency;
  }
  return !in.overrun();
}

std::array<uint32_t, 256> startsOf(const Frequencies &frequencies) {
  std::array<uint32_t, 256> starts = {};
  uint32_t sum = 0;
  for (size_t s = 0; s < starts.size(); ++s) {
    starts[s] = sum;
    sum += frequencies[s];
  }
  return starts;
}

/// state -> (state / frequency) * kFrequencies + state % frequency + start, without a division:
/// state / frequency is the high half of state * reciprocal (exact for 32-bit states, since
/// reciprocal * frequency exceeds 2^64 by less than frequency).
struct SymbolEncoder {
  uint64_t reciprocal = 0;
  uint32_t limit = 0; ///< states of at least this times 2^(16 - kFrequencyBits) give a word first
  uint32_t bias = 0, rest = 0;

  SymbolEncoder() = default;
  SymbolEncoder(uint32_t frequency, uint32_t start)
      : limit(frequency), bias(start), rest(kFrequencies - frequency) {
    if (frequency == 1) { // the quotient comes out one too small
      reciprocal = ~uint64_t{0};
      bias += rest;
    } else if (frequency > 0) {
      reciprocal = ~uint64_t{0} / frequency + 1;
    }
  }

  uint32_t next(uint32_t state) const {
    const auto quotient = static_cast<uint32_t>(static_cast<UInt128>(state) * reciprocal >>
                                                64); // NOLINT(bugprone-*): fits 32 bits
    return state + bias + quotient * rest;
  }
};

void append(std::vector<std::byte> &stream, const void *data, size_t bytes) {
  const size_t at = stream.size();
  stream.resize(at + bytes);
  if (bytes > 0)
    std::memcpy(stream.data() + at, data, bytes);
}

uint32_t codeMask(CodeAlphabet alphabet) { return static_cast<uint32_t>(alphabet.symbols() - 1); }

/// States that hold the last codes.
States firstStates(std::span<const int8_t> tail, CodeAlphabet alphabet, int64_t lanes) {
  States states;
  states.fill(kLeastState);
  for (size_t i = 0; i < tail.size(); ++i) {
    const size_t lane = i % static_cast<size_t>(lanes), place = i / static_cast<size_t>(lanes);
    const uint32_t code = static_cast<uint8_t>(tail[i]) & codeMask(alphabet);
    states[lane] |= code << (place * static_cast<size_t>(alphabet.bits));
  }
  return states;
}

/// The codes that states hold; false if they hold something else.
bool takeTail(const States &states, CodeAlphabet alphabet, int64_t lanes, std::span<int8_t> tail) {
  const auto unused = static_cast<int>(32 - alphabet.bits);
  for (size_t i = 0; i < tail.size(); ++i) {
    const size_t lane = i % static_cast<size_t>(lanes), place = i / static_cast<size_t>(lanes);
    const uint32_t code = states[lane] >> (place * static_cast<size_t>(alphabet.bits));
    const uint32_t top = code << unused;
    tail[i] = static_cast<int8_t>(alphabet.isSigned
                                      ? static_cast<uint32_t>(static_cast<int32_t>(top) >> unused)
                                      : top >> unused);
  }
  const States expected = firstStates(tail, alphabet, lanes);
  return std::equal(states.begin(), states.begin() + lanes, expected.begin());
}

/// What a slot tells: its symbol, the frequency of that less 1, and how many slots of the symbol
/// come before it, from the lowest bit on in 8, kFrequencyBits and kFrequencyBits bits.
using SlotTable = std::array<uint32_t, kFrequencies>;
constexpr uint32_t kFrequencyShift = 8, kPlaceShift = kFrequencyShift + kFrequencyBits;

SlotTable slotsOf(const Frequencies &frequencies) {
  SlotTable slots;
  uint32_t *next = slots.data();
  for (uint32_t s = 0; s < frequencies.size(); ++s) {
    const uint32_t frequency = frequencies[s], same = (frequency - 1) << kFrequencyShift | s;
    for (uint32_t place = 0; place < frequency; ++place)
      *next++ = same | place << kPlaceShift;
  }
  return slots;
}

#if defined(__x86_64__)

constexpr int64_t kVectorLanes = 16;

/// A code of each of `lanes` lanes, a multiple of 16; there are as many words.
SDOPT_AVX512 const std::byte *decodeRound(const SlotTable &slots, int8_t firstCode, int64_t lanes,
                                          uint32_t *states, int8_t *codes, const std::byte *next) {
  const __m512i mask = _mm512_set1_epi32(kFrequencies - 1), one = _mm512_set1_epi32(1);
  const __m512i least = _mm512_set1_epi32(static_cast<int>(kLeastState));
  const __m512i first = _mm512_set1_epi32(firstCode);
  for (int64_t lane = 0; lane < lanes; lane += kVectorLanes) {
    const __m512i state = _mm512_loadu_si512(states + lane);
    const __m512i found =
        _mm512_i32gather_epi32(_mm512_and_si512(state, mask), slots.data(), sizeof(uint32_t));
    const __m512i frequency =
        _mm512_add_epi32(_mm512_and_si512(_mm512_srli_epi32(found, kFrequencyShift), mask), one);
    const __m512i product = _mm512_mullo_epi32(frequency, _mm512_srli_epi32(state, kFrequencyBits));
    const __m512i after = _mm512_add_epi32(product, _mm512_srli_epi32(found, kPlaceShift));
    const __mmask16 renews = _mm512_cmplt_epu32_mask(after, least);
    const __m512i words =
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(next)));
    const __m512i renewed =
        _mm512_or_si512(_mm512_slli_epi32(after, 16), _mm512_maskz_expand_epi32(renews, words));
    _mm512_storeu_si512(states + lane, _mm512_mask_mov_epi32(after, renews, renewed));
    _mm_storeu_si128(reinterpret_cast<__m128i *>(codes + lane),
                     _mm512_cvtepi32_epi8(_mm512_add_epi32(found, first)));
    next += 2 * std::popcount(static_cast<unsigned>(renews));
  }
  return next;
}

#endif

class Decoding {
public:
  Decoding(const Frequencies &frequencies, CodeAlphabet alphabet)
      : firstCode_(alphabet.code(0)), slots_(slotsOf(frequencies)) {}

  /// Reads codes[0] to the end, code i with state i % lanes. `words`: little-endian, all of them
  /// are used; false if they end too early or too late.
  bool run(std::span<const std::byte> words, int64_t lanes, States &given,
           std::span<int8_t> codes) const {
    const std::byte *next = words.data(), *end = next + words.size();
    const auto count = static_cast<int64_t>(codes.size());
    States states = given; // a copy that nothing else points to
    int8_t *out = codes.data();
    int64_t i = 0;
    // While there are enough words for all lanes nothing need be checked.
#if defined(__x86_64__)
    if (lanes % kVectorLanes == 0 && vectorLevel() == VectorLevel::Avx512)
      for (; i + lanes <= count && end - next >= 2 * lanes; i += lanes)
        next = decodeRound(slots_, firstCode_, lanes, states.data(), out + i, next);
#endif
    for (; i + lanes <= count && end - next >= 2 * lanes; i += lanes)
      for (int64_t lane = 0; lane < lanes; ++lane)
        next = step(states[lane], out[i + lane], next);
    for (int64_t lane = 0; i < count; ++i, lane = lane + 1 == lanes ? 0 : lane + 1) {
      const std::array<std::byte, 2> none = {};
      const std::byte *from = end - next >= 2 ? next : none.data();
      const std::byte *after = step(states[lane], out[i], from);
      if (after != from && from == none.data())
        return false;
      next += after - from;
    }
    given = states;
    return next == end;
  }

private:
  const std::byte *step(uint32_t &state, int8_t &code, const std::byte *next) const {
    const uint32_t found = slots_[state % kFrequencies];
    const uint32_t frequency = (found >> kFrequencyShift) % kFrequencies + 1;
    const uint32_t after = frequency * (state / kFrequencies) + (found >> kPlaceShift);
    uint16_t word = 0;
    std::memcpy(&word, next, sizeof(word));
    // Without a branch: nobody can tell in advance.
    const uint32_t renews = after < kLeastState ? 1 : 0;
    state = after << (16 * renews) | (word & (0 - renews));
    code = static_cast<int8_t>(found + static_cast<uint32_t>(firstCode_));
    return next + static_cast<size_t>(2 * renews);
  }

  const int8_t firstCode_; ///< of symbol 0
  const SlotTable slots_;
};

/// log2(n) in units of 2^-16, n > 0; digit by digit, the same on every machine.
int64_t binaryLogarithm(uint64_t n) {
  const int whole = 63 - __builtin_clzll(n);
  uint64_t mantissa = whole <= 31 ? n << (31 - whole) : n >> (whole - 31); // 1 <= m < 2, 31 bits
  int64_t result = static_cast<int64_t>(whole) << 16;
  for (int bit = 15; bit >= 0; --bit) {
    mantissa = mantissa * mantissa >> 31;
    if (mantissa >> 32 == 0)
      continue;
    mantissa >>= 1;
    result |= int64_t{1} << bit;
  }
  return result;
}

} // namespace

void countSymbols(std::span<const int8_t> codes, CodeAlphabet alphabet, SymbolCounts &counts) {
  // Four tables, so that equal neighbours do not wait for each other.
  std::array<std::array<uint32_t, 256>, 4> parts;
  constexpr size_t kMost = size_t{1} << 31;
  for (size_t first = 0; first < codes.size(); first += kMost) {
    const std::span<const int8_t> some =
        codes.subspan(first, std::min(kMost, codes.size() - first));
    for (auto &part : parts)
      part.fill(0);
    size_t i = 0;
    for (; i + 4 <= some.size(); i += 4)
      for (size_t part = 0; part < 4; ++part)
        ++parts[part][static_cast<uint8_t>(some[i + part])];
    for (; i < some.size(); ++i)
      ++parts[0][static_cast<uint8_t>(some[i])];
    for (size_t byte = 0; byte < 256; ++byte)
      counts[alphabet.symbol(static_cast<int8_t>(static_cast<uint8_t>(byte)))] +=
          int64_t{parts[0][byte]} + parts[1][byte] + parts[2][byte] + parts[3][byte];
  }
}

std::array<uint16_t, 256> normalizedFrequencies(const SymbolCounts &counts) {
  Frequencies frequencies = {};
  int64_t total = 0;
  for (int64_t count : counts)
    total += count;
  if (total == 0)
    return frequencies;
  int64_t left = kFrequencies;
  for (size_t s = 0; s < counts.size(); ++s)
    if (counts[s] > 0) {
      frequencies[s] = static_cast<uint16_t>(
          std::max<int64_t>(1, static_cast<int64_t>(Int128{counts[s]} * kFrequencies / total)));
      left -= frequencies[s];
    }
  // One more is worth count * log2((f + 1) / f) bits, about count / (f + 1/2).
  while (left != 0) {
    size_t best = counts.size();
    for (size_t s = 0; s < counts.size(); ++s) {
      if (counts[s] == 0 || (left < 0 && frequencies[s] == 1))
        continue;
      if (best == counts.size()) {
        best = s;
        continue;
      }
      const int64_t side = left > 0 ? 1 : -1;
      const Int128 own = Int128{counts[s]} * (2 * frequencies[best] + side),
                   other = Int128{counts[best]} * (2 * frequencies[s] + side);
      if (left > 0 ? own > other : own < other)
        best = s;
    }
    frequencies[best] = static_cast<uint16_t>(frequencies[best] + (left > 0 ? 1 : -1));
    left -= left > 0 ? 1 : -1;
  }
  return frequencies;
}

void entropyEncode(std::span<const int8_t> codes, CodeAlphabet alphabet, int64_t lanes,
                   std::vector<std::byte> &stream) {
  const auto tail =
      static_cast<size_t>(tailCodes(static_cast<int64_t>(codes.size()), alphabet, lanes));
  const std::span<const int8_t> coded = codes.first(codes.size() - tail);
  States states = firstStates(codes.last(tail), alphabet, lanes);
  std::vector<uint16_t> words(coded.size());
  size_t next = words.size(); // they are made in reverse
  BitAppender bits(stream);
  if (!coded.empty()) {
    SymbolCounts counts = {};
    countSymbols(coded, alphabet, counts);
    const Frequencies frequencies = normalizedFrequencies(counts);
    writeFrequencies(frequencies, bits);
    const std::array<uint32_t, 256> starts = startsOf(frequencies);
    std::array<SymbolEncoder, 256> encoders; // by byte
    for (size_t byte = 0; byte < encoders.size(); ++byte) {
      const uint8_t s = alphabet.symbol(static_cast<int8_t>(static_cast<uint8_t>(byte)));
      encoders[byte] = SymbolEncoder(frequencies[s], starts[s]);
    }
    const auto step = static_cast<size_t>(lanes);
    constexpr int64_t shift = 32 - kFrequencyBits;
    for (size_t i = coded.size(), lane = i % step; i-- > 0;) {
      lane = lane == 0 ? step - 1 : lane - 1;
      const SymbolEncoder &encoder = encoders[static_cast<uint8_t>(coded[i])];
      uint32_t state = states[lane];
      // Without a branch: nobody can tell in advance.
      const uint32_t gives = (state >> shift) >= encoder.limit ? 1 : 0;
      words[next - 1] = static_cast<uint16_t>(state & 0xffff);
      next -= gives;
      state >>= 16 * gives;
      states[lane] = encoder.next(state);
    }
  }
  for (int64_t lane = 0; lane < lanes; ++lane)
    writeState(states[lane], bits);
  bits.finish();
  append(stream, words.data() + next, (words.size() - next) * sizeof(uint16_t));
}

bool entropyDecode(std::span<const std::byte> stream, CodeAlphabet alphabet, int64_t lanes,
                   std::span<int8_t> codes) {
  const auto tail =
      static_cast<size_t>(tailCodes(static_cast<int64_t>(codes.size()), alphabet, lanes));
  const std::span<int8_t> coded = codes.first(codes.size() - tail);
  Frequencies frequencies = {};
  BitReader bits(stream);
  if (!coded.empty() && !readFrequencies(bits, alphabet, frequencies))
    return false;
  States states = {};
  for (int64_t lane = 0; lane < lanes; ++lane)
    states[lane] = readState(bits);
  if (bits.overrun() || !bits.restIsZero())
    return false;
  const std::span<const std::byte> words = stream.subspan(bits.position());
  if (coded.empty() ? !words.empty()
                    : !Decoding(frequencies, alphabet).run(words, lanes, states, coded))
    return false;
  return takeTail(states, alphabet, lanes, codes.last(tail));
}

int64_t estimatedEntropyBytes(const SymbolCounts &counts, CodeAlphabet alphabet, int64_t lanes) {
  const Frequencies frequencies = normalizedFrequencies(counts);
  std::vector<std::byte> table;
  BitAppender bits(table);
  int64_t total = 0;
  Int128 sum = 0; // of bits, in units of 2^-16
  for (size_t s = 0; s < counts.size(); ++s)
    if (counts[s] > 0) {
      total += counts[s];
      sum += Int128{counts[s]} * ((kFrequencyBits << 16) - binaryLogarithm(frequencies[s]));
    }
  if (total == 0)
    return (lanes * kLeastStateBits + 7) / 8;
  writeFrequencies(frequencies, bits);
  bits.finish();
  // Codes in the tail cost their bits; a state has 7.5 bits above them on average, and 4 that say
  // how many.
  const int64_t tail = tailCodes(total, alphabet, lanes);
  const auto coded = static_cast<int64_t>(sum * (total - tail) / total >> 16);
  const int64_t states = lanes * 23 / 2 + lanes * 16;
  return static_cast<int64_t>(table.size()) + (coded + states + 7) / 8;
}

double zeroOrderEntropy(const SymbolCounts &counts) {
  int64_t total = 0;
  for (int64_t count : counts)
    total += count;
  double bits = 0;
  for (int64_t count : counts)
    if (count > 0)
      bits += static_cast<double>(count) *
              std::log2(static_cast<double>(total) / static_cast<double>(count));
  return bits;
}

} // namespace sdopt
