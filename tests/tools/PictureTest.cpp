#include "tools/sdopt-run/Picture.h"
#include "tools/sdopt-run/Animation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <webp/demux.h>

#include <cmath>
#include <limits>
#include <random>

using namespace sdopt;
using ::testing::HasSubstr;

namespace {

Picture randomPicture(int64_t width, int64_t height, uint32_t seed) {
  std::mt19937 random(seed);
  Picture picture(width, height);
  for (uint8_t &value : picture.rgb)
    value = static_cast<uint8_t>(random());
  return picture;
}

Picture flatPicture(int64_t width, int64_t height, uint8_t level) {
  Picture picture(width, height);
  std::fill(picture.rgb.begin(), picture.rgb.end(), level);
  return picture;
}

/// Mean over the exact area of new pixel (x, y), in double.
double areaMean(const Picture &picture, int64_t width, int64_t height, int64_t x, int64_t y,
                int channel) {
  double sum = 0, total = 0;
  for (int64_t oy = 0; oy < picture.height; ++oy)
    for (int64_t ox = 0; ox < picture.width; ++ox) {
      auto overlap = [](double a, double b, double c, double d) {
        return std::max(0.0, std::min(b, d) - std::max(a, c));
      };
      double sx = static_cast<double>(picture.width) / width,
             sy = static_cast<double>(picture.height) / height;
      double area =
          overlap(ox, ox + 1, x * sx, (x + 1) * sx) * overlap(oy, oy + 1, y * sy, (y + 1) * sy);
      sum += area * picture.at(ox, oy)[channel];
      total += area;
    }
  return sum / total;
}

} // namespace

TEST(Picture, PngRoundTrip) {
  for (auto [width, height] : {std::pair{1, 1}, {7, 3}, {64, 48}}) {
    Picture picture = randomPicture(width, height, 5);
    absl::StatusOr<std::string> bytes = encodePng(picture);
    ASSERT_TRUE(bytes.ok());
    EXPECT_EQ(*bytes, *encodePng(picture));
    absl::StatusOr<Picture> back = decodePng(*bytes, "memory");
    ASSERT_TRUE(back.ok()) << back.status().message();
    EXPECT_EQ(*back, picture);
  }
}

TEST(Picture, DamagedPngIsAnError) {
  std::string good = *encodePng(randomPicture(13, 9, 1));
  for (size_t size = 0; size < good.size(); size += 3)
    EXPECT_FALSE(decodePng(std::string_view(good).substr(0, size), "cut.png").ok()) << size;
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    absl::StatusOr<Picture> picture = decodePng(bad, "bad.png");
    ASSERT_FALSE(picture.ok()) << at;
    EXPECT_THAT(std::string(picture.status().message()),
                HasSubstr("bad.png: not a readable PNG picture: "));
  }
  EXPECT_FALSE(readPng("/nonexistent/picture.png").ok());
  EXPECT_FALSE(encodePng(Picture()).ok());
}

TEST(Picture, ShrinkingIsTheAreaMean) {
  for (auto [width, height, newWidth, newHeight] :
       {std::array{12, 8, 6, 4}, {13, 11, 7, 5}, {17, 5, 3, 5}, {64, 64, 48, 48}, {5, 5, 1, 1}}) {
    Picture picture = randomPicture(width, height, 3),
            small = resized(picture, newWidth, newHeight);
    ASSERT_EQ(small.width, newWidth);
    for (int64_t y = 0; y < newHeight; ++y)
      for (int64_t x = 0; x < newWidth; ++x)
        for (int c = 0; c < 3; ++c)
          EXPECT_NEAR(small.at(x, y)[c], areaMean(picture, newWidth, newHeight, x, y, c), 1.1);
  }
}

TEST(Picture, FlatStaysFlat) {
  for (int level : {0, 1, 127, 254, 255}) {
    Picture flat = flatPicture(11, 7, static_cast<uint8_t>(level));
    for (auto [width, height] : {std::pair{5, 3}, {22, 14}, {11, 20}, {4, 19}})
      EXPECT_EQ(resized(flat, width, height),
                flatPicture(width, height, static_cast<uint8_t>(level)));
    EXPECT_EQ(viewed(flat, 0.75, 1.3), flat);
  }
}

