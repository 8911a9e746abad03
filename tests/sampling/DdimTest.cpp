#include "compiler/sampling/Ddim.h"
#include "compiler/files/WholeFile.h"
#include "compiler/weights/TensorFile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

using namespace sdopt;
using ::testing::HasSubstr;

namespace {

std::string configuration(const std::string &more) {
  return R"({"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1,
             "set_alpha_to_one": false, "clip_sample": false)" +
         (more.empty() ? "" : ", " + more) + "}";
}

Ddim patternsDdim() {
  absl::StatusOr<std::string> text =
      readFile(SDOPT_TESTDATA "/patterns-sd2/opset17-fp32/scheduler/scheduler_config.json");
  EXPECT_TRUE(text.ok()) << text.status().message();
  absl::StatusOr<Ddim> ddim = Ddim::create(*text);
  EXPECT_TRUE(ddim.ok()) << ddim.status().message();
  return *ddim;
}

std::string createError(const std::string &more) {
  absl::StatusOr<Ddim> ddim = Ddim::create(configuration(more));
  EXPECT_FALSE(ddim.ok()) << more;
  return std::string(ddim.status().message());
}

Tensor constant(float value) { return Tensor::of<float>({1}, std::span<const float>(&value, 1)); }

} // namespace

TEST(Ddim, FollowsTheRecordedTrajectories) {
  auto file = TensorFile::open(SDOPT_TESTDATA "/patterns-sd2/samples/unet_test.safetensors");
  ASSERT_TRUE(file.ok()) << file.status().message();
  auto pipeline =
      TensorFile::open(SDOPT_TESTDATA "/patterns-sd2/samples/pipeline_test.safetensors");
  ASSERT_TRUE(pipeline.ok()) << pipeline.status().message();
  Tensor samples = *(*file)->get("sample"), noises = *(*file)->get("out_sample"),
         times = *(*file)->get("timestep");
  Tensor latents = *(*pipeline)->get("latent");
  const int64_t steps = std::stoll((*file)->metadata().at("steps"));
  const float guidance = std::stof((*file)->metadata().at("guidance"));
  const Ddim ddim = patternsDdim();
  const std::vector<int64_t> timesteps = *ddim.timesteps(steps);
  const Shape shape = {1, 4, 16, 16};
  const int64_t rowIn = 9 * 256, rowOut = 4 * 256;
  ASSERT_EQ(samples.dim(0) % steps, 0);
  double worst = 0;
  for (int64_t call = 0; call < samples.dim(0); ++call) {
    ASSERT_EQ(times.values<int64_t>()[call], timesteps[call % steps]);
    Tensor sample =
        Tensor::of<float>(shape, samples.values<float>().subspan(call * 2 * rowIn, rowOut));
    Tensor guided(ElementType::F32, shape);
    for (int64_t i = 0; i < rowOut; ++i) {
      float u = noises.values<float>()[call * 2 * rowOut + i],
            c = noises.values<float>()[(call * 2 + 1) * rowOut + i];
      guided.mutableValues<float>()[i] = u + guidance * (c - u);
    }
    Tensor next = ddim.step(guided, timesteps[call % steps], steps, sample);
    bool last = call % steps == steps - 1;
    auto expected = last ? latents.values<float>().subspan(call / steps * rowOut, rowOut)
                         : samples.values<float>().subspan((call + 1) * 2 * rowIn, rowOut);
    for (int64_t i = 0; i < rowOut; ++i)
      worst =
          std::max(worst, std::fabs(static_cast<double>(next.values<float>()[i]) - expected[i]));
  }
  EXPECT_LT(worst, 2e-6);
}

TEST(Ddim, TimestepsOfTheLeadingSpacing) {
  Ddim ddim = patternsDdim();
  EXPECT_THAT(*ddim.timesteps(4), ::testing::ElementsAre(751, 501, 251, 1));
  EXPECT_EQ(ddim.timesteps(50)->front(), 981);
  EXPECT_THAT(std::string(ddim.timesteps(0).status().message()),
              HasSubstr("0 steps; needed: 1 to 1000"));
  EXPECT_THAT(std::string(ddim.timesteps(1001).status().message()), HasSubstr("1001 steps"));
  // Every timestep of training, shifted by one, would begin beyond the last.
  EXPECT_THAT(std::string(ddim.timesteps(1000).status().message()), HasSubstr("use fewer"));
}

