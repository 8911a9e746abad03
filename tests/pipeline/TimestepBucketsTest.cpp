//===- TimestepBucketsTest.cpp - scales by timestep, all the way --------------===//

#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"

#include <fstream>

using namespace sdopt;
using namespace sdopt::test;
using testing::HasSubstr;

namespace {

/// The UNet on a few calls, verified.
class TimestepBuckets : public testing::Test {
protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    writeFewSamples(path("samples"), "unet", 7); // at 7 timesteps
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string path(const std::string &name) { return folder_->path(name); }

  static CompileOptions
  options(const std::string &place, const std::string &head,
          const std::string &settings = "activation_bits: 8, smooth: search") {
    CompileOptions options = optionsFor(path(place), {"unet"});
    options.samples = path("samples");
    options.verify = VerifyMode::Fast;
    options.recipe = path(place + ".yaml");
    std::ofstream(options.recipe) << "version: 1\nname: r\n"
                                  << head << "\nglobal: {" << settings << "}\n";
    return options;
  }

  static std::unique_ptr<Package> opened(const std::string &place) {
    auto package = Package::open(path(place + "/p.sdnpu"));
    EXPECT_TRUE(package.ok()) << package.status();
    return package.ok() ? *std::move(package) : nullptr;
  }

  static TemporaryFolder *folder_;
};

TemporaryFolder *TimestepBuckets::folder_ = nullptr;

TEST_F(TimestepBuckets, ShareTheWeights) {
  compiled(options("one", "timestep_buckets: 1"));
  compiled(options("four", "timestep_buckets: 4"));
  const auto one = opened("one"), four = opened("four");
  ASSERT_TRUE(one && four);
  const ModuleInfo &alone = one->modules()[0].info, &info = four->modules()[0].info;
  EXPECT_TRUE(alone.buckets.empty());
  ASSERT_EQ(info.buckets.size(), 3u);
  int64_t weights = 0, more = info.program.constantsBytes - alone.program.constantsBytes;
  for (const ConstantInfo &constant : info.network.constants)
    weights += constant.kind == ConstantKind::Weights ? constant.bytes : 0;
  EXPECT_GT(more, 0);
  EXPECT_LT(more, weights / 2);
  for (const ModuleInfo &bucket : info.buckets)
    EXPECT_EQ(bucket.program.commands.size(), info.program.commands.size());
}

TEST_F(TimestepBuckets, RestartsGiveTheSame) {
  const char *head = "timestep_buckets: 2";
  compiled(options("through", head));
  CompileOptions steps = options("steps", head);
  steps.recipe = path("through.yaml");
  steps.stageFolder = path("stages");
  for (Stage stage : {Stage::Quantize, Stage::Schedule}) {
    CompileOptions stopped = steps;
    stopped.stopAfter = stage;
    stopped.output.clear();
    stopped.reportFolder.clear();
    compiled(stopped);
    steps.startFrom = stage;
  }
  compiled(steps);
  expectSameOutputs(path("through"), path("steps"));
}

TEST_F(TimestepBuckets, WithOtherSwitches) {
  for (auto [head, settings] :
       {std::pair("hoist: false\nwinograd: false", "activation_bits: 16"),
        {"split_concats: false", "weight_bits: 4, rounding: gptq, weight_symmetric: false"},
        {"budget: 5bit", "activation_bits: 8"}}) {
    CompileOptions other = options("other", std::string("timestep_buckets: 4\n") + head, settings);
    other.steps = 4;
    compiled(other);
    const auto package = opened("other");
    ASSERT_TRUE(package);
    EXPECT_EQ(package->modules()[0].info.buckets.size(), 3u) << head;
  }
}

TEST_F(TimestepBuckets, HaveNoFormInExports) {
  CompileOptions exported = options("exported", "timestep_buckets: 2");
  exported.encodingsFolder = path("encodings");
  EXPECT_THAT(textOf(compile(exported, {}).status()),
              HasSubstr("--export-encodings has one scale for each value but recipe 'r' says "
                        "'timestep_buckets: 2'; leave one of them out"));
}

} // namespace
