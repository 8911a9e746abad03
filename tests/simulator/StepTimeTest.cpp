// The modelled step of SD 2.1 at full size on `mobile`, against the largest of its products, its
// bytes and its elements (docs/traffic.md).

#include "compiler/schedule/TileSearch.h"
#include "compiler/simulator/Simulator.h"
#include "tests/power/PlannedModule.h"
#include "tests/power/StepFloor.h"
#include "tests/schedule/StableDiffusion.h"

#include <gtest/gtest.h>

namespace sdopt {
namespace {

/// The network's time as a part of its floor; every command of it is simulated.
double ofFloor(const char *name, const Network &network, const Target &target,
               const SearchOptions &options = {}) {
  absl::StatusOr<Plan> plan = planNetwork(network, target, options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  const absl::StatusOr<PackageModule> module =
      test::expandedModule(network, *std::move(plan), target);
  EXPECT_TRUE(module.ok()) << module.status();
  Simulator simulator(*module, target);
  RunStatistics run;
  EXPECT_TRUE(simulator.run({}, {.first = Phase::Step, .values = false}, &run).ok());
  const test::StepFloor floor = test::stepFloor(*module, target);
  const double seconds = static_cast<double>(run.cycles) / target.clock;
  std::printf("%s: %.2f ms, %.3f of its floor: products %.2f ms, elements %.2f ms, bytes %.2f ms\n",
              name, seconds * 1e3, seconds / floor.seconds(), floor.products * 1e3,
              floor.elements * 1e3, floor.transfers * 1e3);
  EXPECT_GE(seconds, floor.seconds());
  return seconds / floor.seconds();
}

class StepTime : public testing::Test {
protected:
  void SetUp() override {
    absl::StatusOr<Target> loaded = loadTarget("mobile");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    target = *std::move(loaded);
  }
  Target target;
};

TEST_F(StepTime, OfTheUnetIsNearItsFloor) {
  EXPECT_LE(ofFloor("w8a16", inPhases(unet(64, ElementType::I16)), target), 1.28);
  const Network narrow = fourBits(inPhases(unet(64, ElementType::I8)));
  EXPECT_LE(ofFloor("w4a8", narrow, target), 1.25);
  Network windows = narrow;
  useWinograd(windows, target);
  EXPECT_LE(ofFloor("w4a8, winograd", windows, target), 1.37);
}

// Both branches of classifier-free guidance at once: weights are read once for two pictures.
TEST_F(StepTime, OfTwoPicturesIsNearerItsFloor) {
  EXPECT_LE(ofFloor("two, w8a16", inPhases(unet(64, ElementType::I16, 2)), target), 1.26);
  const Network narrow = fourBits(inPhases(unet(64, ElementType::I8, 2)));
  EXPECT_LE(ofFloor("two, w4a8", narrow, target), 1.23);
  Network windows = narrow;
  useWinograd(windows, target);
  EXPECT_LE(ofFloor("two, w4a8, winograd", windows, target), 1.32);
}

// Each by itself, layers take as long as their bytes; with one tile of weights in an array, it
// fills and drains for a fifth of the time.
TEST_F(StepTime, IsLongerWithoutWhatBringsItThere) {
  const Network network = inPhases(unet(64, ElementType::I16));
  EXPECT_GT(ofFloor("apart", network, target, {.joins = false, .residents = false}), 1.5);
  target.array.weightTiles = 1;
  const double one = ofFloor("one tile of weights", network, target);
  EXPECT_GT(one, 1.4);
  EXPECT_LE(one, 1.53);
}

} // namespace
} // namespace sdopt
