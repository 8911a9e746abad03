//===- ReportJson.cpp - report.json ---------------------------------------===//

#include "compiler/report/Report.h"

#include "absl/strings/str_cat.h"

#include <google/protobuf/util/json_util.h>

#include <string_view>

namespace sdopt {

std::string toJson(const Report &report) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  auto status = google::protobuf::util::MessageToJsonString(report, &text, options);
  if (!status.ok())
    return absl::StrCat("{}\n");
  return text;
}

absl::StatusOr<Report> fromJson(const std::string &text, const std::string &origin) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = false;
  Report report;
  auto status = google::protobuf::util::JsonStringToMessage(text, &report, options);
  if (status.ok())
    return report;
  // The parser's message may quote a piece of the text: keep it to one line.
  std::string reason(status.message().data(), status.message().size());
  reason = reason.substr(0, reason.find('\n'));
  return absl::InvalidArgumentError(
      absl::StrCat(origin, ": not a report of sdopt: ", reason,
                   "; needed: a report.json written by sdopt-compile --report"));
}

absl::Status writeReport(const Report &report, const std::string &folder,
                         std::vector<std::unique_ptr<AtomicFile>> &files) {
  if (absl::Status status = makeFolder(folder); !status.ok())
    return status;
  auto json = AtomicFile::create(folder + "/report.json");
  auto html = AtomicFile::create(folder + "/report.html");
  for (const absl::Status &status : {json.status(), html.status()})
    if (!status.ok())
      return status;
  absl::Status status = (*json)->write(toJson(report));
  if (status.ok())
    status = (*html)->write(toHtml(report));
  files.push_back(*std::move(json));
  files.push_back(*std::move(html));
  return status;
}

const ModuleReport *worstModule(const Report &report) {
  const ModuleReport *worst = nullptr;
  for (const ModuleReport &module : report.modules())
    if (module.samples() > 0 && (!worst || module.psnr() < worst->psnr()))
      worst = &module;
  return worst;
}

} // namespace sdopt
