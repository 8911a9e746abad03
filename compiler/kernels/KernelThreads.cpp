//===- KernelThreads.cpp - how many threads the kernels may use -------------===//

#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/FloatKernels.h"

#include <algorithm>
#include <atomic>
#include <omp.h>

namespace sdopt {

namespace {

std::atomic<int> threadLimit{1};

} // namespace

void setKernelThreads(int threads) { threadLimit = std::max(1, threads); }

int kernelThreads() { return threadLimit; }

SingleThreadScope::SingleThreadScope() : previous(omp_get_max_threads()) { omp_set_num_threads(1); }

SingleThreadScope::~SingleThreadScope() { omp_set_num_threads(previous); }

} // namespace sdopt
