#include "tools/sdopt-run/Inpainting.h"
#include "compiler/files/WholeFile.h"
#include "compiler/weights/TensorFile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

using namespace sdopt;
using ::testing::HasSubstr;

namespace {

constexpr float kScalingFactor = 0.3386348783969879f;

std::unique_ptr<TensorFile> samples(const std::string &name) {
  auto file =
      TensorFile::open(SDOPT_TESTDATA "/patterns-sd2/samples/" + name + "_test.safetensors");
  EXPECT_TRUE(file.ok()) << file.status().message();
  return *std::move(file);
}

Ddim patternsDdim() {
  return *Ddim::create(
      *readFile(SDOPT_TESTDATA "/patterns-sd2/opset17-fp32/scheduler/scheduler_config.json"));
}

double distance(std::span<const float> a, std::span<const float> b) {
  double worst = a.size() == b.size() ? 0 : std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    worst = std::max(worst, std::fabs(static_cast<double>(a[i]) - b[i]));
  return worst;
}

/// Gives what was recorded, and checks that it is asked with what was recorded.
class RecordedModels : public Models {
public:
  explicit RecordedModels(int64_t trajectory) : trajectory_(trajectory) {
    steps = std::stoll(unet_->metadata().at("steps"));
    next_ = trajectory * steps;
  }

  ModelShapes shapes() const override {
    return {.height = 64,
            .width = 64,
            .latentChannels = 4,
            .latentHeight = 16,
            .latentWidth = 16,
            .tokens = 77};
  }
  absl::StatusOr<Tensor> encodeText(const Tensor &) override {
    return call("encoder_hidden_states");
  }
  absl::StatusOr<Tensor> unet(const Tensor &sample, int64_t timestep,
                              const Tensor &hidden) override {
    worst = std::max(worst, distance(sample.values<float>(), call("sample").values<float>()));
    EXPECT_EQ(timestep, unet_->get("timestep")->values<int64_t>()[next_]);
    EXPECT_TRUE(hidden.sameBits(call("encoder_hidden_states")));
    Tensor noise = call("out_sample");
    ++next_;
    return noise;
  }
  absl::StatusOr<Tensor> encodePicture(const Tensor &picture) override {
    hidden = picture;
    // Mean from the recorded UNet input; the log variance is not used.
    Tensor moments(ElementType::F32, {1, 8, 16, 16});
    auto recorded = call("sample").values<float>().subspan(5 * 256, 4 * 256);
    for (size_t i = 0; i < recorded.size(); ++i)
      moments.mutableValues<float>()[i] = recorded[i] / kScalingFactor;
    return moments;
  }
  absl::StatusOr<Tensor> decodeLatent(const Tensor &value) override {
    latent = value;
    return pipeline_->rows("picture", trajectory_, 1);
  }

  Tensor recorded(const char *name) { return *pipeline_->rows(name, trajectory_, 1); }
  Tensor call(const char *name) {
    Tensor rows = *unet_->rows(name, next_, 1);
    Shape shape = rows.shape();
    shape.erase(shape.begin());
    return rows.reshaped(shape);
  }

  int64_t steps = 0;
  double worst = 0; ///< distance of a UNet input from the recorded one
  Tensor hidden, latent;

private:
  std::unique_ptr<TensorFile> unet_ = samples("unet"), pipeline_ = samples("pipeline");
  int64_t trajectory_, next_ = 0;
};

} // namespace

TEST(Inpainting, RepeatsTheRecordedTrajectories) {
  for (int64_t trajectory = 0; trajectory < 4; ++trajectory) {
    RecordedModels models(trajectory);
    Tensor noise =
        Tensor::of<float>({1, 4, 16, 16}, models.call("sample").values<float>().first(4 * 256));
    Tensor hidden = models.call("encoder_hidden_states");
    Tensor picture = models.recorded("image"), mask = models.recorded("mask"),
           latent = models.recorded("latent");
    int64_t observed = 0;
    absl::StatusOr<Painted> painted =
        inpaint(models, patternsDdim(),
                {.steps = models.steps, .guidance = 5.0f, .scalingFactor = kScalingFactor}, picture,
                mask, hidden, noise, [&](int64_t step) { EXPECT_EQ(step, ++observed); });
    ASSERT_TRUE(painted.ok()) << painted.status().message();
    EXPECT_EQ(observed, models.steps);
    EXPECT_LT(models.worst, 1e-4) << trajectory;
    EXPECT_LT(distance(painted->latents.values<float>(), latent.values<float>()), 1e-4);
    EXPECT_TRUE(painted->picture.sameBits(models.recorded("picture")));
    for (int64_t i = 0; i < models.latent.size(); ++i)
      ASSERT_EQ(models.latent.values<float>()[i],
                painted->latents.values<float>()[i] / kScalingFactor);
    for (int64_t i = 0; i < picture.size(); ++i)
      ASSERT_EQ(models.hidden.values<float>()[i],
                mask.values<float>()[i % 4096] < 0.5f ? picture.values<float>()[i] : 0.0f);
  }
}

