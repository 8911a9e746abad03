//===- Sweep.cpp - one number of the target, several values --------------------===//

#include "compiler/pipeline/Sweep.h"

#include "compiler/report/Numbers.h"

#include <array>
#include <charconv>
#include <cmath>

namespace sdopt {

namespace {

constexpr std::array<const char *, 5> kFields = {"sram", "dram", "dram_bandwidth", "arrays",
                                                 "lanes"};
constexpr size_t kMostValues = 16;

enum class Unit : uint8_t { Bytes, BytesPerSecond, Count };

Unit unitOf(SweepField field) {
  if (field == SweepField::Sram || field == SweepField::Dram)
    return Unit::Bytes;
  return field == SweepField::DramBandwidth ? Unit::BytesPerSecond : Unit::Count;
}

absl::Status problem(const std::string &text, const std::string &what) {
  return absl::InvalidArgumentError("--sweep " + text + ": " + what);
}

absl::StatusOr<double> parseValue(SweepField field, const std::string &text) {
  if (unitOf(field) == Unit::Count) {
    int64_t count = 0;
    const char *end = text.data() + text.size();
    auto [rest, error] = std::from_chars(text.data(), end, count);
    if (error != std::errc() || rest != end || count < 1 || count > 1'000'000)
      return absl::InvalidArgumentError("'" + text + "' is no whole number from 1 to 1000000");
    return static_cast<double>(count);
  }
  const bool isRate = unitOf(field) == Unit::BytesPerSecond;
  if (isRate && !text.ends_with("/s"))
    return absl::InvalidArgumentError("'" + text + "' is no bandwidth; needed: as in 51.2GB/s");
  const absl::StatusOr<int64_t> bytes = parseBytes(isRate ? text.substr(0, text.size() - 2) : text);
  if (!bytes.ok())
    return bytes.status();
  return static_cast<double>(*bytes);
}

/// From the first to the last, each twice the one before.
absl::Status parseRange(const std::string &whole, const std::string &range, Sweep &sweep) {
  const size_t dots = range.find("..");
  const absl::StatusOr<double> first = parseValue(sweep.field, range.substr(0, dots));
  const absl::StatusOr<double> last = parseValue(sweep.field, range.substr(dots + 2));
  for (const auto &value : {first, last})
    if (!value.ok())
      return problem(whole, std::string(value.status().message()));
  double value = *first;
  while (value <= *last && sweep.values.size() <= kMostValues) {
    sweep.values.push_back(value);
    value *= 2;
  }
  if (sweep.values.empty())
    return problem(whole, "the range ends before it begins");
  if (sweep.values.back() != *last && sweep.values.size() <= kMostValues)
    return problem(whole, "doubling " + valueText(sweep.field, *first) + " does not lead to " +
                              valueText(sweep.field, *last) +
                              "; give the values one by one, separated by commas");
  return absl::OkStatus();
}

absl::Status parseList(const std::string &whole, const std::string &list, Sweep &sweep) {
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    const absl::StatusOr<double> value = parseValue(sweep.field, list.substr(begin, end - begin));
    if (!value.ok())
      return problem(whole, std::string(value.status().message()));
    if (!sweep.values.empty() && *value <= sweep.values.back())
      return problem(whole, "values must ascend; " + valueText(sweep.field, *value) +
                                " comes after " + valueText(sweep.field, sweep.values.back()));
    sweep.values.push_back(*value);
    begin = end + 1;
  }
  return absl::OkStatus();
}

} // namespace

const char *name(SweepField field) { return kFields[static_cast<size_t>(field)]; }

absl::StatusOr<Sweep> parseSweep(const std::string &text) {
  const size_t equals = text.find('=');
  std::string known;
  Sweep sweep;
  bool found = false;
  for (size_t i = 0; i < kFields.size(); ++i) {
    known += (i ? ", " : "") + std::string(kFields[i]);
    if (equals != std::string::npos && text.substr(0, equals) == kFields[i]) {
      sweep.field = static_cast<SweepField>(i);
      found = true;
    }
  }
  if (!found)
    return problem(text, "needed: NAME=FROM..TO or NAME=VALUE,VALUE,... with NAME one of " + known);
  const std::string values = text.substr(equals + 1);
  const absl::Status status = values.find("..") != std::string::npos
                                  ? parseRange(text, values, sweep)
                                  : parseList(text, values, sweep);
  if (!status.ok())
    return status;
  if (sweep.values.size() > kMostValues)
    return problem(text, "has more than " + std::to_string(kMostValues) + " values");
  return sweep;
}

std::string valueText(SweepField field, double value) {
  if (unitOf(field) == Unit::Count)
    return fixed(value, 0);
  if (unitOf(field) == Unit::BytesPerSecond)
    return withPrefix(value, "B/s");
  for (const auto &[unit, factor] :
       {std::pair("GiB", 1073741824.0), std::pair("MiB", 1048576.0), std::pair("KiB", 1024.0)})
    if (value >= factor && std::fmod(value, factor) == 0)
      return fixed(value / factor, 0) + " " + unit;
  return fixed(value, 0) + " B";
}

absl::StatusOr<Target> targetWith(const Target &target, SweepField field, double value) {
  Target changed = target;
  switch (field) {
  case SweepField::Sram:
    changed.sram.bytes = static_cast<int64_t>(value);
    break;
  case SweepField::Dram:
    changed.dram.bytes = static_cast<int64_t>(value);
    break;
  case SweepField::DramBandwidth:
    changed.dram.bandwidth = value;
    break;
  case SweepField::Arrays:
    changed.array.count = static_cast<int64_t>(value);
    break;
  case SweepField::Lanes:
    changed.vector.lanes = static_cast<int64_t>(value);
    break;
  }
  // Read again, as from a file: whatever a file may not say is an error here too.
  return parseTarget(canonicalText(changed),
                     "--sweep " + std::string(name(field)) + "=" + valueText(field, value));
}

} // namespace sdopt
