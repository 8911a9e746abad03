//===- KernelThreads.cpp - how many threads the kernels may use -------------===//

#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/FloatKernels.h"

#include <atomic>
#include <omp.h>

namespace sdopt {

namespace {

std::atomic<int> threadLimit{1};

} // namespace

void setKernelThreads(int threads) { threadLimit = std::max(1, threads); }

int kernelThreads() { return threadLimit; }

namespace detail {

void runParallel(int64_t count, int threads, void (*function)(void *, int64_t, int),
                 void *context) {
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t i = 0; i < count; ++i)
    function(context, i, omp_get_thread_num());
}

} // namespace detail

} // namespace sdopt