TEST(Picture, SameSizeIsTheSamePicture) {
  Picture picture = randomPicture(19, 7, 4);
  EXPECT_EQ(resized(picture, 19, 7), picture);
  EXPECT_EQ(viewed(picture, 1, 1), picture);
  EXPECT_EQ(fitted(picture, 19, 7), picture);
}

TEST(Picture, GrowingKeepsARampAndItsMiddle) {
  Picture ramp(16, 4);
  for (int64_t y = 0; y < 4; ++y)
    for (int64_t x = 0; x < 16; ++x)
      std::fill_n(ramp.at(x, y), 3, static_cast<uint8_t>(x * 16));
  Picture large = resized(ramp, 64, 16);
  for (int64_t x = 8; x < 56; ++x)
    EXPECT_NEAR(large.at(x, 5)[0], ((x + 0.5) / 4 - 0.5) * 16, 1.0) << x;
}

TEST(Picture, FittedTakesTheMiddle) {
  Picture wide(30, 10);
  for (int64_t y = 0; y < 10; ++y)
    for (int64_t x = 10; x < 20; ++x)
      std::fill_n(wide.at(x, y), 3, uint8_t{200});
  EXPECT_EQ(fitted(wide, 10, 10), flatPicture(10, 10, 200));
  Picture tall(10, 30);
  for (int64_t y = 10; y < 20; ++y)
    for (int64_t x = 0; x < 10; ++x)
      std::fill_n(tall.at(x, y), 3, uint8_t{90});
  EXPECT_EQ(fitted(tall, 20, 20), flatPicture(20, 20, 90));
}

TEST(Picture, TensorRoundTripAndClamping) {
  Picture picture = randomPicture(6, 5, 8);
  Tensor tensor = toTensor(picture);
  EXPECT_EQ(tensor.shape(), (Shape{1, 3, 5, 6}));
  EXPECT_EQ(toPicture(tensor), picture);
  const float odd[] = {-5, 5, std::numeric_limits<float>::quiet_NaN(),
                       -1, 1, std::numeric_limits<float>::infinity()};
  Picture clamped = toPicture(Tensor::of<float>({1, 3, 1, 2}, odd));
  EXPECT_THAT(clamped.rgb, ::testing::ElementsAre(0, 0, 255, 255, 0, 255));
}

TEST(Animation, HoldsEveryFrameWithoutLoss) {
  std::vector<Picture> frames;
  for (uint32_t i = 0; i < 4; ++i)
    frames.push_back(randomPicture(20, 14, i));
  auto make = [&] {
    auto animation = Animation::create(20, 14, 50);
    EXPECT_TRUE(animation.ok());
    for (const Picture &frame : frames)
      EXPECT_TRUE((*animation)->add(frame).ok());
    return *(*animation)->finish();
  };
  std::string bytes = make();
  EXPECT_EQ(bytes, make());
  WebPData data = {reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size()};
  WebPAnimDecoder *decoder = WebPAnimDecoderNew(&data, nullptr);
  ASSERT_TRUE(decoder);
  size_t count = 0;
  uint8_t *rgba = nullptr;
  int time = 0;
  while (WebPAnimDecoderGetNext(decoder, &rgba, &time)) {
    ASSERT_LT(count, frames.size());
    for (size_t i = 0; i < frames[count].rgb.size(); ++i)
      ASSERT_EQ(rgba[i / 3 * 4 + i % 3], frames[count].rgb[i]);
    ++count;
    EXPECT_EQ(time, static_cast<int>(count) * 50);
  }
  EXPECT_EQ(count, frames.size());
  WebPAnimDecoderDelete(decoder);
}

TEST(Animation, RejectsWrongSizes) {
  EXPECT_FALSE(Animation::create(0, 5, 50).ok());
  EXPECT_FALSE(Animation::create(20000, 5, 50).ok());
  auto animation = Animation::create(4, 4, 50);
  EXPECT_THAT(std::string((*animation)->add(Picture(5, 4)).message()),
              HasSubstr("a frame of 5x4 in an animation of 4x4"));
  EXPECT_FALSE((*animation)->finish().ok());
}
