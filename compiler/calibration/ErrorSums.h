//===- ErrorSums.h - what PSNR, SQNR and cosine are made of -----*- C++ -*-===//

#ifndef SDOPT_COMPILER_CALIBRATION_ERRORSUMS_H
#define SDOPT_COMPILER_CALIBRATION_ERRORSUMS_H

#include <cstdint>
#include <span>

namespace sdopt {

/// Sums over the elements of a reference r and of what stands for it, a.
struct ErrorSums {
  double reference = 0; ///< of r^2
  double error = 0;     ///< of (r - a)^2
  double actual = 0;    ///< of a^2
  double product = 0;   ///< of r * a
  double largest = 0;   ///< largest |r|
  int64_t count = 0;

  void add(double r, double a);
  void add(const ErrorSums &other);
};

ErrorSums compare(std::span<const float> reference, std::span<const float> actual);

/// 20 log10(largest / RMSE), dB.
double psnrOf(const ErrorSums &sums, double largest);
/// 10 log10(sum r^2 / sum (r - a)^2), dB.
double sqnrOf(const ErrorSums &sums);
/// sum r a / sqrt(sum r^2 sum a^2); 1 if there is no error, 0 if only one side is all zero.
double cosineOf(const ErrorSums &sums);

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_ERRORSUMS_H
