// Costs of single commands, counted twice.

#include "compiler/figures/UnitRecount.h"
#include "compiler/simulator/CommandTiming.h"
#include "tests/package/SampleModule.h"
#include "tests/simulator/TestTarget.h"

#include <gtest/gtest.h>

namespace sdopt {
namespace {

// Both are written from docs/isa.md.
TEST(UnitRecount, CountsConvolutionsOfEveryForm) {
  std::mt19937 random(3);
  constexpr size_t kConvolution = 3;
  std::array<int, 3> forms = {};
  for (int round = 0; round < 600; ++round) {
    Target target = test::testTarget();
    target.array.count = 1 + round % 3;
    target.array.weightTiles = 1 + round % 2;
    Command command;
    command.queue = Queue::Array;
    command.args = test::randomArgs(kConvolution, random);
    const auto &conv = std::get<ConvCommand>(command.args);
    ++forms[static_cast<size_t>(conv.winograd)];
    const CommandCost cost = CommandTiming(target, 0).cost(command);
    const CommandRecount again = UnitRecount(target, 0).cost(command, nullptr);
    EXPECT_EQ(cost.cycles, again.cycles);
    EXPECT_EQ(cost.multiplyAccumulates, again.macs);
    EXPECT_EQ(cost.skippedMultiplies, again.skipped);
    EXPECT_NEAR(cost.energy, again.energy, 1e-9 * cost.energy);
  }
  for (int count : forms)
    EXPECT_GT(count, 100);
}

} // namespace
} // namespace sdopt
