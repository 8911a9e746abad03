//===- PowerChart.h - energy against time -----------------------*- C++ -*-===//
//
// As the charts of Charts.h, from plain numbers.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_REPORT_POWERCHART_H
#define SDOPT_COMPILER_REPORT_POWERCHART_H

#include <string>
#include <vector>

namespace sdopt {

/// Of one picture.
struct TimeEnergy {
  double seconds = 0;
  double joules = 0;
};

struct NamedTimeEnergy {
  std::string name; ///< "fixed clock"
  TimeEnergy value;
};

/// The least energy for each time as a line, time ascending, and what policies reach as marks with
/// their names. Empty without a curve, or if a number is not finite.
std::string timeEnergyChart(const std::vector<TimeEnergy> &curve,
                            const std::vector<NamedTimeEnergy> &policies);

} // namespace sdopt

#endif // SDOPT_COMPILER_REPORT_POWERCHART_H
