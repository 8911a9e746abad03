//===- EncodingsTest.cpp - AIMET encodings files ------------------------------===//

#include "compiler/encodings/Encodings.h"

#include "gmock/gmock.h"

namespace sdopt {
namespace {

using testing::HasSubstr;

ImposedFormats parsed(const std::string &text) {
  absl::StatusOr<ImposedFormats> formats = parseEncodings(text, "m.encodings");
  EXPECT_TRUE(formats.ok()) << formats.status();
  return formats.ok() ? *formats : ImposedFormats();
}

std::string messageOf(const std::string &text) {
  absl::StatusOr<ImposedFormats> formats = parseEncodings(text, "m.encodings");
  EXPECT_FALSE(formats.ok());
  return formats.ok() ? "" : std::string(formats.status().message());
}

// real = 0.5 * (code from 0 - 100): code 100 is 28 below the middle.
TEST(Encodings, ObjectsByName) {
  ImposedFormats formats = parsed(R"({"version": "0.6.1",
    "activation_encodings": {
      "x": [{"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "offset": -100, "scale": 0.5, "min": -50, "max": 77.5}],
      "f": [{"bitwidth": 16, "dtype": "float"}]},
    "param_encodings": {
      "w": [{"bitwidth": 8, "dtype": "int", "is_symmetric": "True", "offset": -128, "scale": 0.25},
            {"bitwidth": 8, "dtype": "int", "is_symmetric": "True", "offset": -127, "scale": 0.125}]}})");
  ASSERT_EQ(formats.tensors.size(), 2u);
  EXPECT_EQ(formats.tensors["x"], (ImposedFormat{.bits = 8, .scales = {0.5}, .zeroPoints = {-28}}));
  EXPECT_EQ(formats.tensors["w"],
            (ImposedFormat{.bits = 8, .scales = {0.25, 0.125}, .zeroPoints = {0, 0}}));
}

TEST(Encodings, VersionMayBeMissing) {
  ImposedFormats formats = parsed(R"({"activation_encodings": {"x": [{"bitwidth": 16,
    "is_symmetric": "True", "offset": -32768, "scale": 0.001}]}, "param_encodings": {}})");
  EXPECT_EQ(formats.tensors["x"],
            (ImposedFormat{.bits = 16, .scales = {0.001}, .zeroPoints = {0}}));
}

TEST(Encodings, ListsOfNames) {
  ImposedFormats formats = parsed(R"({"version": "1.0.0",
    "activation_encodings": [
      {"name": "x", "enc_type": "PER_TENSOR", "dtype": "INT", "bw": 8, "is_sym": false, "scale": [0.5], "offset": [-128]},
      {"name": "f", "dtype": "FLOAT", "bw": 16}],
    "param_encodings": [
      {"name": "w", "enc_type": "PER_CHANNEL", "dtype": "INT", "bw": 4, "is_sym": true, "scale": [1, 2], "offset": [-8, 0]}]})");
  EXPECT_EQ(formats.tensors["x"], (ImposedFormat{.bits = 8, .scales = {0.5}, .zeroPoints = {0}}));
  EXPECT_EQ(formats.tensors["w"],
            (ImposedFormat{.bits = 4, .scales = {1, 2}, .zeroPoints = {0, 0}}));
}

TEST(Encodings, FlatList) {
  ImposedFormats formats = parsed(R"({"version": "2.0.0", "encodings": [
      {"name": "x", "output_dtype": "uint8", "y_scale": 0.5, "y_zero_point": 100},
      {"name": "y", "output_dtype": "int16", "y_scale": 0.001},
      {"name": "w", "output_dtype": "int8", "y_scale": [1, 2], "axis": 0},
      {"name": "f", "output_dtype": "float8e4m3fn"}]})");
  ASSERT_EQ(formats.tensors.size(), 3u);
  EXPECT_EQ(formats.tensors["x"], (ImposedFormat{.bits = 8, .scales = {0.5}, .zeroPoints = {-28}}));
  EXPECT_EQ(formats.tensors["y"],
            (ImposedFormat{.bits = 16, .scales = {0.001}, .zeroPoints = {0}}));
  EXPECT_EQ(formats.tensors["w"],
            (ImposedFormat{.bits = 8, .scales = {1, 2}, .zeroPoints = {0, 0}, .axis = 0}));
}

TEST(Encodings, WhatIsWrittenIsRead) {
  ImposedFormats formats;
  formats.tensors["x"] = {.bits = 8, .scales = {0.1f / 3.0}, .zeroPoints = {-128}};
  formats.tensors["x0"] = {.bits = 8, .scales = {0.5}, .zeroPoints = {0}};
  formats.tensors["y"] = {.bits = 16, .scales = {1.0680580089683644e-5}, .zeroPoints = {0}};
  formats.tensors["w"] = {.bits = 8, .scales = {0.1f, 0.2f}, .zeroPoints = {0, 0}};
  for (EncodingsVersion version : {EncodingsVersion::V1, EncodingsVersion::V2}) {
    formats.tensors["w"].axis = std::nullopt;
    if (version == EncodingsVersion::V2) // the other one does not tell it
      formats.tensors["w"].axis = 1;
    std::string text = encodingsText(formats, {"w"}, version);
    EXPECT_EQ(parsed(text).tensors, formats.tensors) << text;
  }
}

