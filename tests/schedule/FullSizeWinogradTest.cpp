// SD 2.1 at 512x512 with its 3x3 convolutions of stride 1 by F(2x2, 3x3).

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"
#include "tests/schedule/StableDiffusion.h"

#include <gtest/gtest.h>

namespace sdopt {
namespace {

double multiplications(const Network &network) {
  double sum = 0;
  for (const Layer &layer : network.layers)
    sum += static_cast<double>(multiplyAccumulates(network, layer)) * 1e-9;
  return sum;
}

double milliseconds(const Plan &plan, const Target &target) {
  double sum = 0;
  for (const LayerPlan &layer : plan.layers)
    sum += static_cast<double>(std::max(layer.cost.computeCycles, layer.cost.dramCycles)) /
           target.clock * 1e3;
  return sum;
}

// 27 % of the UNet's multiplications go and 54 % of the decoder's. Less of their time does: short
// streams do not fill the arrays any better, and layers of 8x8 and 16x16 wait for their weights.
// Windows of 8x8 would only keep the arrays busy for longer.
TEST(FullSizeWinograd, TakesFewerMultiplicationsAndLessTime) {
  const absl::StatusOr<Target> target = loadTarget("mobile");
  ASSERT_TRUE(target.ok()) << target.status();
  for (const Network &direct : {unet(64, ElementType::I8), vaeDecoder(64, ElementType::I8)}) {
    Network all = direct, paying = direct;
    useWinograd(all, *target, false);
    const Windows windows = useWinograd(paying, *target);
    const bool isUnet = direct.name == "unet";
    EXPECT_NEAR(multiplications(all) / multiplications(direct), isUnet ? 292.0 / 402 : 580.0 / 1257,
                0.02);
    EXPECT_LT(multiplications(paying), multiplications(direct));
    double times[3] = {};
    for (int way = 0; way < 3; ++way) {
      const Network &network = way == 0 ? direct : way == 1 ? all : paying;
      const absl::StatusOr<Plan> plan = planNetwork(network, *target);
      ASSERT_TRUE(plan.ok()) << plan.status();
      if (way == 2) {
        EXPECT_EQ(checkPlan(network, *plan, *target), absl::OkStatus());
      }
      times[way] = milliseconds(*plan, *target);
    }
    std::printf("%s on mobile: %.0f GMAC in %.1f ms; all %d windows %.0f in %.1f; %d that pay %.0f "
                "in %.1f\n",
                direct.name.c_str(), multiplications(direct), times[0], windows.all,
                multiplications(all), times[1], windows.paying, multiplications(paying), times[2]);
    EXPECT_LT(times[2], times[0]);
    EXPECT_LE(times[2], 1.001 * times[1]); // what pays is asked of layers by themselves
  }
}

} // namespace
} // namespace sdopt
