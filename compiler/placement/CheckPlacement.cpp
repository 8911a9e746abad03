// checkPlacement: every two buffers compared. Shares no code with the search.

#include "compiler/placement/Placement.h"

#include "absl/strings/str_cat.h"

#include <algorithm>

namespace sdopt {
namespace {

using Wide = __int128;

bool together(const LiveBuffer &a, const LiveBuffer &b) {
  const int64_t from = std::max(a.first, b.first), to = std::min(a.last, b.last);
  return from < to;
}

std::string describe(const LiveBuffer &buffer, size_t index, int64_t offset) {
  return absl::StrCat("buffer ", index, " '", buffer.name, "' of ", buffer.size, " bytes at ",
                      offset, ", alive [", buffer.first, ", ", buffer.last, ")");
}

} // namespace

absl::Status checkPlacement(const std::vector<LiveBuffer> &buffers, const Placement &placement,
                            int64_t capacity) {
  const std::vector<int64_t> &offsets = placement.offsets;
  if (offsets.size() != buffers.size())
    return absl::InternalError(
        absl::StrCat(offsets.size(), " offsets for ", buffers.size(), " buffers"));
  Wide peak = 0, mostLive = 0;
  for (size_t i = 0; i < buffers.size(); ++i) {
    const LiveBuffer &a = buffers[i];
    const auto problem = [&](const std::string &text) {
      return absl::InternalError(absl::StrCat(describe(a, i, offsets[i]), ": ", text));
    };
    const Wide end = Wide{offsets[i]} + a.size;
    if (offsets[i] < 0 || offsets[i] % a.alignment != 0)
      return problem(absl::StrCat("needs a multiple of ", a.alignment));
    if (a.first == a.last || a.size == 0)
      continue;
    if (end > capacity)
      return problem(absl::StrCat("does not end within ", capacity));
    peak = std::max(peak, end);
    Wide live = 0; // when a starts
    for (size_t j = 0; j < buffers.size(); ++j) {
      const LiveBuffer &b = buffers[j];
      if (b.first <= a.first && a.first < b.last)
        live += b.size;
      if (j < i && together(a, b) && offsets[i] < Wide{offsets[j]} + b.size && offsets[j] < end &&
          b.size > 0)
        return problem(absl::StrCat("overlaps ", describe(b, j, offsets[j])));
    }
    mostLive = std::max(mostLive, live);
  }
  if (peak != placement.peak)
    return absl::InternalError(absl::StrCat("states a peak of ", placement.peak, " bytes; it is ",
                                            static_cast<int64_t>(peak)));
  if (mostLive != placement.lowerBound)
    return absl::InternalError(absl::StrCat(
        "states ", placement.lowerBound, " live bytes; they are ", static_cast<int64_t>(mostLive)));
  return absl::OkStatus();
}

} // namespace sdopt
