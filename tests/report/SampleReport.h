//===- SampleReport.h - a small report for tests ----------------*- C++ -*-===//

#ifndef SDOPT_TESTS_REPORT_SAMPLEREPORT_H
#define SDOPT_TESTS_REPORT_SAMPLEREPORT_H

#include "compiler/report/Report.h"

namespace sdopt {

/// Four modules of a pipeline with `unetLayers` layers in the UNet; all numbers are made up but
/// plausible.
Report sampleReport(int unetLayers = 12);

} // namespace sdopt

#endif // SDOPT_TESTS_REPORT_SAMPLEREPORT_H
