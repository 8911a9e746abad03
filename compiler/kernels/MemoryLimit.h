//===- MemoryLimit.h - how much memory the process may have -----*- C++ -*-===//
//
// A bound on the process's peak resident memory, mapped pages of files included. It decides how
// much is kept for later and how much is done side by side, never a result.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_MEMORYLIMIT_H
#define SDOPT_COMPILER_KERNELS_MEMORYLIMIT_H

#include <cstdint>

namespace sdopt {

/// Bytes; 0: no limit.
void setMemoryLimit(int64_t bytes);
int64_t memoryLimit();

/// How much of `usual` bytes may be kept for later under the limit.
int64_t keptBytes(int64_t usual);

/// May `more` bytes be had beside what is resident, and was the peak never above the limit? Gives
/// what is kept back to the system before it says no. Always true without a limit.
bool fitsMemory(int64_t more);

/// Bytes that the first refusal of fitsMemory() would have taken, all together; 0: none so far.
int64_t refusedMemory();

/// Gives memory back that was freed but is not yet the system's, if there is much of it. To be
/// called where a lot may have been freed; costs some microseconds otherwise.
void trimMemory();

/// Bytes of the process that no file holds, after what is kept was given back; 0 where the system
/// does not tell.
int64_t privateBytes();

/// The same with mapped pages of files.
int64_t residentBytes();

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_MEMORYLIMIT_H
