//===- SchedulerReader.h - keys of scheduler_config.json --------*- C++ -*-===//

#ifndef SDOPT_COMPILER_SAMPLING_SCHEDULERREADER_H
#define SDOPT_COMPILER_SAMPLING_SCHEDULERREADER_H

#include "absl/status/status.h"

#include <nlohmann/json.hpp>

#include <initializer_list>
#include <string>

namespace sdopt {

/// Reads keys of scheduler_config.json and remembers the first error, which names the key, what was
/// found and what is needed. A key that is missing, null or -Infinity (which Python writes, but
/// JSON lacks) has its default.
class SchedulerReader {
public:
  explicit SchedulerReader(const std::string &configuration);

  double number(const char *key, double byDefault);
  int64_t integer(const char *key, int64_t byDefault, int64_t smallest, int64_t largest);
  bool flag(const char *key, bool byDefault);
  std::string word(const char *key, const char *byDefault);

  void requireWord(const char *key, const char *byDefault,
                   std::initializer_list<const char *> supported);
  void requireOff(const char *key, bool byDefault);
  void requireNull(const char *key);
  void fail(const char *key, const std::string &needed, const std::string &found = "");

  absl::Status status = absl::OkStatus();

private:
  const nlohmann::json *find(const char *key) const;
  nlohmann::json json_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SAMPLING_SCHEDULERREADER_H
