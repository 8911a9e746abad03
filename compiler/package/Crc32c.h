//===- Crc32c.h - checksum of sections --------------------------*- C++ -*-===//
//
// CRC-32C (Castagnoli): polynomial 0x1EDC6F41 reflected, initial and final value 0xFFFFFFFF (RFC
// 3720, appendix B.4). Eight tables, eight bytes a step.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PACKAGE_CRC32C_H
#define SDOPT_COMPILER_PACKAGE_CRC32C_H

#include <cstddef>
#include <cstdint>
#include <span>

namespace sdopt {

/// The checksum of `bytes`; with `previous`, of the bytes summed before followed by these.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t previous = 0);

} // namespace sdopt

#endif // SDOPT_COMPILER_PACKAGE_CRC32C_H