TEST(EncodingsErrors, AllAtOnceWithFileAndTensor) {
  std::string message = messageOf(R"({"version": "2.0.0", "encodings": [
      {"name": "a", "output_dtype": "int99", "y_scale": 1},
      {"name": "b", "output_dtype": "int8", "y_scale": -1},
      {"name": "c", "output_dtype": "int4", "y_scale": [[1, 2]], "block_size": 64},
      {"name": "d", "output_dtype": "int8", "y_scale": 1, "y_zero_point": 0.5},
      {"name": "e", "output_dtype": "int8", "y_scale": 1},
      {"name": "e", "output_dtype": "int8", "y_scale": 1},
      {"output_dtype": "int8"}]})");
  for (const char *part :
       {"'m.encodings'", "'a' has the output_dtype", "'b' has a scale that is not",
        "'c' has scales of blocks", "'d' has a zero point that is no integer", "'e' is given twice",
        "'encodings' has an entry without a name"})
    EXPECT_THAT(message, HasSubstr(part));
}

TEST(EncodingsErrors, OtherFiles) {
  EXPECT_THAT(messageOf("{"), HasSubstr("'m.encodings' is not JSON"));
  EXPECT_THAT(messageOf(R"({"version": "3.0.0"})"), HasSubstr("version 3.0.0 of encodings"));
  EXPECT_THAT(messageOf(R"({"version": "1.0.0"})"), HasSubstr("must be a list of encodings"));
  EXPECT_THAT(messageOf(R"({"version": "0.6.1", "activation_encodings": {"x": [{"bitwidth": 8}]},
                            "param_encodings": {}})"),
              HasSubstr("'x' needs bitwidth, scale and offset"));
  EXPECT_THAT(messageOf(R"({"version": "1.0.0", "activation_encodings": [], "param_encodings": [
                            {"name": "w", "enc_type": "LPBQ", "bw": 8}]})"),
              HasSubstr("'w' is of type \"LPBQ\""));
}

TEST(ImposedFormats, ActivationCodes) {
  absl::StatusOr<ActivationCode> byte =
      activationCode({.bits = 8, .scales = {0.5}, .zeroPoints = {7}});
  ASSERT_TRUE(byte.ok());
  EXPECT_EQ(byte->zeroPoint, 7);
  // From -40,000 to 25,535 steps of 0.5: the symmetric code holds 40,000 of them on both sides.
  absl::StatusOr<ActivationCode> wide =
      activationCode({.bits = 16, .scales = {0.5}, .zeroPoints = {7232}});
  ASSERT_TRUE(wide.ok());
  EXPECT_EQ(wide->zeroPoint, 0);
  EXPECT_DOUBLE_EQ(wide->scale * 32767, 0.5 * 40000);
  EXPECT_FALSE(activationCode({.bits = 4, .scales = {1}, .zeroPoints = {0}}).ok());
  EXPECT_FALSE(activationCode({.bits = 8, .scales = {1}, .zeroPoints = {200}}).ok());
  EXPECT_FALSE(activationCode({.bits = 8, .scales = {1, 2}, .zeroPoints = {0, 0}}).ok());
}

TEST(ImposedFormats, WeightScales) {
  auto scales = [](const ImposedFormat &format, int64_t channels) {
    return weightScales(format, channels, /*axis=*/1, /*rank=*/2);
  };
  EXPECT_EQ(*scales({.bits = 8, .scales = {0.5}, .zeroPoints = {0}, .axis = 0}, 3),
            (std::vector<float>{0.5f, 0.5f, 0.5f}));
  EXPECT_FALSE(scales({.bits = 8, .scales = {1, 2}, .zeroPoints = {0, 0}}, 3).ok());
  EXPECT_FALSE(scales({.bits = 4, .scales = {1}, .zeroPoints = {0}}, 3).ok());
  EXPECT_FALSE(scales({.bits = 8, .scales = {1}, .zeroPoints = {1}}, 3).ok());
  ImposedFormat columns{.bits = 8, .scales = {1, 2}, .zeroPoints = {0, 0}};
  EXPECT_TRUE(scales(columns, 2).ok());
  for (int64_t axis : {-2, -1, 0, 1}) {
    columns.axis = axis;
    EXPECT_EQ(scales(columns, 2).ok(), axis == 1 || axis == -1) << axis;
  }
}

} // namespace
} // namespace sdopt
