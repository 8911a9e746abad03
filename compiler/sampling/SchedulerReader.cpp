//===- SchedulerReader.cpp - keys of scheduler_config.json ----------------===//

#include "compiler/sampling/SchedulerReader.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace sdopt {

namespace {

absl::Status bad(const std::string &what) {
  return absl::InvalidArgumentError("scheduler/scheduler_config.json: " + what);
}

} // namespace

SchedulerReader::SchedulerReader(const std::string &configuration)
    : json_(nlohmann::json::parse(absl::StrReplaceAll(configuration, {{": -Infinity", ": null"}}),
                                  nullptr, false)) {
  if (json_.is_object())
    return;
  status = bad("not a JSON object");
  json_ = nlohmann::json::object();
}

const nlohmann::json *SchedulerReader::find(const char *key) const {
  auto entry = json_.find(key);
  return entry == json_.end() || entry->is_null() ? nullptr : &*entry;
}

double SchedulerReader::number(const char *key, double byDefault) {
  const nlohmann::json *entry = find(key);
  if (!entry)
    return byDefault;
  if (!entry->is_number())
    fail(key, "a number");
  return entry->is_number() ? entry->get<double>() : byDefault;
}

int64_t SchedulerReader::integer(const char *key, int64_t byDefault, int64_t smallest,
                                 int64_t largest) {
  const nlohmann::json *entry = find(key);
  if (!entry)
    return byDefault;
  bool valid = entry->is_number_integer() &&
               entry->get<double>() >= static_cast<double>(smallest) &&
               entry->get<double>() <= static_cast<double>(largest);
  if (!valid)
    fail(key, absl::StrCat("an integer from ", smallest, " to ", largest));
  return valid ? entry->get<int64_t>() : byDefault;
}

bool SchedulerReader::flag(const char *key, bool byDefault) {
  const nlohmann::json *entry = find(key);
  if (entry && !entry->is_boolean())
    fail(key, "true or false");
  return entry && entry->is_boolean() ? entry->get<bool>() : byDefault;
}

std::string SchedulerReader::word(const char *key, const char *byDefault) {
  const nlohmann::json *entry = find(key);
  if (entry && !entry->is_string())
    fail(key, "a string");
  return entry && entry->is_string() ? entry->get<std::string>() : byDefault;
}

void SchedulerReader::requireWord(const char *key, const char *byDefault,
                                  std::initializer_list<const char *> supported) {
  std::string found = word(key, byDefault);
  std::string list;
  for (const char *candidate : supported) {
    if (found == candidate)
      return;
    list += (list.empty() ? "'" : ", '") + std::string(candidate) + "'";
  }
  fail(key, list, "'" + found + "'");
}

void SchedulerReader::requireOff(const char *key, bool byDefault) {
  if (flag(key, byDefault))
    fail(key, "false", "true");
}

void SchedulerReader::requireNull(const char *key) {
  if (find(key))
    fail(key, "null");
}

void SchedulerReader::fail(const char *key, const std::string &needed, const std::string &found) {
  if (status.ok())
    status = bad(absl::StrCat("'", key, "' is ", found.empty() ? find(key)->dump() : found,
                              "; needed: ", needed));
}

} // namespace sdopt
