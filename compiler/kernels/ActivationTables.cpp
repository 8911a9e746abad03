//===- ActivationTables.cpp - the tables that a package stores --------------===//

#include "compiler/kernels/IntegerKernels.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

constexpr double kPi = 0x1.921fb54442d18p+1;
constexpr double kSqrtTwoOverPi = 0x1.9884533d43651p-1;
constexpr double kLn2 = 0x1.62e42fefa39efp-1;

double sigmoid(double x) {
  // exp of a non-positive argument only, so that nothing overflows.
  double e = deterministicExp(-std::fabs(x));
  return (x >= 0 ? 1.0 : e) / (1.0 + e);
}

double evaluate(TableFunction function, double x) {
  switch (function) {
  case TableFunction::SiLU:
    return x * sigmoid(x);
  case TableFunction::GELU:
    return 0.5 * x * (1.0 + deterministicErf(x / std::sqrt(2.0)));
  case TableFunction::QuickGELU:
    return x * sigmoid(1.702 * x);
  case TableFunction::Sigmoid:
    return sigmoid(x);
  case TableFunction::GELUTanh: // x * (1 + tanh(u)) / 2 = x * sigmoid(2 u)
    return x * sigmoid(2.0 * kSqrtTwoOverPi * (x + 0.044715 * x * x * x));
  }
  return 0.0;
}

// round(value / outputScale * 2^8), half up, kept inside 31 bits.
int32_t tableEntry(double value, double outputScale) {
  double entry = std::floor(value / outputScale * 256.0 + 0.5);
  return static_cast<int32_t>(std::clamp(entry, -0x1p30, 0x1p30));
}

std::array<int32_t, 64> powersOfTwo(double step) {
  std::array<int32_t, 64> table;
  for (int i = 0; i < 64; ++i)
    table[i] = static_cast<int32_t>(std::floor(0x1p30 * deterministicExp(-i * step * kLn2) + 0.5));
  return table;
}

} // namespace

std::vector<int32_t> makeTable(TableFunction function, CodeFormat input, double inputScale,
                               double outputScale) {
  bool narrow = input.type == ElementType::I8;
  std::vector<int32_t> table(narrow ? kTableEntries8 : kTableKnots16);
  int64_t step = narrow ? 1 : 64;
  for (size_t i = 0; i < table.size(); ++i) {
    int64_t code = input.min() + static_cast<int64_t>(i) * step;
    double x = inputScale * static_cast<double>(code - input.zeroPoint);
    table[i] = tableEntry(evaluate(function, x), outputScale);
  }
  return table;
}

std::vector<int32_t> makeSineTable(double outputScale) {
  std::vector<int32_t> table(kTableKnots16);
  for (size_t i = 0; i < table.size(); ++i)
    table[i] = tableEntry(deterministicSin(kPi * static_cast<double>(i) / 512.0), outputScale);
  return table;
}

std::vector<uint32_t> makeTimeSteps(int64_t halfDim, double frequencyShift, double maxPeriod) {
  std::vector<uint32_t> steps(halfDim);
  double logPeriod = deterministicLog2(maxPeriod) * kLn2;
  for (int64_t i = 0; i < halfDim; ++i) {
    double divisor = static_cast<double>(halfDim) - frequencyShift;
    double frequency =
        i == 0 ? 1.0 : deterministicExp(-logPeriod * static_cast<double>(i) / divisor);
    double turns = std::floor(0x1p32 * frequency / (2.0 * kPi) + 0.5);
    // Whole turns of an increment change nothing.
    steps[i] = static_cast<uint32_t>(static_cast<int64_t>(std::clamp(turns, 0.0, 0x1p62)));
  }
  return steps;
}

const std::array<int32_t, 64> &exponentTableHigh() {
  static const std::array<int32_t, 64> table = powersOfTwo(1.0 / 64.0);
  return table;
}

const std::array<int32_t, 64> &exponentTableLow() {
  static const std::array<int32_t, 64> table = powersOfTwo(1.0 / 4096.0);
  return table;
}

} // namespace sdopt
