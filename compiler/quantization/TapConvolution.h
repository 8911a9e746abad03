//===- TapConvolution.h - what layers lose by F(4x4, 3x3) ------*- C++ -*-===//
//
// A layer's shifts are chosen by what they lose: those of codes on codes that the layer reads,
// those of weights on its weights, each of the 72 by itself. What the sums lose is measured then.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_QUANTIZATION_TAPCONVOLUTION_H
#define SDOPT_COMPILER_QUANTIZATION_TAPCONVOLUTION_H

#include "compiler/kernels/TapWinograd.h"

#include <optional>
#include <span>
#include <vector>

namespace sdopt {

/// Of all layers with tap shifts.
inline constexpr int kTapAccumulatorBits = 48;

/// The first output channel whose accumulator might leave them: bound + |bias| >=
/// 2^(kTapAccumulatorBits - 1) for one of tapAccumulatorBound().
std::optional<int64_t> firstOverflowingTapChannel(std::span<const int64_t> bounds,
                                                  std::span<const ChannelParams> params);

/// Shifts of weights [outputs][3][3][inputs] with the least squared error of what is transformed;
/// of equals the smallest.
std::array<uint8_t, kTapProducts> tapWeightShifts(std::span<const int8_t> weights, int64_t outputs,
                                                  int64_t inputs);

/// Squared errors of transformed codes for each shift that may be best, added up over pictures.
class TapCodeErrors {
public:
  /// One picture of a layer. Nothing depends on the number of threads.
  void add(const ConvTile &tile, Codes x);
  /// The shifts of least error; of equals the smallest.
  std::array<uint8_t, kTapProducts> best() const;

private:
  static constexpr int64_t kShifts = 6; ///< with 5 no code of 8 bits saturates, with 2 none of 16
  using Errors = std::array<std::array<double, kShifts>, kTapProducts>;
  Errors errors_ = {};
  int64_t shifts_ = 1; ///< that count
};

/// Squares of what the sums should be and of what rounding took or added, in real numbers but for
/// the scale of the codes. What all sums of a channel have in common is no signal: the norm behind
/// takes it away, or a bias could give it.
class TapNoise {
public:
  /// One picture. `scales` are those of the weights of each output channel.
  void add(const IntegerKernels &kernels, const ConvTile &tile, Codes x, const int8_t *weights,
           std::span<const float> scales, const TapShifts &shifts);
  double signal() const;
  double noise() const { return noise_; }
  /// dB; infinite without noise, 0 with noise alone.
  double sqnr() const;

private:
  struct Channel {
    double sum = 0, squares = 0;
  };
  std::vector<Channel> channels_;
  double noise_ = 0;
  int64_t count_ = 0; ///< sums of each channel
};

} // namespace sdopt

#endif // SDOPT_COMPILER_QUANTIZATION_TAPCONVOLUTION_H
