#include "compiler/sampling/Timesteps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace sdopt;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

namespace {

std::vector<double> timesteps(const std::string &configuration, int64_t steps) {
  absl::StatusOr<std::vector<double>> result = timestepsOfRun("{" + configuration + "}", steps);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(std::vector<double>());
}

std::string error(const std::string &configuration, int64_t steps = 20) {
  return std::string(timestepsOfRun(configuration, steps).status().message());
}

} // namespace

// The numbers are those of diffusers 0.42.

TEST(Timesteps, OfWholeSchedulers) {
  EXPECT_THAT(timesteps(R"("timestep_spacing": "leading", "steps_offset": 1)", 3),
              ElementsAre(667, 334, 1));
  EXPECT_THAT(timesteps(R"("_class_name": "DDIMScheduler", "timestep_spacing": "trailing")", 7),
              ElementsAre(999, 856, 713, 570, 428, 285, 142));
  EXPECT_THAT(timesteps(R"("_class_name": "DDIMScheduler", "timestep_spacing": "linspace")", 7),
              ElementsAre(999, 832, 666, 500, 333, 166, 0));
  EXPECT_THAT(timesteps(R"("_class_name": "PNDMScheduler", "skip_prk_steps": true)", 2),
              ElementsAre(500, 0));
}

TEST(Timesteps, OfEulersSchedulers) {
  for (const char *name : {"EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler"}) {
    const std::string configuration = std::string(R"("_class_name": ")") + name + '"';
    EXPECT_THAT(timesteps(configuration, 7), ElementsAre(999, 832.5, 666, 499.5, 333, 166.5, 0));
    EXPECT_THAT(
        timesteps(configuration + R"(, "timestep_spacing": "leading", "steps_offset": 1)", 3),
        ElementsAre(667, 334, 1));
  }
}

TEST(Timesteps, OfMultistepSchedulers) {
  for (const char *name : {"DPMSolverMultistepScheduler", "UniPCMultistepScheduler"}) {
    const std::string configuration =
        std::string(R"("lambda_min_clipped": -Infinity, "_class_name": ")") + name + '"';
    EXPECT_THAT(timesteps(configuration, 3), ElementsAre(999, 666, 333));
    EXPECT_THAT(
        timesteps(configuration + R"(, "timestep_spacing": "leading", "steps_offset": 1)", 3),
        ElementsAre(751, 501, 251));
    EXPECT_THAT(timesteps(configuration + R"(, "timestep_spacing": "trailing")", 3),
                ElementsAre(999, 666, 332));
  }
}

TEST(Timesteps, OfFlowMatching) {
  const std::string configuration =
      R"("_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0)";
  EXPECT_THAT(timesteps(configuration, 7),
              ElementsAre(1000.0, 937.71044921875, 857.6923217773438, 751.12109375,
                          602.1505737304688, 379.1946105957031, 8.928571701049805));
  EXPECT_THAT(timesteps(configuration, 1), ElementsAre(1000));
}

TEST(Timesteps, WhatIsNotKnownIsNamed) {
  EXPECT_THAT(error(R"({"_class_name": "DPMSolverSDEScheduler"})"),
              AllOf(HasSubstr("'_class_name' is 'DPMSolverSDEScheduler'"),
                    HasSubstr("'EulerDiscreteScheduler'")));
  EXPECT_THAT(error(R"({"_class_name": "PNDMScheduler"})"), HasSubstr("'skip_prk_steps' is false"));
  EXPECT_THAT(error(R"({"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true})"),
              HasSubstr("'use_karras_sigmas' is true"));
  EXPECT_THAT(error(R"({"timestep_spacing": "random"})"),
              HasSubstr("'timestep_spacing' is 'random'"));
  EXPECT_THAT(error("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(error("{}", 0), HasSubstr("0 steps; needed: 1 to 1000"));
  EXPECT_THAT(error("{}", 1001), HasSubstr("1001 steps; needed: 1 to 1000"));
  EXPECT_THAT(error(R"({"steps_offset": 1})", 1000), HasSubstr("begin beyond the 1000 steps"));
}
