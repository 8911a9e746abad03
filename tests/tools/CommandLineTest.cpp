#include "tools/sdopt-run/CommandLine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace sdopt;
using ::testing::HasSubstr;

namespace {

absl::StatusOr<RunCommand> parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "sdopt-run");
  std::vector<char *> pointers;
  for (std::string &argument : arguments)
    pointers.push_back(argument.data());
  return parseRunCommand(static_cast<int>(pointers.size()), pointers.data());
}

std::string parseError(const std::vector<std::string> &arguments) {
  absl::StatusOr<RunCommand> command = parse(arguments);
  EXPECT_FALSE(command.ok());
  std::string message(command.status().message());
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  return message;
}

} // namespace

TEST(CommandLine, OneModule) {
  absl::StatusOr<RunCommand> command =
      parse({"p.sdnpu", "--module", "unet", "--inputs", "in.safetensors", "-o", "out.safetensors",
             "--trace=t.json"});
  ASSERT_TRUE(command.ok()) << command.status().message();
  const auto &options = std::get<RunModuleOptions>(*command);
  EXPECT_EQ(options.package, "p.sdnpu");
  EXPECT_EQ(options.module, "unet");
  EXPECT_EQ(options.inputs, "in.safetensors");
  EXPECT_EQ(options.output, "out.safetensors");
  EXPECT_EQ(options.trace, "t.json");
}

TEST(CommandLine, Zoom) {
  absl::StatusOr<RunCommand> command = parse({"zoom",
                                              "p.sdnpu",
                                              "--prompt",
                                              "red rings",
                                              "--negative",
                                              "blue",
                                              "--frames",
                                              "3",
                                              "--interpolate",
                                              "7",
                                              "--steps",
                                              "12",
                                              "--guidance",
                                              "7.5",
                                              "--seed",
                                              "18446744073709551615",
                                              "--start",
                                              "s.png",
                                              "--border",
                                              "0.25",
                                              "--feather",
                                              "2",
                                              "--direction",
                                              "out",
                                              "-o",
                                              "dir"});
  ASSERT_TRUE(command.ok()) << command.status().message();
  const auto &options = std::get<RunZoomOptions>(*command);
  EXPECT_EQ(options.package, "p.sdnpu");
  EXPECT_EQ(options.start, "s.png");
  EXPECT_EQ(options.zoom.prompt, "red rings");
  EXPECT_EQ(options.zoom.negativePrompt, "blue");
  EXPECT_EQ(options.zoom.frames, 3);
  EXPECT_EQ(options.zoom.interpolation, 7);
  EXPECT_EQ(options.zoom.inpainting.steps, 12);
  EXPECT_EQ(options.zoom.inpainting.guidance, 7.5f);
  EXPECT_EQ(options.zoom.seed, ~uint64_t{0});
  EXPECT_EQ(options.zoom.border, 0.25);
  EXPECT_EQ(options.zoom.feather, 2);
  EXPECT_EQ(options.zoom.direction, ZoomDirection::Out);
  EXPECT_EQ(options.zoom.folder, "dir");
}

TEST(CommandLine, MistakesAreOneLine) {
  EXPECT_THAT(parseError({}), HasSubstr("PACKAGE is missing"));
  EXPECT_THAT(parseError({"p.sdnpu"}), HasSubstr("--module is missing"));
  EXPECT_THAT(parseError({"p.sdnpu", "--module", "unet"}), HasSubstr("--inputs is missing"));
  EXPECT_THAT(parseError({"zoom"}), HasSubstr("PACKAGE is missing"));
  EXPECT_THAT(parseError({"zoom", "p.sdnpu"}), HasSubstr("--prompt is missing"));
  EXPECT_THAT(parseError({"zoom", "p.sdnpu", "--frames", "many"}), HasSubstr("many"));
  EXPECT_THAT(parseError({"zoom", "p.sdnpu", "--direction", "up"}), HasSubstr("up"));
  for (const char *seed : {"-1", "18446744073709551616", "1.5", "1e3"})
    EXPECT_THAT(parseError({"zoom", "p.sdnpu", "--seed", seed}),
                HasSubstr("--seed: '" + std::string(seed) + "' is no whole number"));
  EXPECT_THAT(parseError({"p.sdnpu", "--nonsense"}), HasSubstr("--nonsense"));
  EXPECT_THAT(parseError({"p.sdnpu", "--threads", "0"}), HasSubstr("--threads"));
  EXPECT_THAT(parseError({"p.sdnpu", "other.sdnpu", "--module", "unet"}), HasSubstr("see --help"));
}

TEST(CommandLine, MissingPackageIsAnError) {
  absl::Status status = run(*parse({"/nonexistent/p.sdnpu", "--module", "unet", "--inputs", "x"}));
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/p.sdnpu"));
  status = run(*parse({"zoom", "/nonexistent/p.sdnpu", "--prompt", "x"}));
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/p.sdnpu"));
}
