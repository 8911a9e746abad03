//===- KernelThreads.h - how many threads the kernels may use ---*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_KERNELTHREADS_H
#define SDOPT_COMPILER_KERNELS_KERNELTHREADS_H

namespace sdopt {

/// As set by setKernelThreads(); at least 1.
int kernelThreads();

/// While it lives, OpenMP regions that the calling thread opens have one thread. oneDNN picks its
/// blocking by the thread count it sees, so that every oneDNN call is made under one of these: its
/// sums never depend on how many threads work on other parts.
class SingleThreadScope {
public:
  SingleThreadScope();
  ~SingleThreadScope();
  SingleThreadScope(const SingleThreadScope &) = delete;
  SingleThreadScope &operator=(const SingleThreadScope &) = delete;

private:
  int previous;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_KERNELTHREADS_H
