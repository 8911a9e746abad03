//===- InputPower.h - how much each input of a layer carries ----*- C++ -*-===//
//
// The sum of x^2 over all rows that a matrix layer reads, for each of its columns: input channels
// of a linear layer, and for a convolution what its kernel sees (im2col), [tap][channel]. Outside
// the picture a kernel sees 0. Free of MLIR.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PRUNE_INPUTPOWER_H
#define SDOPT_COMPILER_PRUNE_INPUTPOWER_H

#include <cstdint>
#include <vector>

namespace sdopt {

/// Where a kernel stands on pictures [batch][height][width][channels]; the defaults are those of a
/// linear layer, whose rows are pictures of one pixel.
struct KernelWindow {
  int64_t height = 1, width = 1;       ///< of the input
  int64_t outHeight = 1, outWidth = 1; ///< places of the kernel
  int64_t kernelHeight = 1, kernelWidth = 1;
  int64_t strideH = 1, strideW = 1, dilationH = 1, dilationW = 1, top = 0, left = 0;
  int64_t channels = 1;

  int64_t taps() const { return kernelHeight * kernelWidth; }
};

class InputPower {
public:
  explicit InputPower(const KernelWindow &window);

  /// Adds weight * x^2 over `pictures` pictures, in their order: batch, then rows of places.
  void add(const float *input, int64_t pictures, double weight);
  /// [tap][channel]
  const std::vector<double> &sums() const { return sums_; }

private:
  void addTap(const float *input, int64_t pictures, double weight, int64_t tap, int64_t first,
              int64_t last);

  KernelWindow window_;
  std::vector<double> sums_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_PRUNE_INPUTPOWER_H
