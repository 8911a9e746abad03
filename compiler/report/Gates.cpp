//===- Gates.cpp - parse and evaluate gates -------------------------------===//

#include "compiler/report/Gates.h"

#include "absl/strings/str_cat.h"
#include "compiler/report/Numbers.h"
#include "compiler/report/Report.h"

#include <google/protobuf/descriptor.h>

#include <charconv>
#include <cmath>

namespace sdopt {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

/// What a field is measured in; a unit must be of the field's dimension.
enum class Dimension : uint8_t { None, Decibel, Bytes, Seconds, Joules };

struct Unit {
  const char *name;
  Dimension dimension;
  double factor;
};
constexpr Unit kUnits[] = {
    {"dB", Dimension::Decibel, 1}, {"B", Dimension::Bytes, 1},
    {"kB", Dimension::Bytes, 1e3}, {"KiB", Dimension::Bytes, 1024},
    {"MB", Dimension::Bytes, 1e6}, {"MiB", Dimension::Bytes, 1048576},
    {"GB", Dimension::Bytes, 1e9}, {"GiB", Dimension::Bytes, 1073741824},
    {"s", Dimension::Seconds, 1},  {"ms", Dimension::Seconds, 1e-3},
    {"J", Dimension::Joules, 1},   {"mJ", Dimension::Joules, 1e-3},
};

Dimension dimensionOf(const std::string &field) {
  auto endsWith = [&](const std::string &tail) {
    return field.size() >= tail.size() &&
           field.compare(field.size() - tail.size(), tail.size(), tail) == 0;
  };
  if (endsWith("psnr") || endsWith("sqnr"))
    return Dimension::Decibel;
  if (endsWith("_bytes"))
    return Dimension::Bytes;
  if (field == "seconds" || field == "seconds_per_image")
    return Dimension::Seconds;
  if (field == "energy" || field == "joules_per_image")
    return Dimension::Joules;
  return Dimension::None;
}

std::string unitsOf(Dimension dimension) {
  std::string list;
  for (const Unit &unit : kUnits)
    if (unit.dimension == dimension)
      list += (list.empty() ? "" : " ") + std::string(unit.name);
  return list.empty() ? "no unit" : list;
}

bool isNumeric(const FieldDescriptor &field) {
  return !field.is_repeated() && (field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE ||
                                  field.cpp_type() == FieldDescriptor::CPPTYPE_INT64 ||
                                  field.cpp_type() == FieldDescriptor::CPPTYPE_INT32);
}

bool hasField(const Descriptor &message, const std::string &name) {
  const FieldDescriptor *field = message.FindFieldByName(name);
  return field && isNumeric(*field);
}

std::string fieldsOf(const Descriptor &message) {
  std::string list;
  for (int i = 0; i < message.field_count(); ++i)
    if (isNumeric(*message.field(i)))
      list += (list.empty() ? "" : " ") + message.field(i)->name();
  return list;
}

double valueOf(const Message &message, const std::string &name) {
  const FieldDescriptor *field = message.GetDescriptor()->FindFieldByName(name);
  const auto *reflection = message.GetReflection();
  switch (field->cpp_type()) {
  case FieldDescriptor::CPPTYPE_DOUBLE:
    return reflection->GetDouble(message, field);
  case FieldDescriptor::CPPTYPE_INT64:
    return static_cast<double>(reflection->GetInt64(message, field));
  default:
    return reflection->GetInt32(message, field);
  }
}

absl::Status errorAt(size_t position, const std::string &what) {
  return absl::InvalidArgumentError(absl::StrCat("gate column ", position + 1, ": ", what));
}

std::string trimmed(const std::string &text) {
  size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string::npos)
    return "";
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::string comparisonText(Comparison comparison) {
  switch (comparison) {
  case Comparison::GreaterEqual:
    return ">=";
  case Comparison::LessEqual:
    return "<=";
  case Comparison::Greater:
    return ">";
  case Comparison::Less:
    return "<";
  }
  return "";
}

/// Parses one gate that occupies [begin, end) of the text.
class GateParser {
public:
  GateParser(const std::string &text, size_t begin, size_t end)
      : text_(text), at_(begin), end_(end) {}

