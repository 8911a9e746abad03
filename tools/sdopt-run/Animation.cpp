//===- Animation.cpp - animated WebP files by libwebp ---------------------===//

#include "tools/sdopt-run/Animation.h"

#include "absl/strings/str_cat.h"

#include <webp/encode.h>
#include <webp/mux.h>

namespace sdopt {

struct Animation::State {
  WebPAnimEncoder *encoder = nullptr;
  WebPConfig config;
  int64_t width = 0, height = 0;
  int frameMilliseconds = 0, time = 0;
  ~State() { WebPAnimEncoderDelete(encoder); }
};

Animation::~Animation() = default;

absl::StatusOr<std::unique_ptr<Animation>> Animation::create(int64_t width, int64_t height,
                                                             int frameMilliseconds) {
  if (width < 1 || height < 1 || width > WEBP_MAX_DIMENSION || height > WEBP_MAX_DIMENSION)
    return absl::InvalidArgumentError(absl::StrCat("an animation of ", width, "x", height,
                                                   " pixels; needed: 1 to ", WEBP_MAX_DIMENSION));
  auto state = std::make_unique<State>();
  WebPAnimEncoderOptions options;
  if (!WebPAnimEncoderOptionsInit(&options) || !WebPConfigInit(&state->config))
    return absl::InternalError("libwebp is of another version than the one sdopt was built with");
  state->config.lossless = 1;
  state->config.quality = 50; // effort, not loss
  state->config.method = 4;
  state->config.thread_level = 0;
  state->encoder = WebPAnimEncoderNew(static_cast<int>(width), static_cast<int>(height), &options);
  if (!state->encoder)
    return absl::ResourceExhaustedError("no memory for a WebP encoder");
  state->width = width;
  state->height = height;
  state->frameMilliseconds = frameMilliseconds;
  std::unique_ptr<Animation> animation(new Animation());
  animation->state_ = std::move(state);
  return animation;
}

absl::Status Animation::add(const Picture &picture) {
  State &state = *state_;
  if (picture.width != state.width || picture.height != state.height)
    return absl::InvalidArgumentError(absl::StrCat("a frame of ", picture.width, "x",
                                                   picture.height, " in an animation of ",
                                                   state.width, "x", state.height));
  WebPPicture frame;
  if (!WebPPictureInit(&frame))
    return absl::InternalError("libwebp is of another version than the one sdopt was built with");
  frame.use_argb = 1;
  frame.width = static_cast<int>(picture.width);
  frame.height = static_cast<int>(picture.height);
  bool added =
      WebPPictureImportRGB(&frame, picture.rgb.data(), static_cast<int>(picture.width * 3)) &&
      WebPAnimEncoderAdd(state.encoder, &frame, state.time, &state.config);
  WebPPictureFree(&frame);
  if (!added)
    return absl::InternalError(absl::StrCat("libwebp: ", WebPAnimEncoderGetError(state.encoder)));
  state.time += state.frameMilliseconds;
  return absl::OkStatus();
}

absl::StatusOr<std::string> Animation::finish() {
  State &state = *state_;
  WebPData data;
  WebPDataInit(&data);
  bool assembled = WebPAnimEncoderAdd(state.encoder, nullptr, state.time, nullptr) &&
                   WebPAnimEncoderAssemble(state.encoder, &data);
  std::string bytes(reinterpret_cast<const char *>(data.bytes), assembled ? data.size : 0);
  WebPDataClear(&data);
  if (!assembled)
    return absl::InternalError(absl::StrCat("libwebp: ", WebPAnimEncoderGetError(state.encoder)));
  return bytes;
}

} // namespace sdopt
