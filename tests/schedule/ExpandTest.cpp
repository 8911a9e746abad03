// Programs of random layers under random tilings: the validators accept them, and they move the
// bytes that the traffic model counts.

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/SramLayout.h"
#include "compiler/schedule/TileSearch.h"
#include "compiler/schedule/TrafficModel.h"
#include "tests/schedule/LayerZoo.h"

#include <gtest/gtest.h>

namespace sdopt {
namespace {

struct Moved {
  int64_t read = 0, written = 0;
};

Moved movedBytes(const Program &program) {
  Moved moved;
  for (const Command &command : program.commands) {
    if (const auto *load = std::get_if<DmaLoad>(&command.args))
      moved.read += load->shape.bytes();
    if (const auto *weights = std::get_if<DmaWeights>(&command.args))
      moved.read += weights->bytes;
    if (const auto *gather = std::get_if<DmaGather>(&command.args))
      moved.read += gather->rows * gather->rowBytes;
    if (const auto *store = std::get_if<DmaStore>(&command.args))
      moved.written += store->shape.bytes();
  }
  return moved;
}

/// Expands and runs every validator.
void expectSound(const Network &network, const Plan &plan, const Target &target) {
  int64_t constantsBytes = 0;
  const std::vector<int64_t> offsets = constantOffsets(network, plan, constantsBytes);
  const absl::StatusOr<Program> program = expand(network, plan, target, offsets, constantsBytes);
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_LE(program->sramBytes, target.sram.bytes);
  EXPECT_EQ(checkPlan(network, plan, target), absl::OkStatus());
  EXPECT_EQ(checkProgram(*program, target.sram.bytes), absl::OkStatus());
  EXPECT_EQ(checkDataflow(network, plan, *program, offsets), absl::OkStatus());
  const Moved moved = movedBytes(*program);
  int64_t read = 0, written = 0;
  for (const LayerPlan &layer : plan.layers) {
    read += layer.cost.dramReadBytes;
    written += layer.cost.dramWriteBytes;
  }
  EXPECT_EQ(moved.read, read);
  EXPECT_EQ(moved.written, written);
}

std::string show(const Network &network, const Plan &plan) {
  const auto &t = plan.layers[0].tiling;
  std::string text = kindName(network.layers[0]);
  for (const TensorInfo &tensor : network.tensors) {
    text += " " + std::to_string(byteWidth(tensor.type)) + ":";
    for (int64_t dim : tensor.dims)
      text += std::to_string(dim) + "x";
  }
  for (int64_t value : {static_cast<int64_t>(t.order), t.height, t.width, t.outputChannels,
                        t.inputChannels, t.buffers})
    text += " " + std::to_string(value);
  return text;
}

class EveryKind : public testing::TestWithParam<int> {};

TEST_P(EveryKind, SearchedTilingsOfTinySramAreSound) {
  std::mt19937 random(GetParam());
  int planned = 0;
  for (int round = 0; round < 60; ++round) {
    const Network network = randomLayer(GetParam(), random);
    const Target target = smallTarget(int64_t{2048} << (round % 5));
    const absl::StatusOr<Plan> plan = planNetwork(network, target);
    if (!plan.ok()) {
      EXPECT_EQ(plan.status().code(), absl::StatusCode::kResourceExhausted) << plan.status();
      continue;
    }
    ++planned;
    SCOPED_TRACE(show(network, *plan));
    ASSERT_NO_FATAL_FAILURE(expectSound(network, *plan, target));
    for (LoopOrder order :
         {LoopOrder::InputResident, LoopOrder::WeightResident, LoopOrder::OutputStationary}) {
      const LayerShape shape = shapeOf(network, network.layers[0]);
      const TileChoice choice = searchTiles(shape, target, {.order = order});
      if (!choice.plan)
        continue;
      Plan other = *plan;
      other.layers[0] = *choice.plan;
      SCOPED_TRACE(show(network, other));
      ASSERT_NO_FATAL_FAILURE(expectSound(network, other, target));
    }
    if (HasFailure())
      return;
  }
  EXPECT_GT(planned, 20);
}

TEST_P(EveryKind, RandomTilingsAreSound) {
  std::mt19937 random(100 + GetParam());
  const Target target = smallTarget(1 << 20);
  for (int round = 0; round < 60; ++round) {
    const Network network = randomLayer(GetParam(), random);
    absl::StatusOr<Plan> plan = planNetwork(network, target);
    ASSERT_TRUE(plan.ok()) << plan.status();
    Tiling &t = plan->layers[0].tiling;
    const auto &y = network.tensors[network.layers[0].output].dims;
    const auto &inputs = network.layers[0].inputs;
    const auto &x = network.tensors[inputs.empty() ? network.layers[0].output : inputs[0]].dims;
    const auto upTo = [&](int64_t size) { return 1 + static_cast<int64_t>(random() % size); };
    t.order = static_cast<LoopOrder>(random() % 3);
    t.buffers = upTo(4);
    t.height = upTo(y[1]);
    t.width = upTo(y[2]);
    t.outputChannels = upTo(y[3]);
    t.inputChannels = upTo(x[3]);
    const LayerShape shape = shapeOf(network, network.layers[0]);
    if (std::holds_alternative<MatrixShape>(shape)) {
      t.buffers += random() % 2 * kHaloKept;
      if (random() % 4 == 0)
        t.height = y[1] * upTo(y[0]);
      if (random() % 2 == 0)
        t.inputChannels = x[3];
    }
    if (const auto *norm = std::get_if<GroupNormShape>(&shape)) {
      t.outputChannels = norm->channelsPerGroup * upTo(norm->channels / norm->channelsPerGroup);
      t.height = upTo(norm->rows);
    }
    if (const auto *rows = std::get_if<RowsShape>(&shape)) {
      t.height = upTo(rows->rows);
      if (!rows->cutChannels)
        t.outputChannels = rows->channels;
    }
    if (const auto *attention = std::get_if<AttentionShape>(&shape)) {
      t.height = upTo(attention->queries);
      t.width = upTo(attention->keys);
    }
    if (const auto *upsample = std::get_if<UpsampleShape>(&shape)) {
      t.height = upTo(upsample->height);
      t.width = upTo(upsample->width);
    }
    fitForm(network, network.layers[0], t);
    const int64_t bound = plan->layers[0].cost.lowerBoundBytes;
    plan->layers[0].cost = estimate(shape, t, target).cost;
    plan->layers[0].cost.lowerBoundBytes = bound;
    SCOPED_TRACE(show(network, *plan));
    ASSERT_NO_FATAL_FAILURE(expectSound(network, *plan, target));
    if (HasFailure())
      return;
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryKind, testing::Range(0, kZooKinds));

} // namespace
} // namespace sdopt
