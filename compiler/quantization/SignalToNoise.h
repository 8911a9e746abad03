//===- SignalToNoise.h - powers as decibels ---------------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_QUANTIZATION_SIGNALTONOISE_H
#define SDOPT_COMPILER_QUANTIZATION_SIGNALTONOISE_H

#include <cmath>
#include <limits>

namespace sdopt {

/// 10 log10(signal / noise), dB, of two powers; infinite without noise, 0 with noise alone.
inline double signalToNoise(double signal, double noise) {
  if (noise == 0)
    return std::numeric_limits<double>::infinity();
  return signal == 0 ? 0.0 : 10 * std::log10(signal / noise);
}

} // namespace sdopt

#endif // SDOPT_COMPILER_QUANTIZATION_SIGNALTONOISE_H