  absl::StatusOr<Gate> parse() {
    skipBlanks();
    size_t begin = at_;
    if (at_ == end_)
      return errorAt(
          at_, "nothing here; needed: METRIC OPERATOR NUMBER [UNIT], as in 'unet.psnr>=40dB'");
    if (absl::Status status = parseMetric(); !status.ok())
      return status;
    if (absl::Status status = parseOperator(); !status.ok())
      return status;
    if (absl::Status status = parseLimit(); !status.ok())
      return status;
    gate_.text = trimmed(text_.substr(begin, end_ - begin));
    gate_.column = static_cast<int>(begin) + 1;
    return gate_;
  }

private:
  void skipBlanks() {
    while (at_ < end_ && (text_[at_] == ' ' || text_[at_] == '\t'))
      ++at_;
  }

  absl::Status parseMetric() {
    size_t begin = at_;
    size_t stop = std::min(text_.find_first_of("<>=!", at_), end_);
    std::string metric = trimmed(text_.substr(begin, stop - begin));
    at_ = stop;
    if (metric.empty())
      return errorAt(begin, "a metric is missing before the operator; there are: " + allMetrics());
    size_t dot = metric.rfind('.');
    if (dot == std::string::npos)
      return checkBareMetric(metric, begin);
    gate_.owner = metric.substr(0, dot);
    gate_.field = metric.substr(dot + 1);
    if (gate_.owner.empty())
      return errorAt(begin, "a module name is missing before '." + gate_.field + "'");
    const Descriptor &message =
        gate_.owner == "pipeline" ? *PipelineReport::descriptor() : *ModuleReport::descriptor();
    if (!hasField(message, gate_.field))
      return errorAt(begin + dot + 1,
                     "no metric '" + gate_.field + "' of " +
                         (gate_.owner == "pipeline" ? "the pipeline" : "a module") +
                         "; there are: " + fieldsOf(message));
    return absl::OkStatus();
  }

  absl::Status checkBareMetric(const std::string &metric, size_t begin) {
    gate_.field = metric == "package" ? "package_bytes" : metric;
    if (gate_.field == "psnr" || hasField(*Report::descriptor(), gate_.field))
      return absl::OkStatus();
    return errorAt(begin, "no metric '" + metric + "'; there are: " + allMetrics());
  }

  static std::string allMetrics() {
    return absl::StrCat("package psnr ", fieldsOf(*Report::descriptor()), ", pipeline.FIELD (",
                        fieldsOf(*PipelineReport::descriptor()), "), MODULE.FIELD (",
                        fieldsOf(*ModuleReport::descriptor()), ")");
  }

  absl::Status parseOperator() {
    size_t begin = at_;
    while (at_ < end_ && std::string("<>=!").find(text_[at_]) != std::string::npos)
      ++at_;
    std::string found = text_.substr(begin, at_ - begin);
    for (Comparison comparison :
         {Comparison::GreaterEqual, Comparison::LessEqual, Comparison::Greater, Comparison::Less})
      if (found == comparisonText(comparison)) {
        gate_.comparison = comparison;
        return absl::OkStatus();
      }
    return errorAt(begin,
                   (found.empty() ? "an operator is missing" : "no operator '" + found + "'") +
                       "; there are: >= <= > <");
  }

  absl::Status parseLimit() {
    skipBlanks();
    size_t begin = at_;
    auto [pointer, code] = std::from_chars(text_.data() + at_, text_.data() + end_, gate_.limit);
    if (code == std::errc::result_out_of_range)
      return errorAt(begin, "number out of range");
    if (code != std::errc() || !std::isfinite(gate_.limit))
      return errorAt(begin, "a number is missing after the operator");
    at_ = static_cast<size_t>(pointer - text_.data());
    skipBlanks();
    return parseUnit();
  }

