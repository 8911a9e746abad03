// Zeros that a form tells are not multiplied: rows, tiles and products by hand and at random.

#include "compiler/simulator/StreamFacts.h"
#include "compiler/simulator/CommandTiming.h"

#include <gtest/gtest.h>

#include <random>

namespace sdopt {
namespace {

ArrayTarget smallArray() {
  return {
      .count = 2, .rows = 4, .columns = 2, .a16w8Rate = 0.5, .a16a16Rate = 0.25, .sparseWindow = 4};
}

/// Three outputs, one tap, eight inputs.
TEST(StreamFacts, TheFullestColumnOfAWindowDecides) {
  const std::vector<int8_t> weights = {1, 0, 0, 2, 0, 0, 0, 0, //
                                       0, 3, 0, 0, 0, 4, 0, 0, //
                                       0, 0, 0, 0, 5, 6, 7, 8};
  const StreamFacts facts =
      sparseFacts({.outputs = 3, .taps = 1, .inputs = 8}, weights, smallArray());
  EXPECT_EQ(facts.nonzeros, 8);
  // Outputs 0 and 1 take max(2, 1) + max(0, 1) rows, output 2 takes 0 + 4.
  EXPECT_EQ(facts.rows, 3 + 4);
  EXPECT_EQ(facts.tiles, (std::vector<int64_t>{1, 1}));
}

TEST(StreamFacts, DenseWeightsCostWhatTheyAlwaysDid) {
  std::mt19937 random(2);
  for (int trial = 0; trial < 50; ++trial) {
    const WeightExtent block{.outputs = 1 + static_cast<int64_t>(random() % 9),
                             .taps = 1 + static_cast<int64_t>(random() % 4),
                             .inputs = 1 + static_cast<int64_t>(random() % 30)};
    const std::vector<int8_t> weights(block.weights(), 1);
    Target target = *loadTarget("mobile");
    target.array = smallArray();
    const StreamFacts facts = sparseFacts(block, weights, target.array);
    CommandTiming timing(target, 0);
    Command command;
    command.queue = Queue::Array;
    ConvCommand conv;
    conv.tile = {.inputHeight = 1,
                 .inputWidth = 5,
                 .inputChannels = block.inputs,
                 .outputHeight = 1,
                 .outputWidth = 5,
                 .outputChannels = block.outputs,
                 .kernelHeight = 1,
                 .kernelWidth = block.taps};
    command.args = conv;
    const CommandCost plain = timing.cost(command), sparse = timing.cost(command, {}, &facts);
    EXPECT_EQ(plain.cycles, sparse.cycles);
    EXPECT_EQ(plain.multiplyAccumulates, sparse.multiplyAccumulates);
    EXPECT_EQ(sparse.skippedMultiplies, 0);
    EXPECT_DOUBLE_EQ(plain.energy, sparse.energy);
  }
}

/// Half of the weights in every window: half of the rows, products and tiles.
TEST(StreamFacts, TwoOfFourTakesHalf) {
  Target target = *loadTarget("mobile");
  target.array.weightTiles = 1; // with two, the last fill is not hidden and not halved
  const WeightExtent block{.outputs = 128, .taps = 9, .inputs = 256};
  std::vector<int8_t> weights(block.weights());
  for (size_t i = 0; i < weights.size(); ++i)
    weights[i] = i % 4 < 2 ? 1 : 0;
  const StreamFacts facts = sparseFacts(block, weights, target.array);
  EXPECT_EQ(facts.nonzeros * 2, block.weights());
  EXPECT_EQ(facts.tiles, (std::vector<int64_t>{2 * 9, 2 * 9}));
  CommandTiming timing(target, 0);
  Command command;
  command.queue = Queue::Array;
  ConvCommand conv;
  conv.tile = {.inputHeight = 66,
               .inputWidth = 66,
               .inputChannels = 256,
               .outputHeight = 64,
               .outputWidth = 64,
               .outputChannels = 128,
               .kernelHeight = 3,
               .kernelWidth = 3};
  command.args = conv;
  const CommandCost plain = timing.cost(command), sparse = timing.cost(command, {}, &facts);
  EXPECT_EQ(2 * sparse.cycles, plain.cycles);
  EXPECT_EQ(2 * sparse.multiplyAccumulates, plain.multiplyAccumulates);
  EXPECT_EQ(sparse.skippedMultiplies, sparse.multiplyAccumulates);
  EXPECT_LT(sparse.energy, 0.6 * plain.energy);
  EXPECT_GE(static_cast<double>(sparse.cycles), sparse.minimumCycles);
}

} // namespace
} // namespace sdopt