namespace {

/// Constant values; what is wrong with them is chosen by the test.
class ConstantModels : public Models {
public:
  ModelShapes shapes() const override {
    return {.height = 8,
            .width = 12,
            .latentChannels = 4,
            .latentHeight = 2,
            .latentWidth = 3,
            .tokens = 4};
  }
  absl::StatusOr<Tensor> encodeText(const Tensor &ids) override { return ids; }
  absl::StatusOr<Tensor> unet(const Tensor &, int64_t, const Tensor &) override {
    return filled(noiseShape, noise);
  }
  absl::StatusOr<Tensor> encodePicture(const Tensor &) override {
    return filled({1, 8, 2, 3}, moment);
  }
  absl::StatusOr<Tensor> decodeLatent(const Tensor &) override {
    if (fail)
      return absl::InternalError("planted");
    return filled({1, 3, 8, 12}, level);
  }
  static Tensor filled(const Shape &shape, float value) {
    Tensor tensor(ElementType::F32, shape);
    std::fill(tensor.mutableValues<float>().begin(), tensor.mutableValues<float>().end(), value);
    return tensor;
  }
  Shape noiseShape = {2, 4, 2, 3};
  float noise = 0, moment = 0, level = 0;
  bool fail = false;
};

std::string inpaintError(ConstantModels &models, int64_t steps = 2) {
  absl::StatusOr<Painted> painted = inpaint(
      models, patternsDdim(), {.steps = steps}, Tensor(ElementType::F32, {1, 3, 8, 12}),
      Tensor(ElementType::F32, {1, 1, 8, 12}), Tensor(), Tensor(ElementType::F32, {1, 4, 2, 3}));
  EXPECT_FALSE(painted.ok());
  return std::string(painted.status().message());
}

} // namespace

TEST(Inpainting, NamesTheModuleThatFails) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  ConstantModels models;
  models.noise = nan;
  EXPECT_THAT(inpaintError(models), HasSubstr("unet gave a value that is not finite"));
  models = {};
  models.moment = nan;
  EXPECT_THAT(inpaintError(models), HasSubstr("vae_encoder gave a value that is not finite"));
  models = {};
  models.level = nan;
  EXPECT_THAT(inpaintError(models), HasSubstr("vae_decoder gave a value that is not finite"));
  models = {};
  models.noiseShape = {2, 4, 3, 2};
  EXPECT_THAT(inpaintError(models), HasSubstr("unet gave f32 2x4x3x2; needed: f32 2x4x2x3"));
  models = {};
  models.fail = true;
  EXPECT_EQ(inpaintError(models), "planted");
  models = {};
  EXPECT_THAT(inpaintError(models, 0), HasSubstr("0 steps"));
}

TEST(Inpainting, PromptsBecomeTwoRows) {
  ConstantModels models;
  Tokenizer tokenizer =
      *Tokenizer::create(R"({"a</w>": 0, "<s>": 1, "<e>": 2})", "",
                         R"({"model_max_length": 4, "bos_token": "<s>", "eos_token": "<e>"})");
  absl::StatusOr<Tensor> ids = encodePrompts(models, tokenizer, "", "a");
  ASSERT_TRUE(ids.ok()) << ids.status().message();
  EXPECT_EQ(ids->shape(), (Shape{2, 4}));
  EXPECT_THAT(ids->values<int64_t>(), ::testing::ElementsAre(1, 2, 2, 2, 1, 0, 2, 2));
  Tokenizer longer =
      *Tokenizer::create(R"({"a</w>": 0, "<s>": 1, "<e>": 2})", "",
                         R"({"model_max_length": 5, "bos_token": "<s>", "eos_token": "<e>"})");
  EXPECT_THAT(std::string(encodePrompts(models, longer, "", "a").status().message()),
              HasSubstr("the tokenizer makes 5 tokens, the text encoder takes 4"));
  EXPECT_FALSE(encodePrompts(models, tokenizer, "\xff", "a").ok());
}