  absl::Status parseUnit() {
    std::string found = trimmed(text_.substr(at_, end_ - at_));
    if (found.empty())
      return absl::OkStatus();
    Dimension dimension = dimensionOf(gate_.field);
    for (const Unit &unit : kUnits)
      if (found == unit.name && unit.dimension == dimension) {
        gate_.limit *= unit.factor;
        return absl::OkStatus();
      }
    return errorAt(at_, "no unit '" + found + "' for '" + gate_.field +
                            "'; there is: " + unitsOf(dimension));
  }

  const std::string &text_;
  size_t at_, end_;
  Gate gate_;
};

absl::Status notMeasured(const Gate &gate) {
  return absl::FailedPreconditionError(absl::StrCat(
      "gate '", gate.text, "': ", gate.field, " was not measured; give samples with --samples"));
}

absl::Status checkMeasured(const ModuleReport &module, const Gate &gate) {
  const FieldDescriptor *field = ModuleReport::descriptor()->FindFieldByName(gate.field);
  if (module.samples() <= 0 &&
      (field->has_presence() || dimensionOf(gate.field) == Dimension::Decibel))
    return notMeasured(gate);
  if (field->has_presence() && !ModuleReport::GetReflection()->HasField(module, field))
    return absl::FailedPreconditionError(absl::StrCat(
        "gate '", gate.text, "': ", gate.field, " was not measured: module '", gate.owner, "' has ",
        module.timesteps_size() == 0
            ? "no timestep"
            : "no recorded calls with unconditional and conditional rows of one latent"));
  return absl::OkStatus();
}

absl::StatusOr<double> lookUp(const Report &report, const Gate &gate) {
  if (gate.owner.empty()) {
    if (gate.field != "psnr")
      return valueOf(report, gate.field);
    const ModuleReport *worst = worstModule(report);
    if (!worst)
      return notMeasured(gate);
    return worst->psnr();
  }
  if (gate.owner == "pipeline") {
    if (!report.has_pipeline())
      return absl::FailedPreconditionError(absl::StrCat(
          "gate '", gate.text, "': the package paints no picture by itself; that takes ",
          "a text encoder, a UNet and a VAE decoder"));
    return valueOf(report.pipeline(), gate.field);
  }
  std::string present;
  for (const ModuleReport &module : report.modules()) {
    present += (present.empty() ? "" : " ") + module.name();
    if (module.name() != gate.owner)
      continue;
    if (absl::Status status = checkMeasured(module, gate); !status.ok())
      return status;
    return valueOf(module, gate.field);
  }
  return absl::NotFoundError(
      absl::StrCat("gate '", gate.text, "': no module '", gate.owner, "'; there are: ", present));
}

bool holds(double value, Comparison comparison, double limit) {
  switch (comparison) {
  case Comparison::GreaterEqual:
    return value >= limit;
  case Comparison::LessEqual:
    return value <= limit;
  case Comparison::Greater:
    return value > limit;
  case Comparison::Less:
    return value < limit;
  }
  return false;
}

} // namespace

absl::StatusOr<std::vector<Gate>> parseGates(const std::string &text) {
  std::vector<Gate> gates;
  for (size_t begin = 0; begin <= text.size();) {
    size_t end = std::min(text.find(',', begin), text.size());
    absl::StatusOr<Gate> gate = GateParser(text, begin, end).parse();
    if (!gate.ok())
      return gate.status();
    gates.push_back(*std::move(gate));
    begin = end + 1;
  }
  return gates;
}

absl::StatusOr<std::vector<GateResult>> evaluateGates(const Report &report,
                                                      const std::vector<Gate> &gates) {
  std::vector<GateResult> results;
  for (const Gate &gate : gates) {
    absl::StatusOr<double> value = lookUp(report, gate);
    if (!value.ok())
      return value.status();
    results.push_back({gate.text, *value, gate.limit, holds(*value, gate.comparison, gate.limit)});
  }
  return results;
}

std::string describe(const GateResult &result) {
  return result.text + ": " + significant(result.value) + ", " +
         (result.passed ? "passed" : "failed");
}

} // namespace sdopt
