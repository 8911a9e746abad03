#include "tools/sdopt-run/Zoom.h"
#include "compiler/files/WholeFile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <random>

using namespace sdopt;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

namespace {

constexpr ModelShapes kShapes = {.height = 32,
                                 .width = 48,
                                 .latentChannels = 4,
                                 .latentHeight = 8,
                                 .latentWidth = 12,
                                 .tokens = 6};

/// Cheap stand-ins: the noise depends on the sample, the picture on the latents.
class FakeModels : public Models {
public:
  ModelShapes shapes() const override { return kShapes; }
  absl::StatusOr<Tensor> encodeText(const Tensor &ids) override {
    ++texts;
    return ids.converted(ElementType::F32).reshaped({2, kShapes.tokens, 1});
  }
  absl::StatusOr<Tensor> unet(const Tensor &sample, int64_t timestep,
                              const Tensor &hidden) override {
    ++steps;
    lastSample = sample;
    const int64_t plane = 8 * 12;
    Tensor noise(ElementType::F32, {2, 4, 8, 12});
    for (int64_t row = 0; row < 2; ++row)
      for (int64_t i = 0; i < 4 * plane; ++i)
        noise.mutableValues<float>()[row * 4 * plane + i] =
            0.3f * sample.values<float>()[row * 9 * plane + i] +
            0.01f * hidden.values<float>()[row * 6 + 1];
    return noise;
  }
  absl::StatusOr<Tensor> encodePicture(const Tensor &picture) override {
    lastPicture = picture;
    return Tensor(ElementType::F32, {1, 8, 8, 12});
  }
  absl::StatusOr<Tensor> decodeLatent(const Tensor &latent) override {
    Tensor picture(ElementType::F32, {1, 3, 32, 48});
    for (int64_t i = 0; i < picture.size(); ++i)
      picture.mutableValues<float>()[i] =
          std::fmod(latent.values<float>()[i % latent.size()], 1.0f);
    return picture;
  }
  int texts = 0, steps = 0;
  Tensor lastSample, lastPicture;
};

Tokenizer tokenizer() {
  return *Tokenizer::create(R"({"a</w>": 0, "b</w>": 1, "<s>": 2, "<e>": 3})", "",
                            R"({"model_max_length": 6, "bos_token": "<s>", "eos_token": "<e>"})");
}

Ddim ddim() {
  return *Ddim::create(
      R"({"beta_schedule": "scaled_linear", "clip_sample": false, "steps_offset": 1})");
}

Picture randomPicture(int64_t width, int64_t height, uint32_t seed) {
  std::mt19937 random(seed);
  Picture picture(width, height);
  for (uint8_t &value : picture.rgb)
    value = static_cast<uint8_t>(random());
  return picture;
}

class Zoom : public ::testing::Test {
protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) /
            (std::string("sdopt-zoom-") +
             ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  ZoomOptions options(const std::string &folder = "out") {
    ZoomOptions options;
    options.prompt = "a";
    options.frames = 2;
    options.interpolation = 3;
    options.inpainting.steps = 2;
    options.seed = 9;
    options.folder = (root_ / folder).string();
    return options;
  }

  std::vector<std::string> files(const std::string &folder = "out") {
    std::vector<std::string> names;
    for (const auto &entry : fs::directory_iterator(root_ / folder))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

  Picture frame(int index, const std::string &folder = "out") {
    return *readPng((root_ / folder / ("frame_000" + std::to_string(index) + ".png")).string());
  }

  fs::path root_;
};

} // namespace

TEST_F(Zoom, WritesEveryFrameOnce) {
  FakeModels models;
  std::vector<int64_t> seen;
  absl::StatusOr<ZoomResult> result =
      zoom(models, tokenizer(), ddim(), options(), [&](const ZoomProgress &at) {
        EXPECT_EQ(at.frames, 2);
        EXPECT_EQ(at.steps, 2);
        seen.push_back(at.frame * 10 + at.step);
      });
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->painted, 2);
  EXPECT_EQ(result->pictures, 4);
  EXPECT_THAT(files(), ::testing::ElementsAre("frame_0000.png", "frame_0001.png", "frame_0002.png",
                                              "frame_0003.png", "zoom.webp"));
  EXPECT_THAT(seen, ::testing::ElementsAre(1, 2, 11, 12));
  EXPECT_EQ(models.texts, 1);
  EXPECT_EQ(models.steps, 4);
}

TEST_F(Zoom, SameSeedSameBytes) {
  FakeModels models;
  ASSERT_TRUE(zoom(models, tokenizer(), ddim(), options("one")).ok());
  ASSERT_TRUE(zoom(models, tokenizer(), ddim(), options("two")).ok());
  ZoomOptions other = options("three");
  other.seed = 10;
  ASSERT_TRUE(zoom(models, tokenizer(), ddim(), other).ok());
  ZoomOptions otherPrompt = options("four");
  otherPrompt.prompt = "b";
  ASSERT_TRUE(zoom(models, tokenizer(), ddim(), otherPrompt).ok());
  for (const std::string &name : files("one"))
    EXPECT_EQ(*readFile((root_ / "one" / name).string()),
              *readFile((root_ / "two" / name).string()))
        << name;
  EXPECT_FALSE(frame(0, "one") == frame(0, "three"));
  EXPECT_FALSE(frame(0, "one") == frame(0, "four"));
}

