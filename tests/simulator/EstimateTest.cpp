// What the tile search believes of time, against the simulator: SD 2.1 at full size.

#include "compiler/schedule/ResidentTensors.h"
#include "compiler/schedule/TileSearch.h"
#include "compiler/schedule/TrafficModel.h"
#include "compiler/simulator/Simulator.h"
#include "tests/power/PlannedModule.h"
#include "tests/schedule/StableDiffusion.h"

#include <gtest/gtest.h>

namespace sdopt {
namespace {

class Estimates : public testing::TestWithParam<const char *> {};

// Rows of DRAM that short runs open, and channels that they leave idle, are half of the truth.
TEST_P(Estimates, AreNearTheSimulator) {
  absl::StatusOr<Target> target = loadTarget(GetParam());
  ASSERT_TRUE(target.ok());
  for (ElementType type : {ElementType::I8, ElementType::I16})
    for (const Network &network : {unet(64, type), vaeDecoder(64, type)}) {
      const absl::StatusOr<PackageModule> module = test::plannedModule(network, *target);
      ASSERT_TRUE(module.ok()) << module.status();
      double estimated = 0;
      const Plan &plan = module->info.plan;
      const ResidentTensors residents(network, plan);
      for (size_t i = 0; i < network.layers.size(); i = groupEnd(plan, i))
        estimated += static_cast<double>(
            estimate(residents.shape(i), plan.layers[i].tiling, *target).cycles);
      Simulator simulator(*module, *target);
      RunStatistics run;
      ASSERT_TRUE(simulator.run({}, {.values = false}, &run).ok());
      const double ratio = static_cast<double>(run.cycles) / estimated;
      std::printf("%s %s I%d: %.2f ms, estimated %.2f\n", GetParam(), network.name.c_str(),
                  type == ElementType::I8 ? 8 : 16,
                  static_cast<double>(run.cycles) / target->clock * 1e3,
                  estimated / target->clock * 1e3);
      EXPECT_GT(ratio, 0.90);
      EXPECT_LT(ratio, 1.10);
    }
}

INSTANTIATE_TEST_SUITE_P(Presets, Estimates, testing::Values("mobile", "laptop"));

} // namespace
} // namespace sdopt
