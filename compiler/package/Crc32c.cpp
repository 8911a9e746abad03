#include "compiler/package/Crc32c.h"

#include <array>
#include <cstring>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace sdopt {
namespace {

using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables makeTables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit)
      crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0u);
    tables[0][byte] = crc;
  }
  for (size_t t = 1; t < 8; ++t)
    for (uint32_t byte = 0; byte < 256; ++byte)
      tables[t][byte] = (tables[t - 1][byte] >> 8) ^ tables[0][tables[t - 1][byte] & 255];
  return tables;
}

constexpr Tables kTables = makeTables();

uint32_t word(const unsigned char *p) {
  return uint32_t{p[0]} | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 | uint32_t{p[3]} << 24;
}

uint32_t byTables(const unsigned char *p, size_t left, uint32_t crc) {
  for (; left >= 8; left -= 8, p += 8) {
    const uint32_t low = word(p) ^ crc, high = word(p + 4);
    crc = kTables[7][low & 255] ^ kTables[6][low >> 8 & 255] ^ kTables[5][low >> 16 & 255] ^
          kTables[4][low >> 24] ^ kTables[3][high & 255] ^ kTables[2][high >> 8 & 255] ^
          kTables[1][high >> 16 & 255] ^ kTables[0][high >> 24];
  }
  for (; left > 0; --left, ++p)
    crc = (crc >> 8) ^ kTables[0][(crc ^ *p) & 255];
  return crc;
}

#if defined(__x86_64__)
// The instruction has this polynomial.
__attribute__((target("sse4.2"))) uint32_t byInstruction(const unsigned char *p, size_t left,
                                                         uint32_t crc) {
  uint64_t wide = crc;
  for (; left >= 8; left -= 8, p += 8) {
    uint64_t next;
    std::memcpy(&next, p, sizeof(next));
    wide = _mm_crc32_u64(wide, next);
  }
  return byTables(p, left, static_cast<uint32_t>(wide));
}
#endif

} // namespace

uint32_t crc32c(std::span<const std::byte> bytes, uint32_t previous) {
  const auto *p = reinterpret_cast<const unsigned char *>(bytes.data());
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2"))
    return ~byInstruction(p, bytes.size(), ~previous);
#endif
  return ~byTables(p, bytes.size(), ~previous);
}

} // namespace sdopt
