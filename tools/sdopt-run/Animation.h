//===- Animation.h - animated WebP files ------------------------*- C++ -*-===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_ANIMATION_H
#define SDOPT_TOOLS_SDOPT_RUN_ANIMATION_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/sdopt-run/Picture.h"

#include <memory>
#include <string>

namespace sdopt {

/// Collects frames of one size into a lossless WebP that repeats for ever. One thread and fixed
/// settings: the same frames give the same bytes.
class Animation {
public:
  static absl::StatusOr<std::unique_ptr<Animation>> create(int64_t width, int64_t height,
                                                           int frameMilliseconds);
  ~Animation();
  absl::Status add(const Picture &picture);
  /// The file. At least one frame must have been added.
  absl::StatusOr<std::string> finish();

private:
  Animation() = default;
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_ANIMATION_H
