//===- ErrorSums.cpp - what PSNR, SQNR and cosine are made of -----------------===//

#include "compiler/calibration/ErrorSums.h"

#include "compiler/quantization/SignalToNoise.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

void ErrorSums::add(double r, double a) {
  reference += r * r;
  error += (r - a) * (r - a);
  actual += a * a;
  product += r * a;
  largest = std::max(largest, std::fabs(r));
  ++count;
}

void ErrorSums::add(const ErrorSums &other) {
  reference += other.reference;
  error += other.error;
  actual += other.actual;
  product += other.product;
  largest = std::max(largest, other.largest);
  count += other.count;
}

ErrorSums compare(std::span<const float> reference, std::span<const float> actual) {
  ErrorSums sums;
  for (size_t i = 0; i < reference.size(); ++i)
    sums.add(reference[i], actual[i]);
  return sums;
}

double psnrOf(const ErrorSums &sums, double largest) {
  return signalToNoise(largest * largest * static_cast<double>(sums.count), sums.error);
}

double sqnrOf(const ErrorSums &sums) { return signalToNoise(sums.reference, sums.error); }

double cosineOf(const ErrorSums &sums) {
  if (sums.error == 0)
    return 1;
  double norms = std::sqrt(sums.reference) * std::sqrt(sums.actual);
  return norms == 0 ? 0 : sums.product / norms;
}

} // namespace sdopt
