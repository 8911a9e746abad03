//===- EntropyCoder.h - codes in as many bits as they carry -----*- C++ -*-===//
//
// Range variant of asymmetric numeral systems (J. Duda, "Asymmetric numeral systems: entropy coding
// combining speed of Huffman coding with compression rate of arithmetic coding", arXiv 1311.2540),
// interleaved: `lanes` states of 32 bits take turns (F. Giesen, "Interleaved entropy coders", arXiv
// 1402.3392), each decodes one code a cycle and takes at most one 16-bit word after it. The
// frequencies are static, of kFrequencyBits bits, and stand before the states. docs/format.md,
// "Entropy coding", is the text of this file.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_ENTROPYCODER_H
#define SDOPT_COMPILER_KERNELS_ENTROPYCODER_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sdopt {

/// Frequencies add up to 2^this.
inline constexpr int64_t kFrequencyBits = 12;

/// What is coded: codes of `bits` bits, 1 to 8, in two's complement or unsigned.
struct CodeAlphabet {
  int64_t bits = 8;
  bool isSigned = true;

  int64_t symbols() const { return int64_t{1} << bits; }
  /// Symbols are in the order of the numbers.
  uint8_t symbol(int8_t code) const {
    const auto mask = static_cast<uint32_t>(symbols() - 1);
    return static_cast<uint8_t>(
        (static_cast<uint32_t>(static_cast<uint8_t>(code)) + (isSigned ? mask / 2 + 1 : 0)) & mask);
  }
  int8_t code(uint8_t symbol) const {
    return static_cast<int8_t>(symbol - (isSigned ? symbols() / 2 : 0));
  }
};

using SymbolCounts = std::array<int64_t, 256>;

/// How often each symbol occurs; adds to `counts`.
void countSymbols(std::span<const int8_t> codes, CodeAlphabet alphabet, SymbolCounts &counts);

/// Frequencies that add up, at least 1 for each symbol that occurs; all zero if none
/// does.
std::array<uint16_t, 256> normalizedFrequencies(const SymbolCounts &counts);

/// Appends a stream of the codes. `lanes`: 1 to 256.
void entropyEncode(std::span<const int8_t> codes, CodeAlphabet alphabet, int64_t lanes,
                   std::vector<std::byte> &stream);

/// Codes of a stream, as many as there is room for. False, with unspecified codes, if the bytes are
/// no such stream; takes time in proportion to the codes and no more memory than a table.
[[nodiscard]] bool entropyDecode(std::span<const std::byte> stream, CodeAlphabet alphabet,
                                 int64_t lanes, std::span<int8_t> codes);

/// About the bytes that entropyEncode() would append, in one pass over the counts.
int64_t estimatedEntropyBytes(const SymbolCounts &counts, CodeAlphabet alphabet, int64_t lanes);

/// Zero-order entropy of the counts in bits: - sum of n log2(n / N). For reports.
double zeroOrderEntropy(const SymbolCounts &counts);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_ENTROPYCODER_H
