// SD 2.1 at 512x512: every layer plans on every preset, traffic stays near the published
// references, programs are sound.

#include "compiler/schedule/TileSearch.h"
#include "tests/schedule/LayerZoo.h"
#include "tests/schedule/StableDiffusion.h"

#include <chrono>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

namespace sdopt {
namespace {

/// MB moved by the layers that the references of the traffic bound count: matrices and attention.
double matrixTraffic(const Network &network, const Plan &plan,
                     std::map<std::string, double> &byKind) {
  double total = 0;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const LayerCost &cost = plan.layers[i].cost;
    const double mb = static_cast<double>(cost.dramReadBytes + cost.dramWriteBytes) * 1e-6;
    byKind[kindName(network.layers[i])] += mb;
    if (std::holds_alternative<MatrixLayer>(network.layers[i].spec) ||
        std::holds_alternative<AttentionLayer>(network.layers[i].spec))
      total += mb;
  }
  return total;
}

Target sized(int64_t sram) {
  Target target = smallTarget(sram);
  target.dram.bytes = int64_t{8} << 30;
  return target;
}

TEST(FullSize, UnetHasTheMultiplicationsOfTheModel) {
  const Network network = unet(64, ElementType::I8);
  int64_t macs = 0;
  for (const Layer &layer : network.layers)
    macs += multiplyAccumulates(network, layer);
  // 402 GMAC per call.
  EXPECT_NEAR(static_cast<double>(macs) * 1e-9, 402, 8);
}

TEST(FullSize, TrafficIsNearTheReferences) {
  struct Case {
    int64_t kib;
    double unetReference, unetBest, vaeReference;
  };
  for (const Case &c : {Case{512, 1569, 1788, 2438}, Case{4096, 1382, 1383, 1300}}) {
    const Target target = sized(c.kib * 1024);
    for (const Network &network : {unet(64, ElementType::I8), vaeDecoder(64, ElementType::I8)}) {
      const auto begin = std::chrono::steady_clock::now();
      const absl::StatusOr<Plan> plan = planNetwork(network, target, {.residents = false});
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
      ASSERT_TRUE(plan.ok()) << plan.status();
      std::map<std::string, double> byKind;
      const double traffic = matrixTraffic(network, *plan, byKind);
      const bool isUnet = network.name == "unet";
      const double reference = isUnet ? c.unetReference : c.vaeReference;
      std::printf("%s %ld KiB: %.0f MB, reference %.0f (%.2fx), planned in %.2f s, arena %.1f MB "
                  "(bound %.1f)\n",
                  network.name.c_str(), static_cast<long>(c.kib), traffic, reference,
                  traffic / reference, seconds.count(),
                  static_cast<double>(plan->arenaBytes) * 1e-6,
                  static_cast<double>(plan->arenaLowerBound) * 1e-6);
      for (const auto &[kind, mb] : byKind)
        std::printf("  %s %.0f", kind.c_str(), mb);
      std::printf("\n");
      // At 512 KiB the VAE is bound by multiplications and the search spends bytes to save fill.
      EXPECT_LE(traffic / reference, c.kib > 512 ? 1.25 : isUnet ? 1.55 : 2.5);
      EXPECT_EQ(plan->arenaBytes, plan->arenaLowerBound);
    }
  }
}

// Of what a schedule with partial sums of 4 bytes moves (docs/traffic.md).
TEST(FullSize, LeastTrafficIsWithinItsBars) {
  struct Case {
    int64_t kib;
    double unet, unetBar, vae, vaeBar;
  };
  for (const Case &c : {Case{512, 1569, 1.14, 2438, 1.05}, Case{1024, 1409, 1.08, 1836, 1.15},
                        Case{2048, 1383, 1.08, 1450, 1.15}, Case{4096, 1382, 1.08, 1300, 1.15}})
    for (const Network &network : {unet(64, ElementType::I8), vaeDecoder(64, ElementType::I8)}) {
      const absl::StatusOr<Plan> plan =
          planNetwork(network, sized(c.kib * 1024),
                      {.objective = Objective::Traffic, .leastBuffers = 2, .residents = false});
      ASSERT_TRUE(plan.ok()) << plan.status();
      std::map<std::string, double> byKind;
      const bool isUnet = network.name == "unet";
      EXPECT_LE(matrixTraffic(network, *plan, byKind) / (isUnet ? c.unet : c.vae),
                isUnet ? c.unetBar : c.vaeBar)
          << network.name << " " << c.kib;
      for (const LayerPlan &layer : plan->layers)
        EXPECT_GE(layer.cost.dramReadBytes + layer.cost.dramWriteBytes, layer.cost.lowerBoundBytes);
    }
}

TEST(FullSize, EveryPresetPlansAndExpands) {
  for (const std::string &preset : targetPresets()) {
    const absl::StatusOr<Target> target = loadTarget(preset);
    ASSERT_TRUE(target.ok()) << target.status();
    for (const Network &network : {unet(64, ElementType::I16), vaeDecoder(64, ElementType::I16)}) {
      auto now = [] { return std::chrono::steady_clock::now(); };
      const auto begin = now();
      const absl::StatusOr<Plan> plan = planNetwork(network, *target);
      ASSERT_TRUE(plan.ok()) << preset << ": " << plan.status();
      EXPECT_EQ(plan->arenaBytes, plan->arenaLowerBound);
      if (preset == "mobile")
        continue; // between the other two
      const auto planned = now();
      int64_t total = 0;
      const std::vector<int64_t> offsets = constantOffsets(network, *plan, total);
      const absl::StatusOr<Program> program = expand(network, *plan, *target, offsets, total);
      ASSERT_TRUE(program.ok()) << program.status();
      const auto expanded = now();
      EXPECT_EQ(checkPlan(network, *plan, *target), absl::OkStatus());
      EXPECT_EQ(checkProgram(*program, target->sram.bytes), absl::OkStatus());
      const auto checked = now();
      EXPECT_EQ(checkDataflow(network, *plan, *program, offsets), absl::OkStatus());
      const auto followed = now();
      int64_t compute = 0, dram = 0, cycles = 0;
      for (const LayerPlan &layer : plan->layers) {
        compute += layer.cost.computeCycles;
        dram += layer.cost.dramCycles;
        cycles += std::max(layer.cost.computeCycles, layer.cost.dramCycles);
      }
      const auto s = [](auto d) { return std::chrono::duration<double>(d).count(); };
      std::printf("%s %s: %zu commands, plan %.2f s, expand %.2f s, checks %.2f + %.2f s; compute "
                  "%.1f ms, dram %.1f ms, both %.1f ms\n",
                  preset.c_str(), network.name.c_str(), program->commands.size(),
                  s(planned - begin), s(expanded - planned), s(checked - expanded),
                  s(followed - checked), static_cast<double>(compute) / target->clock * 1e3,
                  static_cast<double>(dram) / target->clock * 1e3,
                  static_cast<double>(cycles) / target->clock * 1e3);
    }
  }
}

double movedBytes(const Network &network, const Target &target, const SearchOptions &options) {
  const absl::StatusOr<Plan> plan = planNetwork(network, target, options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  double sum = 0;
  for (const LayerPlan &layer : plan->layers)
    sum += static_cast<double>(layer.cost.dramReadBytes + layer.cost.dramWriteBytes);
  return sum;
}

// With layers in the tiles of others, at most 0.80 of the bytes of layers by themselves. Results
// that stay in SRAM save more where whole pictures fit there.
TEST(FullSize, FusedLayersMoveFewerBytes) {
  const absl::StatusOr<Target> target = loadTarget("mobile");
  ASSERT_TRUE(target.ok());
  for (ElementType type : {ElementType::I8, ElementType::I16})
    for (const Network &network : {unet(64, type), vaeDecoder(64, type)}) {
      const double apart = movedBytes(network, *target, {.joins = false, .residents = false});
      const double joined = movedBytes(network, *target, {.residents = false});
      const double all = movedBytes(network, *target, {});
      std::printf("%s: %.3f of the bytes joined, %.3f with residents\n", network.name.c_str(),
                  joined / apart, all / apart);
      EXPECT_LE(joined / apart, 0.80);
      const bool isUnet = network.name == "unet";
      EXPECT_LE(all / apart, !isUnet ? 0.75 : type == ElementType::I8 ? 0.71 : 0.69);
    }
}

// The live bytes of the UNet's activations in DRAM at 8 bits, and no more.
TEST(FullSize, ResidentsTakeNoPlaceInDram) {
  const absl::StatusOr<Target> target = loadTarget("mobile");
  ASSERT_TRUE(target.ok());
  const absl::StatusOr<Plan> plan = planNetwork(unet(64, ElementType::I8), *target);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->arenaBytes, plan->arenaLowerBound);
  EXPECT_LE(plan->arenaBytes, 12'000'000);
}

} // namespace
} // namespace sdopt
