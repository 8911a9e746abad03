//===- RatesTest.cpp - images per second of a package ------------------------===//

#include "compiler/pipeline/Rates.h"

#include <gtest/gtest.h>

namespace sdopt {
namespace {

Report withModules(const std::vector<std::string> &names) {
  Report report;
  double seconds = 1;
  for (const std::string &name : names) {
    ModuleReport &module = *report.add_modules();
    module.set_name(name);
    module.set_seconds(seconds);
    module.set_energy(10 * seconds);
    seconds *= 2;
  }
  return report;
}

// Seconds of a run: text encoder 1, UNet 2, VAE decoder 4, VAE encoder 8.
double secondsPerImage(int64_t textRows, int64_t unetRows) {
  Report report = withModules({"text_encoder", "unet", "vae_decoder", "vae_encoder"});
  setRates(report, 10, {{"text_encoder", textRows}, {"unet", unetRows}});
  EXPECT_DOUBLE_EQ(report.pipeline().joules_per_image(),
                   10 * report.pipeline().seconds_per_image());
  EXPECT_EQ(report.pipeline().guidance_batch(), unetRows);
  return report.pipeline().seconds_per_image();
}

TEST(Rates, GuidanceTakesTwoRows) {
  EXPECT_DOUBLE_EQ(secondsPerImage(2, 2), 1 + 10 * 2 + 4 + 8);
  EXPECT_DOUBLE_EQ(secondsPerImage(1, 1), 2 * 1 + 20 * 2 + 4 + 8);
  EXPECT_DOUBLE_EQ(secondsPerImage(2, 3), 1 + 10 * 2 + 4 + 8);
  EXPECT_DOUBLE_EQ(secondsPerImage(2, 4), 1 + 5 * 2 + 4 + 8);
}

TEST(Rates, APartPaintsNothing) {
  for (const std::vector<std::string> &names :
       {std::vector<std::string>{"unet"}, {"text_encoder", "unet"}, {"unet", "vae_decoder"}, {}}) {
    Report report = withModules(names);
    setRates(report, 10, {});
    EXPECT_FALSE(report.has_pipeline());
  }
}

TEST(Rates, SeveralTextEncodersAndATransformer) {
  Report report = withModules({"text_encoder", "text_encoder_2", "transformer", "vae_decoder"});
  setRates(report, 3, {{"text_encoder", 2}, {"text_encoder_2", 1}, {"transformer", 2}});
  EXPECT_DOUBLE_EQ(report.pipeline().seconds_per_image(), 1 + 2 * 2 + 3 * 4 + 8);
}

TEST(Rates, WhatRunsOncePerPromptOrTimestep) {
  Report report = withModules({"text_encoder", "unet", "vae_decoder"});
  ModuleReport &unet = *report.mutable_modules(1);
  for (auto [name, seconds] : {std::pair{"prompt", 100.0}, {"schedule", 20.0}, {"step", 3.0}}) {
    PhaseReport &phase = *unet.add_phases();
    phase.set_name(name);
    phase.set_seconds(seconds);
    phase.set_copy_seconds(0.5);
  }
  setRates(report, 10, {{"text_encoder", 2}, {"unet", 2}});
  EXPECT_DOUBLE_EQ(report.pipeline().seconds_per_image(), 1 + 100 + 10 * (20 + 3) + 4);
  // With one row the branches take turns: both prompts are kept and copied.
  setRates(report, 10, {{"text_encoder", 2}, {"unet", 1}});
  EXPECT_DOUBLE_EQ(report.pipeline().seconds_per_image(),
                   1 + 2 * 100 + 10 * 20 + 20 * (3 + 0.5) + 4);
  // Two pictures share a run of four rows.
  setRates(report, 10, {{"text_encoder", 2}, {"unet", 4}});
  EXPECT_DOUBLE_EQ(report.pipeline().seconds_per_image(), 1 + 50 + 5 * (20 + 3) + 4);
}

} // namespace
} // namespace sdopt
