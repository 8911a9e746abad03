// The workload of a picture costs at the nominal point what the report's rates say, and the report
// has every policy under every goal.

#include "compiler/power/PowerReport.h"
#include "compiler/pipeline/Rates.h"
#include "compiler/simulator/Simulator.h"
#include "tests/power/PlannedModule.h"
#include "tests/schedule/LayerZoo.h"
#include "tests/simulator/PhasedModule.h"
#include "tests/simulator/TestTarget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using testing::ElementsAre;

/// A denoiser with three phases between two modules of one convolution.
class Pipeline {
public:
  Pipeline() : phased_(test::PhasedModule::create()) {
    target = phased_->target;
    target.energy = test::testTarget().energy;
    target.power.points = {{0.6, 0.4 * target.clock}, {0.8, target.clock}};
    target.power.leakageSlope = 0.3;
    target.power.clockSwitch = 1e-6;
    target.power.voltageSwitch = 100e-6;
    add("vae_decoder", 8);
    PackageModule unet = phased_->module;
    unet.info.network.name = "unet";
    modules.push_back(unet);
    add("text_encoder", 4);
  }

  /// As sdopt-compile fills it.
  Report report() const {
    Report report;
    for (const PackageModule &module : modules) {
      Simulator simulator(module, target);
      ModuleReport &out = *report.add_modules();
      out.set_name(module.info.network.name);
      RunStatistics sum;
      for (Phase phase : {Phase::Prompt, Phase::Schedule, Phase::Step}) {
        RunStatistics run;
        EXPECT_TRUE(simulator.run({}, {.first = phase, .last = phase, .values = false}, &run).ok());
        addTo(sum, run);
        if (module.info.network.name != "unet")
          continue;
        PhaseReport &part = *out.add_phases();
        part.set_name(name(phase));
        part.set_seconds(run.seconds);
        part.set_energy(run.energy);
        part.set_copy_seconds(simulator.copyCost(phase).seconds);
        part.set_copy_energy(simulator.copyCost(phase).energy);
      }
      out.set_seconds(sum.seconds);
      out.set_energy(sum.energy);
    }
    return report;
  }

  Target target;
  std::vector<PackageModule> modules;

private:
  void add(const std::string &name, int64_t channels) {
    NetworkBuilder b;
    b.network.name = name;
    TensorId x = b.tensor({1, 6, 5, channels}, ElementType::I8, TensorRole::Input);
    x = b.conv(x, 8, 3, 1, ElementType::I8);
    b.network.tensors[x].role = TensorRole::Output;
    auto module = test::plannedModule(b.network, target);
    ASSERT_TRUE(module.ok()) << module.status();
    modules.push_back(*std::move(module));
  }

  std::unique_ptr<test::PhasedModule> phased_;
};

TEST(PictureWorkload, CostsWhatTheRatesSay) {
  const Pipeline pipeline;
  const absl::StatusOr<PowerModel> model = powerModel(pipeline.target);
  ASSERT_TRUE(model.ok()) << model.status();
  for (int64_t rows : {1, 2, 4}) {
    const std::map<std::string, int64_t> rowsOfRun = {
        {"unet", rows}, {"text_encoder", rows}, {"vae_decoder", std::max<int64_t>(rows / 2, 1)}};
    const auto workload = pictureWorkload(pipeline.modules, pipeline.target, *model, 7, rowsOfRun);
    ASSERT_TRUE(workload.ok()) << workload.status();
    ASSERT_TRUE(workload->has_value());
    EXPECT_EQ((*workload)->pictures, std::max<int64_t>(rows / 2, 1));
    std::vector<std::string> names;
    for (const PowerModule &module : (*workload)->modules)
      names.push_back(module.name);
    EXPECT_THAT(names, ElementsAre("text_encoder", "unet.prompt", "unet.schedule", "unet.step",
                                   "vae_decoder"));
    const auto fixed =
        chooseClocks(*model, (*workload)->modules, PowerGoal::LeastTime, {}, ClockPolicy::Fixed);
    ASSERT_TRUE(fixed.ok()) << fixed.status();
    Report report = pipeline.report();
    setRates(report, 7, rowsOfRun);
    const double pictures = static_cast<double>((*workload)->pictures);
    const PipelineReport &rates = report.pipeline();
    EXPECT_NEAR(fixed->cost.seconds / pictures, rates.seconds_per_image(),
                1e-9 * rates.seconds_per_image())
        << rows;
    // With one row there are copies, and which rows of DRAM they find open depends on what ran.
    EXPECT_NEAR(fixed->cost.energy / pictures, rates.joules_per_image(),
                (rows == 1 ? 0.01 : 1e-9) * rates.joules_per_image())
        << rows;
  }
}

TEST(PictureWorkload, NothingThatPaintsNoPicture) {
  Pipeline pipeline;
  pipeline.modules.pop_back();
  const auto report = powerReport(pipeline.modules, pipeline.target, 7, {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->has_value());
}

TEST(PowerReport, HasEveryPolicyUnderEveryGoal) {
  const Pipeline pipeline;
  const auto report = powerReport(pipeline.modules, pipeline.target, 7, {});
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_TRUE(report->has_value());
  const PowerReport &power = **report;
  ASSERT_EQ(power.studies_size(), 4);
  for (const PowerStudy &study : power.studies()) {
    ASSERT_EQ(study.choices_size(), 4);
    const PowerChoice &joint = study.choices(3);
    EXPECT_EQ(joint.policy(), "joint");
    EXPECT_EQ(joint.problem(), "");
    EXPECT_EQ(joint.modules_size(), 5);
    EXPECT_DOUBLE_EQ(joint.images_per_second() * joint.seconds(), 1);
    EXPECT_DOUBLE_EQ(joint.images_per_second_per_watt() * joint.energy(), 1);
    const bool isTime = study.goal().starts_with("least time");
    for (const PowerChoice &choice : study.choices())
      if (choice.problem().empty()) {
        EXPECT_LE(isTime ? joint.seconds() : joint.energy(),
                  isTime ? choice.seconds() : choice.energy());
      }
    if (study.most_seconds() > 0) {
      EXPECT_LE(joint.seconds(), study.most_seconds() * (1 + 1e-9));
    }
    if (study.most_layer_power() > 0) {
      EXPECT_LE(joint.layer_power(), study.most_layer_power() * (1 + 1e-9));
    }
  }
  ASSERT_GE(power.curve_size(), 1);
  for (int i = 1; i < power.curve_size(); ++i) {
    EXPECT_GT(power.curve(i).seconds(), power.curve(i - 1).seconds());
    EXPECT_LT(power.curve(i).energy(), power.curve(i - 1).energy());
  }
  const auto again = powerReport(pipeline.modules, pipeline.target, 7, {});
  EXPECT_EQ((*again)->SerializeAsString(), power.SerializeAsString());
}

TEST(PowerReport, TargetsWithoutPointsAreRefused) {
  Pipeline pipeline;
  pipeline.target.power.points.clear();
  const auto report = powerReport(pipeline.modules, pipeline.target, 7, {});
  EXPECT_THAT(std::string(report.status().message()),
              testing::HasSubstr("target 'small': power model has no operating point"));
  // Neither are those of another clock.
  pipeline.target.power.points = {{0.8, 2 * pipeline.target.clock}};
  EXPECT_FALSE(powerReport(pipeline.modules, pipeline.target, 7, {}).ok());
}

} // namespace
} // namespace sdopt