TEST_F(Zoom, KeepsTheKnownCentre) {
  FakeModels models;
  ZoomOptions zoomOptions = options();
  zoomOptions.start = randomPicture(48, 32, 1);
  zoomOptions.frames = 1;
  ASSERT_TRUE(zoom(models, tokenizer(), ddim(), zoomOptions).ok());
  ASSERT_EQ(files().size(), 5u); // start, two between, one painted, the animation
  // Played inwards the widest frame comes first, the start last.
  Picture wide = frame(0), narrow = frame(3);
  EXPECT_EQ(narrow, *zoomOptions.start);
  // An eighth of 48 and 32 pixels, in whole cells of 4.
  const int64_t borderX = 8, borderY = 4;
  EXPECT_EQ(borderPixels(0.125, 48, 12), borderX);
  EXPECT_EQ(borderPixels(0.125, 32, 8), borderY);
  Picture small = resized(narrow, 32, 24);
  bool borderIsPainted = false;
  for (int64_t y = 0; y < 32; ++y)
    for (int64_t x = 0; x < 48; ++x) {
      bool known = x >= borderX && x < 48 - borderX && y >= borderY && y < 32 - borderY;
      for (int c = 0; c < 3; ++c)
        if (known)
          ASSERT_EQ(wide.at(x, y)[c], small.at(x - borderX, y - borderY)[c]) << x << "," << y;
        else
          borderIsPainted |= wide.at(x, y)[c] != 0;
    }
  EXPECT_TRUE(borderIsPainted);
}

TEST_F(Zoom, GivesTheModelsMaskAndMaskedPicture) {
  FakeModels models;
  ZoomOptions zoomOptions = options();
  zoomOptions.start = randomPicture(48, 32, 1);
  zoomOptions.frames = 1;
  ASSERT_TRUE(zoom(models, tokenizer(), ddim(), zoomOptions).ok());
  auto sample = models.lastSample.values<float>();
  for (int64_t row = 0; row < 2; ++row)
    for (int64_t y = 0; y < 8; ++y)
      for (int64_t x = 0; x < 12; ++x)
        EXPECT_EQ(sample[(row * 9 + 4) * 96 + y * 12 + x],
                  x >= 2 && x < 10 && y >= 1 && y < 7 ? 0.0f : 1.0f);
  // The border is hidden as zero, which is grey, not as a black pixel.
  Tensor canvas = toTensor(shrunkIntoCentre(*zoomOptions.start, 8, 4));
  for (int64_t y = 0; y < 32; ++y)
    for (int64_t x = 0; x < 48; ++x) {
      bool known = x >= 8 && x < 40 && y >= 4 && y < 28;
      EXPECT_EQ(models.lastPicture.values<float>()[y * 48 + x],
                known ? canvas.values<float>()[y * 48 + x] : 0.0f);
    }
}

TEST_F(Zoom, OutwardsIsTheReverse) {
  FakeModels models;
  ASSERT_TRUE(zoom(models, tokenizer(), ddim(), options("in")).ok());
  ZoomOptions outwards = options("out");
  outwards.direction = ZoomDirection::Out;
  ASSERT_TRUE(zoom(models, tokenizer(), ddim(), outwards).ok());
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(frame(i, "in"), frame(3 - i, "out"));
}

TEST_F(Zoom, RemovesOnlyFramesOfALongerRun) {
  FakeModels models;
  fs::create_directories(root_ / "out");
  for (const char *name :
       {"frame_0004.png", "frame_0123.png", "frame_12345.png", "frame_00a4.png", "notes.txt"})
    ASSERT_TRUE(writeFileAtomically((root_ / "out" / name).string(), "x").ok());
  ASSERT_TRUE(zoom(models, tokenizer(), ddim(), options()).ok());
  EXPECT_THAT(files(), ::testing::ElementsAre("frame_0000.png", "frame_0001.png", "frame_0002.png",
                                              "frame_0003.png", "frame_00a4.png", "frame_12345.png",
                                              "notes.txt", "zoom.webp"));
}

