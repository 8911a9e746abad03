//===- PartialStatistics.cpp - a calibration that was interrupted ------------===//

#include "compiler/calibration/PartialStatistics.h"

#include "compiler/calibration/statistics.pb.h"
#include "compiler/files/PartialFiles.h"
#include "compiler/files/WholeFile.h"

#include <filesystem>

namespace sdopt {

namespace {

constexpr uint32_t kVersion = 1;

bool isOfSame(const Statistics &known, const Statistics &empty) {
  return known.functionDigest() == empty.functionDigest() &&
         known.samplesDigest() == empty.samplesDigest() && known.timesteps() == empty.timesteps() &&
         std::ranges::equal(known.values(), empty.values(), {}, &ValueStatistics::name,
                            &ValueStatistics::name);
}

} // namespace

std::optional<Statistics> PartialStatistics::load(const Statistics &empty) const {
  if (path_.empty() || !std::filesystem::exists(path_))
    return std::nullopt;
  absl::StatusOr<std::string> bytes = readFile(path_);
  calibration::PartialStatisticsFile file;
  if (!bytes.ok() || !file.ParseFromString(*bytes) || file.partial_version() != kVersion ||
      file.all_calls() != static_cast<uint64_t>(calls_))
    return std::nullopt;
  absl::StatusOr<Statistics> known = Statistics::parse(file.statistics(), path_);
  if (!known.ok() || !isOfSame(*known, empty) || known->calls() == 0 ||
      known->calls() >= file.all_calls())
    return std::nullopt;
  return *std::move(known);
}

absl::Status PartialStatistics::save(const Statistics &known) const {
  calibration::PartialStatisticsFile file;
  file.set_partial_version(kVersion);
  file.set_all_calls(static_cast<uint64_t>(calls_));
  file.set_statistics(known.serialize());
  absl::Status folder = makeFolder(std::filesystem::path(path_).parent_path());
  return !folder.ok() ? folder : writeFileAtomically(path_, file.SerializeAsString());
}

} // namespace sdopt
