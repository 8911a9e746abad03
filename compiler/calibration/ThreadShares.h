//===- ThreadShares.h - threads for samples or for kernels ------*- C++ -*-===//

#ifndef SDOPT_COMPILER_CALIBRATION_THREADSHARES_H
#define SDOPT_COMPILER_CALIBRATION_THREADSHARES_H

#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/MemoryLimit.h"

namespace sdopt {

/// Small models evaluate a sample on each thread; of large ones one sample at a time is in memory,
/// and its kernels get all threads. While it lives the kernels have their share. Results do not
/// depend on it.
class ThreadShares {
public:
  /// Activations of an evaluation that may run beside others, bytes.
  static constexpr int64_t kSmall = 32 << 20;

  /// `bytes`: activations of one evaluation, all together.
  ThreadShares(int threads, int64_t samples, int64_t bytes) : before_(kernelThreads()) {
    bool aside = samples >= threads && bytes <= keptBytes(kSmall);
    samples_ = aside ? threads : 1;
    setKernelThreads(aside ? 1 : threads);
  }
  ~ThreadShares() { setKernelThreads(before_); }
  ThreadShares(const ThreadShares &) = delete;
  ThreadShares &operator=(const ThreadShares &) = delete;

  /// Evaluated side by side.
  int samples() const { return samples_; }

private:
  int before_, samples_ = 1;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_THREADSHARES_H
