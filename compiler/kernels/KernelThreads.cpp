//===- KernelThreads.cpp - how many threads the kernels may use -------------===//

#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/WorkSharing.h"

#include <atomic>
#include <bit>

namespace sdopt {

namespace {

std::atomic<int> threadLimit{1};

constexpr int kMostThreads = 64;

// Numbers that threads at work on one job have to themselves.
class ThreadNumbers {
public:
  explicit ThreadNumbers(int threads)
      : free(threads == kMostThreads ? ~uint64_t(0) : (uint64_t(1) << threads) - 1) {}

  int take() {
    uint64_t numbers = free.load(std::memory_order_relaxed);
    while (!free.compare_exchange_weak(numbers, numbers & (numbers - 1), std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
    }
    return std::countr_zero(numbers);
  }

  void give(int number) { free.fetch_or(uint64_t(1) << number, std::memory_order_release); }

private:
  std::atomic<uint64_t> free;
};

} // namespace

void setKernelThreads(int threads) { threadLimit = std::clamp(threads, 1, kMostThreads); }

int kernelThreads() { return threadLimit; }

namespace detail {

void runParallel(int64_t count, int threads, void (*function)(void *, int64_t, int),
                 void *context) {
  ThreadNumbers numbers(threads);
  shareItems(count, threads, [&](int64_t i) {
    int number = numbers.take();
    function(context, i, number);
    numbers.give(number);
  });
}

} // namespace detail

} // namespace sdopt
