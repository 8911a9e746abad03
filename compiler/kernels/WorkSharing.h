//===- WorkSharing.h - items of work for several threads --------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_WORKSHARING_H
#define SDOPT_COMPILER_KERNELS_WORKSHARING_H

#include <cstdint>
#include <functional>

namespace sdopt {

/// Calls work(item) once for each 0 <= item < items, from the calling thread and up to threads - 1
/// helpers, and returns when all is done. A helper that gets no processor in time does not hold up
/// the caller, which does all the items itself: on a busy machine a team that has to meet at a
/// barrier would lose a time slice with each call. `work` must not throw.
void shareItems(int64_t items, int threads, const std::function<void(int64_t)> &work);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_WORKSHARING_H
