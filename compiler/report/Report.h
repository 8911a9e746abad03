//===- Report.h - what a compilation did, for machines and people -*- C++ -*-===//
//
// report.proto defines the message. report.json is its protobuf JSON mapping with the field names
// of the .proto file and every field present (64-bit integers are JSON strings there, as the
// mapping asks); report.html is one self-contained page: no script, no outside resource, readable
// in light and dark.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_REPORT_REPORT_H
#define SDOPT_COMPILER_REPORT_REPORT_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/files/AtomicFile.h"
#include "compiler/report/report.pb.h"

#include <memory>
#include <string>
#include <vector>

namespace sdopt {

/// The same report gives the same text; ends with a newline.
std::string toJson(const Report &report);

/// Strict: an unknown field, a wrong type and text after the object are INVALID_ARGUMENT; `origin`
/// names the text in errors.
absl::StatusOr<Report> fromJson(const std::string &text, const std::string &origin);

std::string toHtml(const Report &report);

/// Writes `folder`/report.json and `folder`/report.html; they appear when `files` are committed.
absl::Status writeReport(const Report &report, const std::string &folder,
                         std::vector<std::unique_ptr<AtomicFile>> &files);

/// The module with the lowest PSNR among those that were measured (samples > 0); null if none was.
const ModuleReport *worstModule(const Report &report);

} // namespace sdopt

#endif // SDOPT_COMPILER_REPORT_REPORT_H
