// A package that has the schedule gives what one gives that runs its phase, and no other timestep.

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

constexpr std::array<double, 3> kTimesteps = {901, 451, 1};

class ScheduleTables : public testing::Test {
protected:
  void SetUp() override {
    path_ = std::filesystem::temp_directory_path() /
            ("sdopt-schedule-" + std::to_string(::getpid()) + ".sdnpu");
  }
  void TearDown() override { std::filesystem::remove(path_); }

  absl::StatusOr<std::unique_ptr<PackageWriter>> writer() const {
    auto writer = PackageWriter::create(path_);
    if (!writer.ok())
      return writer.status();
    const ModuleInfo &info = it->module.info;
    absl::Status status = (*writer)->addModule(info, [&](ConstantId id) {
      const auto next = static_cast<size_t>(id) + 1;
      const auto begin = it->constants.begin() + info.constantOffsets[id];
      const auto end = next < info.constantOffsets.size()
                           ? it->constants.begin() + info.constantOffsets[next]
                           : it->constants.end();
      return std::vector<std::byte>(begin, end);
    });
    if (!status.ok())
      return status;
    return writer;
  }

  /// A package with the schedule.
  std::unique_ptr<Package> baked() const {
    auto writer = this->writer();
    EXPECT_TRUE(writer.ok()) << writer.status();
    const auto module = (*writer)->readBack(it->module.info);
    EXPECT_TRUE(module.ok()) << module.status();
    const auto table = scheduleTable(*module, it->target, kTimesteps);
    EXPECT_TRUE(table.ok()) << table.status();
    EXPECT_TRUE((*writer)->addSchedule(table->timesteps, table->rows).ok());
    EXPECT_TRUE((*writer)->finish({}).ok());
    auto package = Package::open(path_);
    EXPECT_TRUE(package.ok()) << package.status();
    return *std::move(package);
  }

  std::unique_ptr<PhasedModule> it = PhasedModule::create();
  std::filesystem::path path_;
};

TEST_F(ScheduleTables, TakeNoFractionsForWholeTimesteps) {
  constexpr std::array<double, 2> kTimesteps = {999, 499.5};
  const auto table = scheduleTable(it->module, it->target, kTimesteps);
  EXPECT_THAT(std::string(table.status().message()),
              HasSubstr("input 'time' takes whole timesteps; the scheduler has 499.5"));
}

TEST_F(ScheduleTables, GiveTheBitsOfThePhase) {
  const std::unique_ptr<Package> package = baked();
  const PackageModule &module = package->modules()[0];
  EXPECT_EQ(module.info.scheduleTimesteps, (std::vector<int32_t>{901, 451, 1}));
  EXPECT_TRUE(package->checkDigest().ok());
  Simulator with(module, it->target), without(it->module, it->target);
  for (const uint32_t time : {451, 901, 1, 901}) {
    const auto inputs = it->inputs(5, time, time + 1);
    RunStatistics less, more;
    const auto found = with.run(inputs, {}, &less), expected = without.run(inputs, {}, &more);
    ASSERT_TRUE(found.ok() && expected.ok()) << found.status() << expected.status();
    EXPECT_TRUE(found->at(it->outputName()).sameBits(expected->at(it->outputName()))) << time;
    EXPECT_EQ(with.kept(Phase::Schedule), without.kept(Phase::Schedule));
    EXPECT_LT(less.multiplyAccumulates, more.multiplyAccumulates);
    EXPECT_LT(less.cycles, more.cycles);
  }
}

TEST_F(ScheduleTables, OtherTimestepsAreErrors) {
  const std::unique_ptr<Package> package = baked();
  Simulator simulator(package->modules()[0], it->target);
  const auto run = simulator.run(it->inputs(1, 450, 3));
  EXPECT_THAT(run.status().message(), HasSubstr("input 'time' is timestep 450"));
  EXPECT_THAT(run.status().message(), HasSubstr("none of the 3"));
  EXPECT_THAT(run.status().message(), HasSubstr("901 ... 1"));
  EXPECT_TRUE(simulator.run(it->inputs(1, 450, 3), {.runSchedule = true}).ok());
}

TEST_F(ScheduleTables, RowsAreChecked) {
  auto writer = this->writer();
  ASSERT_TRUE(writer.ok()) << writer.status();
  const auto size = static_cast<size_t>(scheduleRowBytes(it->module.info.network));
  const std::vector<std::byte> rows(2 * size);
  EXPECT_THAT((*writer)->addSchedule({4}, rows).message(), HasSubstr("of 1 timesteps takes"));
  EXPECT_THAT((*writer)->addSchedule({4, 4}, rows).message(), HasSubstr("two rows"));
  ModuleInfo other = it->module.info;
  other.network.name = "other";
  EXPECT_THAT((*writer)->readBack(other).status().message(), HasSubstr("not the one"));
}

} // namespace
} // namespace sdopt
