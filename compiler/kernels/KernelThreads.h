//===- KernelThreads.h - how many threads the kernels may use ---*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_KERNELTHREADS_H
#define SDOPT_COMPILER_KERNELS_KERNELTHREADS_H

#include <algorithm>
#include <cstdint>

namespace sdopt {

/// As set by setKernelThreads(); at least 1.
int kernelThreads();

/// Calls body(index, thread) for each index < count, with thread < kernelThreads(), in any order.
/// `body` must not throw.
template <typename Body> void parallelFor(int64_t count, Body body);

/// Calls body(first, last) for stretches of [0, count) that have `grain` indices (the last one may
/// have fewer), in any order. `body` must not throw.
template <typename Body> void parallelRanges(int64_t count, int64_t grain, Body body);

namespace detail {
/// Calls function(context, index, thread) for each index < count.
void runParallel(int64_t count, int threads, void (*function)(void *, int64_t, int), void *context);
} // namespace detail

template <typename Body> void parallelFor(int64_t count, Body body) {
  int threads = static_cast<int>(std::min<int64_t>(kernelThreads(), count));
  if (threads <= 1) {
    for (int64_t i = 0; i < count; ++i)
      body(i, 0);
    return;
  }
  detail::runParallel(
      count, threads,
      [](void *context, int64_t i, int thread) { (*static_cast<Body *>(context))(i, thread); },
      &body);
}

template <typename Body> void parallelRanges(int64_t count, int64_t grain, Body body) {
  parallelFor((count + grain - 1) / grain,
              [&](int64_t i, int) { body(i * grain, std::min(count, (i + 1) * grain)); });
}

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_KERNELTHREADS_H
