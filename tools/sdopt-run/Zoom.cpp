//===- Zoom.cpp - the infinite zoom -----------------------------------------===//

#include "tools/sdopt-run/Zoom.h"

#include "absl/strings/str_cat.h"
#include "compiler/files/PartialFiles.h"
#include "compiler/files/WholeFile.h"
#include "compiler/kernels/IntegerKernels.h"
#include "tools/sdopt-run/Animation.h"
#include "tools/sdopt-run/Noise.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <system_error>

namespace sdopt {

namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostPictures = 10000; ///< four digits in a name
constexpr double kLn2 = 0x1.62e42fefa39efp-1;

std::string frameName(int64_t index) {
  std::string digits = std::to_string(index);
  return absl::StrCat("frame_", std::string(4 - std::min<size_t>(4, digits.size()), '0'), digits,
                      ".png");
}

bool isFrameName(const std::string &name) {
  return name.size() == 14 && name.starts_with("frame_") && name.ends_with(".png") &&
         std::all_of(name.begin() + 6, name.begin() + 10,
                     [](char c) { return c >= '0' && c <= '9'; });
}

/// part^exponent with our own functions.
double power(double part, double exponent) {
  return deterministicExp(kLn2 * deterministicLog2(part) * exponent);
}

uint8_t mixed(uint8_t below, uint8_t above, int64_t weight256) {
  return static_cast<uint8_t>((below * (256 - weight256) + above * weight256 + 128) >> 8);
}

/// Weight (of 256) of the layer above at pixel i of n, when it covers the middle `covered` pixels
/// and fades over the outermost `feather` of them.
int64_t coverage(int64_t i, int64_t n, double covered, double feather) {
  double depth = covered * 0.5 - std::fabs(i + 0.5 - n * 0.5) + 0.5;
  return std::llround(std::clamp(depth / (feather + 1), 0.0, 1.0) * 256.0);
}

/// Weight (of 256) of the known centre at pixel i of n.
int64_t knownWeight(int64_t i, int64_t n, int64_t border, int64_t feather) {
  int64_t depth = std::min(i, n - 1 - i) - border; // 0 on the outermost known pixel
  if (depth < 0)
    return 0;
  return depth >= feather ? 256 : 256 * (depth + 1) / (feather + 1);
}

/// One run: paints key frames outwards and writes every picture at its place in playing order.
class ZoomRun {
public:
  ZoomRun(Models &models, const Tokenizer &tokenizer, const Ddim &ddim, const ZoomOptions &options,
          const std::function<void(const ZoomProgress &)> &progress)
      : models_(models), tokenizer_(tokenizer), ddim_(ddim), options_(options), progress_(progress),
        shapes_(models.shapes()),
        borderX_(borderPixels(options.border, shapes_.width, shapes_.latentWidth)),
        borderY_(borderPixels(options.border, shapes_.height, shapes_.latentHeight)),
        keyFrames_(options.frames + (options.start ? 1 : 0)),
        pictures_((keyFrames_ - 1) * options.interpolation + 1) {}

