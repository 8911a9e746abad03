// SD 2.1 at 512x512 with every 3x3 convolution of stride 1 by F(2x2, 3x3).

#include "compiler/schedule/Plan.h"
#include "compiler/schedule/WinogradLayers.h"
#include "tests/schedule/StableDiffusion.h"

#include <gtest/gtest.h>

namespace sdopt {
namespace {

/// Every 3x3 convolution of stride 1.
Network byWinograd(Network network) {
  for (Layer &layer : network.layers)
    if (auto *matrix = std::get_if<MatrixLayer>(&layer.spec))
      matrix->winograd = winogradProblem(*matrix, network.constants[matrix->weights],
                                         network.tensors[layer.inputs[0]].dims[3])
                             .empty();
  return network;
}

// 27 % and 54 % of the multiplications go; more time stays, since short streams fill the array no
// better.
TEST(FullSize, WinogradTakesFewerMultiplications) {
  const absl::StatusOr<Target> target = loadTarget("mobile");
  ASSERT_TRUE(target.ok()) << target.status();
  for (const Network &network : {unet(64, ElementType::I8), vaeDecoder(64, ElementType::I8)}) {
    double macs[2] = {}, milliseconds[2] = {};
    for (bool winograd : {false, true}) {
      const Network way = winograd ? byWinograd(network) : network;
      const absl::StatusOr<Plan> plan = planNetwork(way, *target);
      ASSERT_TRUE(plan.ok()) << plan.status();
      EXPECT_EQ(checkPlan(way, *plan, *target), absl::OkStatus());
      for (size_t i = 0; i < way.layers.size(); ++i) {
        macs[winograd] += static_cast<double>(multiplyAccumulates(way, way.layers[i])) * 1e-9;
        const LayerCost &cost = plan->layers[i].cost;
        milliseconds[winograd] +=
            static_cast<double>(std::max(cost.computeCycles, cost.dramCycles)) / target->clock *
            1e3;
      }
    }
    std::printf("%s on mobile: %.0f -> %.0f GMAC, %.1f -> %.1f ms\n", network.name.c_str(), macs[0],
                macs[1], milliseconds[0], milliseconds[1]);
    const bool isUnet = network.name == "unet";
    EXPECT_NEAR(macs[1] / macs[0], isUnet ? 292.0 / 402 : 580.0 / 1257, 0.02);
    EXPECT_LT(milliseconds[1], milliseconds[0]);
  }
}

} // namespace
} // namespace sdopt
