//===- Gates.h - a report as a release check --------------------*- C++ -*-===//
//
//   --gate 'unet.psnr>=40dB,package<=9MB,pipeline.images_per_second>=0.1,unet.cycles<=1e9'
//
//   gates      = gate { "," gate }
//   gate       = metric operator number [unit]
//   metric     = "package" | "psnr" | field of Report | "pipeline." field of Pipeline
//              | module name "." field of Module
//   operator   = ">=" | "<=" | ">" | "<"
//   unit       = dB | B kB KiB MB MiB GB GiB | s ms | J mJ
//
// Fields are the numeric ones of report.proto under their names there. "package" is package_bytes;
// a bare "psnr" is the lowest of all modules. A number without unit is in the field's own unit (dB,
// bytes, s, J). A gate on something that was not measured is an error, never a pass.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_REPORT_GATES_H
#define SDOPT_COMPILER_REPORT_GATES_H

#include "absl/status/statusor.h"
#include "compiler/report/report.pb.h"

#include <string>
#include <vector>

namespace sdopt {

enum class Comparison : uint8_t { GreaterEqual, LessEqual, Greater, Less };

/// One gate, its field and unit checked; whether the module exists is known only with a report.
struct Gate {
  std::string text;  ///< as written, without outer blanks
  std::string owner; ///< "" (Report), "pipeline", or a module's name
  std::string field; ///< of Report, Pipeline or Module
  Comparison comparison = Comparison::GreaterEqual;
  double limit = 0; ///< in the field's own unit
  int column = 1;   ///< of its first character in the text
};

/// Errors name the column (from 1) and list what could stand there.
absl::StatusOr<std::vector<Gate>> parseGates(const std::string &text);

struct GateResult {
  std::string text;
  double value = 0, limit = 0;
  bool passed = false;
};

/// In the order given. NOT_FOUND names a module that the report lacks and lists those it has;
/// FAILED_PRECONDITION a value that was not measured.
absl::StatusOr<std::vector<GateResult>> evaluateGates(const Report &report,
                                                      const std::vector<Gate> &gates);

/// One line for people: "unet.psnr>=40dB: 52.1, passed".
std::string describe(const GateResult &result);

/// How much worse than a baseline is still "the same".
struct BaselineTolerances {
  double decibels = 0.1;  ///< PSNR and SQNR may drop by this much
  double relative = 0.01; ///< cycles, bytes and energy may grow by this part
};

enum class RegressionKind : uint8_t { Worse, New, Missing };

/// One difference from the baseline.
struct Regression {
  RegressionKind kind = RegressionKind::Worse;
  std::string module; ///< empty: the whole package or pipeline
  std::string layer;  ///< empty: the module
  std::string metric; ///< field of report.proto; empty for New and Missing
  double before = 0, after = 0;
};

/// What is worse than in `baseline`, and modules and layers that only one of them has, in the order
/// of the report (what is missing: of the baseline, last). Layers are matched by name. A value that
/// one side did not measure (a quality of 0 dB, no samples) is compared only if the baseline has
/// it.
std::vector<Regression> compareWithBaseline(const Report &report, const Report &baseline,
                                            const BaselineTolerances &tolerances = {});

/// "unet /down/0/conv: sqnr 41.2 -> 38.0".
std::string describe(const Regression &regression);

} // namespace sdopt

#endif // SDOPT_COMPILER_REPORT_GATES_H
