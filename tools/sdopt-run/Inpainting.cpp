//===- Inpainting.cpp - paint a masked part of a picture ------------------===//

#include "tools/sdopt-run/Inpainting.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

absl::StatusOr<Tensor> checked(absl::StatusOr<Tensor> value, const char *module,
                               const Shape &shape) {
  if (!value.ok())
    return value;
  if (value->type() != ElementType::F32 || value->shape() != shape)
    return absl::InternalError(absl::StrCat(module, " gave ", name(value->type()), " ",
                                            toString(value->shape()), "; needed: f32 ",
                                            toString(shape)));
  for (float number : value->values<float>())
    if (!std::isfinite(number))
      return absl::InternalError(absl::StrCat(module, " gave a value that is not finite"));
  return value;
}

/// Picture with zeros where it is to be painted.
Tensor hideMasked(const Tensor &picture, const Tensor &mask) {
  Tensor hidden(ElementType::F32, picture.shape());
  auto from = picture.values<float>(), where = mask.values<float>();
  auto to = hidden.mutableValues<float>();
  for (size_t i = 0; i < to.size(); ++i)
    to[i] = where[i % where.size()] < 0.5f ? from[i] : 0.0f;
  return hidden;
}

/// The first `count` floats, times a factor.
void appendScaled(std::vector<float> &values, const Tensor &tensor, size_t count, float factor) {
  for (float value : tensor.values<float>().first(count))
    values.push_back(value * factor);
}

/// Nearest neighbour: sample (y, x) of the small mask is (y * H / h, x * W / w) of the large one.
void appendSmallMask(std::vector<float> &values, const Tensor &mask, int64_t height,
                     int64_t width) {
  auto large = mask.values<float>();
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      values.push_back(large[y * mask.dim(2) / height * mask.dim(3) + x * mask.dim(3) / width]);
}

Tensor guided(const Tensor &both, const Shape &shape, float guidance) {
  Tensor result(ElementType::F32, shape);
  auto to = result.mutableValues<float>();
  auto unconditional = both.values<float>().first(to.size()),
       conditional = both.values<float>().last(to.size());
  for (size_t i = 0; i < to.size(); ++i)
    to[i] = unconditional[i] + guidance * (conditional[i] - unconditional[i]);
  return result;
}

/// [latents | constant channels] for both rows of the batch.
Tensor unetSample(const Tensor &latents, const std::vector<float> &constant,
                  const ModelShapes &shapes) {
  Tensor sample(ElementType::F32,
                {2, 2 * shapes.latentChannels + 1, shapes.latentHeight, shapes.latentWidth});
  auto at = sample.mutableValues<float>().begin();
  for (int row = 0; row < 2; ++row) {
    at = std::copy(latents.values<float>().begin(), latents.values<float>().end(), at);
    at = std::copy(constant.begin(), constant.end(), at);
  }
  return sample;
}

} // namespace

absl::StatusOr<Tensor> encodePrompts(Models &models, const Tokenizer &tokenizer,
                                     const std::string &negative, const std::string &prompt) {
  int64_t tokens = models.shapes().tokens;
  if (tokenizer.maxLength() != tokens)
    return absl::InvalidArgumentError(absl::StrCat("the tokenizer makes ", tokenizer.maxLength(),
                                                   " tokens, the text encoder takes ", tokens));
  std::vector<int64_t> ids;
  for (const std::string *text : {&negative, &prompt}) {
    absl::StatusOr<Tokens> encoded = tokenizer.encode(*text);
    if (!encoded.ok())
      return encoded.status();
    ids.insert(ids.end(), encoded->ids.begin(), encoded->ids.end());
  }
  return models.encodeText(Tensor::of<int64_t>({2, tokens}, ids));
}

absl::StatusOr<Painted> inpaint(Models &models, const Ddim &ddim, const InpaintingOptions &options,
                                const Tensor &picture, const Tensor &mask, const Tensor &hidden,
                                Tensor noise, const StepObserver &observer) {
  ModelShapes shapes = models.shapes();
  Shape latentShape = {1, shapes.latentChannels, shapes.latentHeight, shapes.latentWidth};
  absl::StatusOr<std::vector<int64_t>> timesteps = ddim.timesteps(options.steps);
  if (!timesteps.ok())
    return timesteps.status();
  Shape momentsShape = latentShape, batchShape = latentShape;
  momentsShape[1] *= 2;
  batchShape[0] = 2;
  absl::StatusOr<Tensor> moments =
      checked(models.encodePicture(hideMasked(picture, mask)), "vae_encoder", momentsShape);
  if (!moments.ok())
    return moments.status();
  std::vector<float> constant;
  appendSmallMask(constant, mask, shapes.latentHeight, shapes.latentWidth);
  appendScaled(constant, *moments, static_cast<size_t>(elementCount(latentShape)),
               options.scalingFactor);

  Tensor latents = std::move(noise);
  int64_t done = 0;
  for (int64_t timestep : *timesteps) {
    absl::StatusOr<Tensor> both = checked(
        models.unet(unetSample(latents, constant, shapes), timestep, hidden), "unet", batchShape);
    if (!both.ok())
      return both.status();
    latents =
        ddim.step(guided(*both, latentShape, options.guidance), timestep, options.steps, latents);
    if (observer)
      observer(++done);
  }
  Tensor unscaled(ElementType::F32, latentShape);
  std::transform(latents.values<float>().begin(), latents.values<float>().end(),
                 unscaled.mutableValues<float>().begin(),
                 [&](float v) { return v / options.scalingFactor; });
  absl::StatusOr<Tensor> painted =
      checked(models.decodeLatent(unscaled), "vae_decoder", {1, 3, shapes.height, shapes.width});
  if (!painted.ok())
    return painted.status();
  return Painted{latents, *std::move(painted)};
}

} // namespace sdopt
