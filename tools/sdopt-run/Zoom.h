//===- Zoom.h - the infinite zoom -------------------------------*- C++ -*-===//
//
// Key frame k + 1 shows more than key frame k: that one is shrunk into the centre and the border
// around it is painted.
//
//     +--------------+    known centre: (width - 2 * border) x (height - 2 * border)
//     |    border    |    border: the given part of each side, in whole latent cells
//     |  +--------+  |
//     |  | key k  |  |    Between key frames k and k + 1 lie interpolation - 1 frames: the view
//     |  +--------+  |    widens by an equal factor each time; key k is laid over the centre at its
//     |              |    own, finer resolution.
//     +--------------+
//
// Played from the last key frame to the first it is a zoom in, the other way round a zoom out.
// The same inputs give the same bytes.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_ZOOM_H
#define SDOPT_TOOLS_SDOPT_RUN_ZOOM_H

#include "tools/sdopt-run/Inpainting.h"
#include "tools/sdopt-run/Picture.h"

#include <optional>

namespace sdopt {

enum class ZoomDirection : uint8_t { In, Out };

struct ZoomOptions {
  std::string prompt, negativePrompt;
  /// Key frame 0; without it key frame 0 is painted from nothing.
  std::optional<Picture> start;
  int64_t frames = 4;        ///< key frames to paint
  int64_t interpolation = 5; ///< one painted frame in this many
  InpaintingOptions inpainting;
  uint64_t seed = 0;
  double border = 0.125; ///< of each side, part of the picture's side
  int64_t feather = 0;   ///< pixels over which the known centre fades into the painted border
  ZoomDirection direction = ZoomDirection::In;
  int frameMilliseconds = 80;
  std::string folder; ///< frame_0000.png, ... and zoom.webp, in playing order
};

/// INVALID_ARGUMENT names the option and what it may be.
absl::Status validate(const ZoomOptions &options, const ModelShapes &shapes);

/// Where a run is: before key frame `frame` (from 0) of `frames` has done `step` (from 1) of
/// `steps`.
struct ZoomProgress {
  int64_t frame = 0, frames = 0, step = 0, steps = 0;
};

struct ZoomResult {
  int64_t painted = 0;  ///< key frames that the models made
  int64_t pictures = 0; ///< files written, interpolated ones counted
};

/// Pixels of the border on one side of length `side` made of `cells` latent cells.
int64_t borderPixels(double fraction, int64_t side, int64_t cells);

/// `previous` shrunk, in the centre of a black picture of its own size.
Picture shrunkIntoCentre(const Picture &previous, int64_t borderX, int64_t borderY);

/// F32 [1][1][height][width]: 1 on the border, 0 in the centre.
Tensor borderMask(int64_t width, int64_t height, int64_t borderX, int64_t borderY);

/// `canvas` in the centre, `painted` on the border; over the outermost `feather` pixels of the
/// centre the one fades into the other.
Picture withKnownCentre(const Picture &painted, const Picture &canvas, int64_t borderX,
                        int64_t borderY, int64_t feather);

/// The frame at `step` of `steps` (0 < step < steps) on the way from key frame `narrow` to `wide`,
/// which shows `narrow` inside its border with an edge that fades over `feather` pixels.
Picture betweenFrames(const Picture &narrow, const Picture &wide, int64_t borderX, int64_t borderY,
                      int64_t step, int64_t steps, int64_t feather = 0);

/// Makes the pictures, then the animation from them. Frames of an earlier, longer run that would
/// remain in the folder are removed.
absl::StatusOr<ZoomResult> zoom(Models &models, const Tokenizer &tokenizer, const Ddim &ddim,
                                const ZoomOptions &options,
                                const std::function<void(const ZoomProgress &)> &progress = {});

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_ZOOM_H