TEST_F(Zoom, FramesBetweenMeetTheKeyFrames) {
  // A smooth pair: the narrow frame is the middle of the wide one at a higher resolution.
  auto pattern = [](double x, double y) {
    return static_cast<uint8_t>(127.5 + 90 * std::sin(0.16 * x) * std::cos(0.13 * y));
  };
  Picture narrow(48, 32), wide(48, 32);
  for (int64_t y = 0; y < 32; ++y)
    for (int64_t x = 0; x < 48; ++x) {
      std::fill_n(wide.at(x, y), 3, pattern(x + 0.5 - 24, y + 0.5 - 16));
      std::fill_n(narrow.at(x, y), 3, pattern((x + 0.5 - 24) * 32 / 48, (y + 0.5 - 16) * 24 / 32));
    }
  // Each frame shows the same world through its own window.
  for (int64_t step = 1; step < 5; ++step) {
    Picture between = betweenFrames(narrow, wide, 8, 4, step, 5);
    double viewX = std::pow(32.0 / 48, (5 - step) / 5.0),
           viewY = std::pow(24.0 / 32, (5 - step) / 5.0);
    for (int64_t y = 2; y < 30; ++y)
      for (int64_t x = 2; x < 46; ++x)
        ASSERT_NEAR(between.at(x, y)[1], pattern((x + 0.5 - 24) * viewX, (y + 0.5 - 16) * viewY), 4)
            << step << " " << x << "," << y;
  }
}

TEST_F(Zoom, FeatherFadesOnlyInsideTheCentre) {
  Picture painted(48, 32), canvas(48, 32);
  std::fill(painted.rgb.begin(), painted.rgb.end(), uint8_t{200});
  std::fill(canvas.rgb.begin(), canvas.rgb.end(), uint8_t{100});
  Picture mixed = withKnownCentre(painted, canvas, 8, 4, 3);
  EXPECT_EQ(mixed.at(7, 16)[0], 200);
  EXPECT_EQ(mixed.at(8, 16)[0], 175);
  EXPECT_EQ(mixed.at(9, 16)[0], 150);
  EXPECT_EQ(mixed.at(10, 16)[0], 125);
  EXPECT_EQ(mixed.at(11, 16)[0], 100);
  EXPECT_EQ(mixed.at(24, 16)[0], 100);
}

TEST_F(Zoom, RejectsOptionsOutOfRange) {
  FakeModels models;
  auto message = [&](auto change) {
    ZoomOptions bad = options();
    change(bad);
    absl::StatusOr<ZoomResult> result = zoom(models, tokenizer(), ddim(), bad);
    EXPECT_FALSE(result.ok());
    EXPECT_FALSE(fs::exists(root_ / "out"));
    return std::string(result.status().message());
  };
  EXPECT_THAT(message([](ZoomOptions &o) { o.frames = 0; }),
              HasSubstr("--frames is 0; needed: 1 or more"));
  EXPECT_THAT(message([](ZoomOptions &o) { o.interpolation = 0; }),
              HasSubstr("--interpolate is 0"));
  EXPECT_THAT(message([](ZoomOptions &o) { o.frames = 5000; }),
              HasSubstr("--frames times --interpolate is 5000 times 3; needed: less than 10000"));
  EXPECT_THAT(message([](ZoomOptions &o) { o.frames = int64_t{1} << 62; }),
              HasSubstr("--frames times --interpolate"));
  EXPECT_THAT(message([](ZoomOptions &o) { o.border = 0; }), HasSubstr("--border is 0"));
  EXPECT_THAT(message([](ZoomOptions &o) { o.border = std::nan(""); }), HasSubstr("--border"));
  EXPECT_THAT(message([](ZoomOptions &o) { o.border = 0.49; }),
              HasSubstr("leaves a centre of the 48x32 picture"));
  EXPECT_THAT(message([](ZoomOptions &o) { o.feather = -1; }), HasSubstr("--feather is -1"));
  EXPECT_THAT(message([](ZoomOptions &o) { o.feather = 9; }), HasSubstr("0 to 8 pixels"));
  EXPECT_THAT(message([](ZoomOptions &o) { o.inpainting.guidance = INFINITY; }),
              HasSubstr("--guidance"));
  EXPECT_THAT(message([](ZoomOptions &o) { o.folder = ""; }), HasSubstr("-o is empty"));
}

TEST_F(Zoom, UnwritableFolderIsAnError) {
  FakeModels models;
  fs::create_directories(root_);
  ASSERT_TRUE(writeFileAtomically((root_ / "file").string(), "x").ok());
  absl::StatusOr<ZoomResult> result = zoom(models, tokenizer(), ddim(), options("file/below"));
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("cannot make folder '" + (root_ / "file/below").string()));
}

TEST(BetweenFrames, FadesTowardsTheFeatheredKeyFrame) {
  Picture narrow(32, 32), wide(32, 32);
  std::fill(narrow.rgb.begin(), narrow.rgb.end(), uint8_t(200));
  Picture canvas = shrunkIntoCentre(narrow, 4, 4);
  Picture key = withKnownCentre(wide, canvas, 4, 4, 3);
  Picture hard = betweenFrames(narrow, key, 4, 4, 9, 10),
          soft = betweenFrames(narrow, key, 4, 4, 9, 10, 3);
  // The edge of the narrow frame is near pixel 4 of both.
  auto jump = [](const Picture &picture) {
    int most = 0;
    for (int x = 1; x < 16; ++x)
      most = std::max(most, std::abs(picture.at(x, 16)[0] - picture.at(x - 1, 16)[0]));
    return most;
  };
  EXPECT_LT(jump(soft), jump(hard));
  EXPECT_EQ(soft.at(16, 16)[0], 200);
}
