//===- AmxTiles.h - frame of code that uses tiles ---------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_AMXTILES_H
#define SDOPT_COMPILER_KERNELS_AMXTILES_H

#include "compiler/kernels/InstructionSets.h"

#include <cstdint>

namespace sdopt {

#if defined(__x86_64__)

struct alignas(64) TileConfiguration {
  uint8_t palette = 1;
  uint8_t startRow = 0;
  uint8_t reserved[14] = {};
  uint16_t rowBytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
inline constexpr TileConfiguration kFullTiles;

/// All eight tiles 16 rows x 64 bytes, for the calling thread.
SDOPT_AMX inline void configureTiles() { _tile_loadconfig(&kFullTiles); }

/// The compiler does not know that the tile instructions read memory: what was stored before must
/// be there.
inline void tileFence() { asm volatile("" ::: "memory"); }

/// Nothing is left that the system would have to save.
SDOPT_AMX inline void releaseTiles() { _tile_release(); }

#endif

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_AMXTILES_H