TEST(Ddim, VelocityAndEpsilonAgreeOnOnePrediction) {
  Ddim epsilon = *Ddim::create(configuration("")),
       velocity = *Ddim::create(configuration("\"prediction_type\": \"v_prediction\""));
  // A_500 by the definition, in double.
  double alpha = 1;
  for (int i = 0; i <= 500; ++i) {
    double root = std::sqrt(0.00085) + (std::sqrt(0.012) - std::sqrt(0.00085)) * i / 999;
    alpha *= 1 - root * root;
  }
  const double picture = 0.4, noise = -1.3;
  const double x = std::sqrt(alpha) * picture + std::sqrt(1 - alpha) * noise;
  const double v = std::sqrt(alpha) * noise - std::sqrt(1 - alpha) * picture;
  float a =
      epsilon.step(constant(static_cast<float>(noise)), 500, 20, constant(static_cast<float>(x)))
          .values<float>()[0];
  float b = velocity.step(constant(static_cast<float>(v)), 500, 20, constant(static_cast<float>(x)))
                .values<float>()[0];
  EXPECT_NEAR(a, b, 2e-6);
}

TEST(Ddim, LastStepGoesToTheFinalAlpha) {
  Ddim one = *Ddim::create(configuration("\"set_alpha_to_one\": true"));
  // The configuration names the key twice; the later one counts: the last step gives the picture
  // itself.
  double alpha = (1 - 0.00085);
  double second = std::sqrt(0.00085) + (std::sqrt(0.012) - std::sqrt(0.00085)) / 999;
  alpha *= 1 - second * second;
  const double picture = 0.7, noise = 0.9;
  float x = static_cast<float>(std::sqrt(alpha) * picture + std::sqrt(1 - alpha) * noise);
  EXPECT_NEAR(one.step(constant(static_cast<float>(noise)), 1, 20, constant(x)).values<float>()[0],
              picture, 1e-5);
}

TEST(Ddim, RejectsWhatItDoesNotDo) {
  EXPECT_THAT(createError("\"_class_name\": \"PNDMScheduler\""),
              HasSubstr("'_class_name' is 'PNDMScheduler'; needed: 'DDIMScheduler'"));
  EXPECT_THAT(createError("\"timestep_spacing\": \"trailing\""),
              HasSubstr("'timestep_spacing' is 'trailing'; needed: 'leading'"));
  EXPECT_THAT(createError("\"prediction_type\": \"sample\""),
              HasSubstr("needed: 'epsilon', 'v_prediction'"));
  EXPECT_THAT(createError("\"beta_schedule\": \"squaredcos_cap_v2\""),
              HasSubstr("needed: 'linear', 'scaled_linear'"));
  EXPECT_THAT(createError("\"clip_sample\": true"),
              HasSubstr("'clip_sample' is true; needed: false"));
  EXPECT_THAT(createError("\"thresholding\": true"), HasSubstr("'thresholding'"));
  EXPECT_THAT(createError("\"rescale_betas_zero_snr\": true"),
              HasSubstr("'rescale_betas_zero_snr'"));
  EXPECT_THAT(createError("\"trained_betas\": [0.1]"),
              HasSubstr("'trained_betas' is [0.1]; needed: null"));
  EXPECT_THAT(createError("\"num_train_timesteps\": 0"),
              HasSubstr("'num_train_timesteps' is 0; needed: an integer from 1"));
  EXPECT_THAT(createError("\"num_train_timesteps\": 1e300"), HasSubstr("'num_train_timesteps'"));
  EXPECT_THAT(createError("\"steps_offset\": -1"), HasSubstr("'steps_offset'"));
  EXPECT_THAT(createError("\"beta_start\": \"small\""),
              HasSubstr("'beta_start' is \"small\"; needed: a number"));
  EXPECT_THAT(createError("\"beta_end\": 1.5"), HasSubstr("'beta_end' is 1.5"));
  EXPECT_THAT(createError("\"set_alpha_to_one\": 1"), HasSubstr("needed: true or false"));
  EXPECT_THAT(std::string(Ddim::create("[]").status().message()),
              HasSubstr("scheduler_config.json: not a JSON object"));
  // diffusers clips unless told otherwise.
  EXPECT_THAT(std::string(Ddim::create("{}").status().message()), HasSubstr("'clip_sample'"));
}