  absl::StatusOr<ZoomResult> run() {
    absl::Status status = makeFolder(options_.folder);
    if (status.ok())
      status = paintAll();
    if (status.ok())
      status = removeLongerRun();
    if (status.ok())
      status = writeAnimation();
    if (!status.ok())
      return status;
    return ZoomResult{.painted = options_.frames, .pictures = pictures_};
  }

private:
  absl::Status paintAll() {
    absl::StatusOr<Tensor> hidden =
        encodePrompts(models_, tokenizer_, options_.negativePrompt, options_.prompt);
    if (!hidden.ok())
      return hidden.status();
    hidden_ = *hidden;
    Picture previous;
    for (int64_t key = 0; key < keyFrames_; ++key) {
      absl::StatusOr<Picture> picture = keyFrame(key, previous);
      if (!picture.ok())
        return picture.status();
      if (absl::Status status = writeUpTo(key, previous, *picture); !status.ok())
        return status;
      previous = *std::move(picture);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Picture> keyFrame(int64_t key, const Picture &previous) {
    if (key == 0 && options_.start)
      return fitted(*options_.start, shapes_.width, shapes_.height);
    if (key == 0) {
      // Nothing is known: the border is everything.
      Tensor mask(ElementType::F32, {1, 1, shapes_.height, shapes_.width});
      std::fill(mask.mutableValues<float>().begin(), mask.mutableValues<float>().end(), 1.0f);
      return paint(key, Picture(shapes_.width, shapes_.height), mask);
    }
    Picture canvas = shrunkIntoCentre(previous, borderX_, borderY_);
    absl::StatusOr<Picture> painted =
        paint(key, canvas, borderMask(shapes_.width, shapes_.height, borderX_, borderY_));
    if (!painted.ok())
      return painted;
    return withKnownCentre(*painted, canvas, borderX_, borderY_, options_.feather);
  }

  absl::StatusOr<Picture> paint(int64_t key, const Picture &canvas, const Tensor &mask) {
    Tensor noise =
        gaussianNoise({1, shapes_.latentChannels, shapes_.latentHeight, shapes_.latentWidth},
                      options_.seed, static_cast<uint64_t>(key));
    int64_t frame = key - (options_.start ? 1 : 0);
    auto observer = [&](int64_t step) {
      if (progress_)
        progress_({frame, options_.frames, step, options_.inpainting.steps});
    };
    absl::StatusOr<Painted> painted = inpaint(models_, ddim_, options_.inpainting, toTensor(canvas),
                                              mask, hidden_, noise, observer);
    if (!painted.ok())
      return painted.status();
    return toPicture(painted->picture);
  }

  std::string path(int64_t outward) const {
    int64_t index = options_.direction == ZoomDirection::In ? pictures_ - 1 - outward : outward;
    return options_.folder + "/" + frameName(index);
  }

  absl::Status writeUpTo(int64_t key, const Picture &previous, const Picture &picture) {
    int64_t last = key * options_.interpolation;
    for (int64_t step = 1; key > 0 && step < options_.interpolation; ++step) {
      Picture between = betweenFrames(previous, picture, borderX_, borderY_, step,
                                      options_.interpolation, options_.feather);
      if (absl::Status status = writePng(path(last - options_.interpolation + step), between);
          !status.ok())
        return status;
    }
    return writePng(path(last), picture);
  }

  absl::Status removeLongerRun() {
    std::error_code error;
    std::vector<fs::path> stale;
    for (fs::directory_iterator entry(options_.folder, error), end; !error && entry != end;
         entry.increment(error)) {
      std::string name = entry->path().filename().string();
      if (isFrameName(name) && name >= frameName(pictures_))
        stale.push_back(entry->path());
    }
    for (const fs::path &file : stale)
      if (!error)
        fs::remove(file, error);
    if (error)
      return absl::UnavailableError(absl::StrCat(
          options_.folder, ": cannot remove frames of an earlier run: ", error.message()));
    return absl::OkStatus();
  }

  /// Reads the frames back, so that a long run does not hold all of them.
  absl::Status writeAnimation() {
    auto animation = Animation::create(shapes_.width, shapes_.height, options_.frameMilliseconds);
    if (!animation.ok())
      return animation.status();
    for (int64_t i = 0; i < pictures_; ++i) {
      absl::StatusOr<Picture> picture = readPng(options_.folder + "/" + frameName(i));
      if (!picture.ok())
        return picture.status();
      if (absl::Status status = (*animation)->add(*picture); !status.ok())
        return status;
    }
    absl::StatusOr<std::string> bytes = (*animation)->finish();
    if (!bytes.ok())
      return bytes.status();
    return writeFileAtomically(options_.folder + "/zoom.webp", *bytes);
  }

  Models &models_;
  const Tokenizer &tokenizer_;
  const Ddim &ddim_;
  const ZoomOptions &options_;
  const std::function<void(const ZoomProgress &)> &progress_;
  ModelShapes shapes_;
  int64_t borderX_, borderY_;
  int64_t keyFrames_, pictures_;
  Tensor hidden_;
};

absl::Status outOfRange(const char *option, const std::string &found, const std::string &needed) {
  return absl::InvalidArgumentError(absl::StrCat(option, " is ", found, "; needed: ", needed));
}

} // namespace

absl::Status validate(const ZoomOptions &options, const ModelShapes &shapes) {
  if (options.frames < 1)
    return outOfRange("--frames", absl::StrCat(options.frames), "1 or more");
  if (options.interpolation < 1)
    return outOfRange("--interpolate", absl::StrCat(options.interpolation), "1 or more");
  if (options.frames >= kMostPictures || options.interpolation >= kMostPictures ||
      options.frames * options.interpolation >= kMostPictures)
    return outOfRange("--frames times --interpolate",
                      absl::StrCat(options.frames, " times ", options.interpolation),
                      absl::StrCat("less than ", kMostPictures));
  if (!(options.border > 0 && options.border < 0.5) ||
      2 * borderPixels(options.border, shapes.width, shapes.latentWidth) >= shapes.width ||
      2 * borderPixels(options.border, shapes.height, shapes.latentHeight) >= shapes.height)
    return outOfRange("--border", absl::StrCat(options.border),
                      absl::StrCat("a part between 0 and 0.5 that leaves a centre of the ",
                                   shapes.width, "x", shapes.height, " picture"));
  if (options.feather < 0 || options.feather > std::min(shapes.width, shapes.height) / 4)
    return outOfRange("--feather", absl::StrCat(options.feather),
                      absl::StrCat("0 to ", std::min(shapes.width, shapes.height) / 4, " pixels"));
  if (!std::isfinite(options.inpainting.guidance))
    return outOfRange("--guidance", "not finite", "a number");
  if (options.folder.empty())
    return outOfRange("-o", "empty", "a folder");
  return absl::OkStatus();
}

int64_t borderPixels(double fraction, int64_t side, int64_t cells) {
  int64_t cell = std::max<int64_t>(1, side / std::max<int64_t>(1, cells));
  auto whole = std::llround(fraction * static_cast<double>(side) / static_cast<double>(cell));
  return std::max<int64_t>(1, whole) * cell;
}

Picture shrunkIntoCentre(const Picture &previous, int64_t borderX, int64_t borderY) {
  Picture small = resized(previous, previous.width - 2 * borderX, previous.height - 2 * borderY);
  Picture canvas(previous.width, previous.height);
  for (int64_t y = 0; y < small.height; ++y)
    std::copy_n(small.at(0, y), small.width * 3, canvas.at(borderX, borderY + y));
  return canvas;
}

Tensor borderMask(int64_t width, int64_t height, int64_t borderX, int64_t borderY) {
  Tensor mask(ElementType::F32, {1, 1, height, width});
  auto values = mask.mutableValues<float>();
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      bool known = x >= borderX && x < width - borderX && y >= borderY && y < height - borderY;
      values[y * width + x] = known ? 0.0f : 1.0f;
    }
  return mask;
}

Picture withKnownCentre(const Picture &painted, const Picture &canvas, int64_t borderX,
                        int64_t borderY, int64_t feather) {
  Picture result = painted;
  for (int64_t y = 0; y < result.height; ++y)
    for (int64_t x = 0; x < result.width; ++x) {
      int64_t weight = std::min(knownWeight(x, result.width, borderX, feather),
                                knownWeight(y, result.height, borderY, feather));
      for (int c = 0; c < 3; ++c)
        result.at(x, y)[c] = mixed(painted.at(x, y)[c], canvas.at(x, y)[c], weight);
    }
  return result;
}

Picture betweenFrames(const Picture &narrow, const Picture &wide, int64_t borderX, int64_t borderY,
                      int64_t step, int64_t steps, int64_t feather) {
  double innerX = static_cast<double>(wide.width - 2 * borderX) / static_cast<double>(wide.width);
  double innerY = static_cast<double>(wide.height - 2 * borderY) / static_cast<double>(wide.height);
  double remaining = static_cast<double>(steps - step) / static_cast<double>(steps);
  // The part of the wide frame that is in view: its inner part at step 0, all of it at the last.
  double viewX = power(innerX, remaining), viewY = power(innerY, remaining);
  // The narrow frame ends hard, outside of the view, at step 0, and as in the wide one at the last.
  double fade = static_cast<double>(feather) * (1 - remaining);
  Picture frame = viewed(wide, viewX, viewY);
  Picture detail = viewed(narrow, viewX / innerX, viewY / innerY);
  for (int64_t y = 0; y < frame.height; ++y)
    for (int64_t x = 0; x < frame.width; ++x) {
      int64_t weight = coverage(x, frame.width, frame.width * innerX / viewX, fade / viewX) *
                       coverage(y, frame.height, frame.height * innerY / viewY, fade / viewY) / 256;
      for (int c = 0; c < 3; ++c)
        frame.at(x, y)[c] = mixed(frame.at(x, y)[c], detail.at(x, y)[c], weight);
    }
  return frame;
}

absl::StatusOr<ZoomResult> zoom(Models &models, const Tokenizer &tokenizer, const Ddim &ddim,
                                const ZoomOptions &options,
                                const std::function<void(const ZoomProgress &)> &progress) {
  // Before anything is written.
  auto of = [](const char *option, const absl::Status &status) {
    return status.ok() ? status
                       : absl::Status(status.code(), absl::StrCat(option, ": ", status.message()));
  };
  for (const absl::Status &status :
       {validate(options, models.shapes()),
        of("--steps", ddim.timesteps(options.inpainting.steps).status()),
        of("--prompt", tokenizer.encode(options.prompt).status()),
        of("--negative", tokenizer.encode(options.negativePrompt).status())})
    if (!status.ok())
      return status;
  return ZoomRun(models, tokenizer, ddim, options, progress).run();
}

} // namespace sdopt
