// Programs by timestep: the right one runs, and a package keeps them and refuses what does not fit.

#include "compiler/package/FileLayout.h"
#include "compiler/simulator/ScheduleTable.h"
#include "compiler/simulator/Simulator.h"
#include "tests/simulator/PhasedModule.h"

#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace sdopt {
namespace {

using test::PhasedModule;
using testing::HasSubstr;

class Buckets : public testing::Test {
protected:
  void TearDown() override { std::filesystem::remove(path_); }

  Tensor output(Simulator &simulator, uint32_t time, const SimulatorOptions &options = {}) {
    const auto outputs = simulator.run(it->inputs(1, time, 2), options);
    EXPECT_TRUE(outputs.ok()) << outputs.status();
    return outputs.ok() ? outputs->at(it->outputName()) : Tensor();
  }

  /// Of one bucket's program, whatever the timestep says.
  Tensor alone(size_t bucket, uint32_t time) {
    const PackageModule module = bucketModule(it->module, bucket);
    Simulator simulator(module, it->target);
    return output(simulator, time);
  }

  absl::StatusOr<std::unique_ptr<PackageWriter>> written(const ModuleInfo &info) {
    auto writer = PackageWriter::create(path_);
    if (!writer.ok())
      return writer;
    const absl::Status status = (*writer)->addModule(info, [&](ConstantId id) {
      const auto from = it->constants.begin() + info.constantOffsets[id];
      return std::vector<std::byte>(from, from + packedBytes(info.network, info.plan, id));
    });
    return status.ok() ? std::move(writer) : status;
  }
  std::string refusal(const std::function<void(ModuleInfo &)> &change) {
    ModuleInfo info = it->module.info;
    change(info);
    const auto writer = written(info);
    EXPECT_FALSE(writer.ok());
    return std::string(writer.status().message());
  }

  std::unique_ptr<PhasedModule> it = PhasedModule::create({10, 500});
  std::string path_ =
      std::filesystem::temp_directory_path() / ("sdopt-buckets-" + std::to_string(::getpid()));
};

TEST_F(Buckets, TheTimestepChoosesTheProgram) {
  Simulator simulator(it->module, it->target);
  for (auto [time, bucket] :
       {std::pair<uint32_t, size_t>{1, 0}, {500, 2}, {9, 0}, {10, 1}, {499, 1}, {901, 2}, {1, 0}})
    for (bool wholeLayers : {false, true})
      EXPECT_TRUE(
          output(simulator, time, {.wholeLayers = wholeLayers}).sameBits(alone(bucket, time)))
          << time;
  EXPECT_FALSE(alone(0, 10).sameBits(alone(1, 10)));
  EXPECT_FALSE(alone(1, 10).sameBits(alone(2, 10)));
}

TEST_F(Buckets, PhasesOfAllUseOneMemory) {
  Simulator simulator(it->module, it->target);
  const Tensor expected = output(simulator, 700);
  output(simulator, 3); // leaves the prompt's results
  auto inputs = it->inputs(1, 700, 2);
  inputs.erase("text");
  const auto found = simulator.run(inputs, {.first = Phase::Schedule});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(found->at(it->outputName()).sameBits(expected));
  inputs.erase("time");
  EXPECT_THAT(simulator.run(inputs, {.first = Phase::Step}).status().message(),
              HasSubstr("module 'denoiser': input 'time' is missing"));
}

TEST_F(Buckets, APackageKeepsThem) {
  auto writer = written(it->module.info);
  ASSERT_TRUE(writer.ok()) << writer.status();
  const auto unfinished = (*writer)->readBack(it->module.info);
  ASSERT_TRUE(unfinished.ok()) << unfinished.status();
  const auto table = scheduleTable(*unfinished, it->target, std::array<double, 3>{901, 20, 1});
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_TRUE((*writer)->addSchedule(table->timesteps, table->rows).ok());
  ASSERT_TRUE((*writer)->finish({}).ok());
  const auto package = Package::open(path_);
  ASSERT_TRUE(package.ok()) << package.status();
  EXPECT_TRUE((*package)->checkDigest().ok());
  EXPECT_EQ((*package)->layout().header.minor, 1);
  const PackageModule &module = (*package)->modules()[0];
  ASSERT_EQ(module.info.buckets.size(), 2u);
  EXPECT_EQ(module.info.buckets[1].firstTimestep, 500);
  EXPECT_THAT(describePackage(**package), HasSubstr("bucket   from timestep 500: "));
  EXPECT_THAT(describePackage(**package), HasSubstr("bucket        2 "));
  Simulator simulator(module, it->target), before(it->module, it->target);
  for (uint32_t time : {901, 20, 1, 901})
    EXPECT_TRUE(output(simulator, time).sameBits(output(before, time))) << time;
}

TEST_F(Buckets, ThatDoNotFitAreRefused) {
  EXPECT_THAT(refusal([](ModuleInfo &info) { info.buckets[1].firstTimestep = 10; }),
              HasSubstr("bucket 1 of timesteps does not begin above the one before it"));
  EXPECT_THAT(refusal([](ModuleInfo &info) { info.buckets[0].network.tensors[2].scale = 2; }),
              HasSubstr("bucket 0 of timesteps has codes of its own for '"));
  EXPECT_THAT(refusal([](ModuleInfo &info) { ++info.buckets[1].program.commands[0].signals[3]; }),
              HasSubstr("bucket 1 of timesteps has a prompt phase of its own"));
  for (auto change : {+[](ModuleInfo &bucket) { bucket.network.layers.pop_back(); },
                      +[](ModuleInfo &bucket) { bucket.network.tensors[4].dims[1] = 2; },
                      +[](ModuleInfo &bucket) { bucket.program.sramBytes += 64; },
                      +[](ModuleInfo &bucket) { bucket.buckets.emplace_back(); }})
    EXPECT_THAT(refusal([&](ModuleInfo &info) { change(info.buckets[0]); }),
                HasSubstr("bucket 0 of timesteps has tensors, layers or places of its own"));
  EXPECT_THAT(refusal([](ModuleInfo &info) {
                auto &layers = info.buckets[1].network.layers;
                std::get<MatrixLayer>(layers[0].spec).params = 1000;
              }),
              HasSubstr("bucket 1 of timesteps layer 0 '"));
  EXPECT_THAT(refusal([](ModuleInfo &info) {
                for (TensorInfo &tensor : info.network.tensors)
                  if (tensor.type == ElementType::I32)
                    tensor.logicalShape = {1, 1};
              }),
              HasSubstr("has buckets of timesteps but no input that says one"));
}

} // namespace
} // namespace sdopt
