// Costs of a sweep against those of packages that are compiled for each of its targets.

#include "compiler/pipeline/Sweep.h"

#include "compiler/report/Sweep.h"
#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

using namespace sdopt;
using namespace sdopt::test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

namespace {

constexpr double kKiB = 1024;

TEST(Sweep, RangesDoubleAndListsAreTakenAsTheyAre) {
  EXPECT_THAT(parseSweep("sram=512KiB..4MiB")->values,
              ElementsAre(512 * kKiB, 1024 * kKiB, 2048 * kKiB, 4096 * kKiB));
  EXPECT_THAT(parseSweep("sram=1MiB..1MiB")->values, ElementsAre(1024 * kKiB));
  EXPECT_THAT(parseSweep("sram=512KiB,3MiB")->values, ElementsAre(512 * kKiB, 3072 * kKiB));
  EXPECT_THAT(parseSweep("dram_bandwidth=12.8GB/s..51.2GB/s")->values,
              ElementsAre(12.8e9, 25.6e9, 51.2e9));
  EXPECT_THAT(parseSweep("arrays=1..4")->values, ElementsAre(1, 2, 4));
  EXPECT_EQ(parseSweep("lanes=64")->field, SweepField::Lanes);
}

TEST(Sweep, ErrorsQuoteTheTextAndSayWhatIsNeeded) {
  const std::pair<const char *, const char *> cases[] = {
      {"", "needed: NAME=FROM..TO or NAME=VALUE,VALUE"},
      {"sram", "with NAME one of sram, dram, dram_bandwidth, arrays, lanes"},
      {"banks=2..4", "with NAME one of sram"},
      {"sram=", "'' is no size"},
      {"sram=3", "'3' is no size"},
      {"sram=1MiB,", "'' is no size"},
      {"sram=1MiB..512KiB", "the range ends before it begins"},
      {"sram=512KiB..3MiB", "doubling 512 KiB does not lead to 3 MiB; give the values one by one"},
      {"sram=1B..1GiB", "has more than 16 values"},
      {"sram=2MiB,1MiB", "values must ascend; 1 MiB comes after 2 MiB"},
      {"sram=1MiB,1MiB", "values must ascend"},
      {"sram=1MiB..2MiB..4MiB", "is no size"},
      {"dram_bandwidth=12", "'12' is no bandwidth; needed: as in 51.2GB/s"},
      {"arrays=0..2", "'0' is no whole number from 1 to 1000000"},
      {"lanes=1.5", "'1.5' is no whole number"}};
  for (const auto &[text, message] : cases) {
    const absl::StatusOr<Sweep> sweep = parseSweep(text);
    ASSERT_FALSE(sweep.ok()) << text;
    EXPECT_THAT(textOf(sweep.status()), HasSubstr("--sweep " + std::string(text)));
    EXPECT_THAT(textOf(sweep.status()), HasSubstr(message));
  }
}

TEST(Sweep, ValuesThatNoTargetFileMayHaveAreErrors) {
  const Target mobile = *loadTarget("mobile");
  EXPECT_THAT(textOf(targetWith(mobile, SweepField::Sram, 1000).status()),
              HasSubstr("--sweep sram=1000 B"));
  EXPECT_EQ(targetWith(mobile, SweepField::Sram, 1 << 20)->sram.bytes, 1 << 20);
}

CompileOptions sweeping(const TemporaryFolder &folder, const std::string &sweep) {
  CompileOptions options = optionsFor(folder.path("out"), {"text_encoder"});
  options.output.clear();
  options.sweep = sweep;
  return options;
}

TEST(Sweep, CostsAreThoseOfPackages) {
  // Of the latter, streams take what their weights need, and zeros are skipped.
  for (const char *storage : {"plain", "entropy", "bitmap"}) {
    TemporaryFolder folder;
    CompileOptions options = sweeping(folder, "sram=128KiB..256KiB");
    const std::string recipe = folder.path("recipe.yaml");
    std::ofstream(recipe) << "version: 1\nname: " << storage
                          << "\nglobal: {weight_bits: 8, storage: " << storage << "}\n";
    options.recipe = recipe;
    const SweepReport sweep = compiled(options).sweep;
    ASSERT_EQ(sweep.points_size(), 2);
    for (const SweepPoint &point : sweep.points()) {
      CompileOptions whole = optionsFor(folder.path(point.value()), {"text_encoder"});
      whole.recipe = recipe;
      whole.target = folder.path(point.value() + ".yaml");
      std::ofstream(whole.target) << canonicalText(
          *targetWith(*loadTarget("mobile"), SweepField::Sram, point.number()));
      const ModuleReport module = compiled(whole).report.modules(0);
      const SweepModule &cost = point.modules(0);
      EXPECT_EQ(cost.problem(), "");
      EXPECT_EQ(cost.cycles(), module.cycles()) << storage << " " << point.value();
      EXPECT_EQ(cost.dram_bytes(), module.dram_read_bytes() + module.dram_write_bytes());
      EXPECT_EQ(cost.sram_peak_bytes(), module.sram_peak_bytes());
      EXPECT_EQ(cost.energy(), module.energy());
      EXPECT_LE(cost.floor_seconds(), cost.seconds());
      EXPECT_GT(cost.floor_seconds(), 0);
    }
  }
}

TEST(Sweep, WritesTableJsonAndPictureWhateverTheThreads) {
  TemporaryFolder folder, other;
  const SweepReport sweep = compiled(sweeping(folder, "sram=64KiB,128KiB")).sweep;
  CompileOptions options = sweeping(other, "sram=64KiB,128KiB");
  options.threads = 1;
  compiled(options);
  for (const char *file : {"out/report/sweep.json", "out/report/sweep.svg"})
    EXPECT_EQ(bytesOf(folder.path(file)), bytesOf(other.path(file))) << file;
  EXPECT_FALSE(std::filesystem::exists(folder.path("out/p.sdnpu")));
  EXPECT_THAT(sweepTable(sweep), HasSubstr("128 KiB       text_encoder"));
  const std::string svg = bytesOf(folder.path("out/report/sweep.svg"));
  EXPECT_TRUE(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_THAT(svg, HasSubstr("text_encoder with 64 KiB"));
}

TEST(Sweep, WhatDoesNotFitSaysWhy) {
  TemporaryFolder folder;
  const SweepReport sweep = compiled(sweeping(folder, "sram=2KiB,128KiB")).sweep;
  ASSERT_EQ(sweep.points_size(), 2);
  EXPECT_THAT(sweep.points(0).modules(0).problem(), HasSubstr("bytes"));
  EXPECT_EQ(sweep.points(1).modules(0).problem(), "");
  EXPECT_THAT(sweepTable(sweep), HasSubstr("2 KiB, text_encoder: "));
  CompileOptions options = sweeping(folder, "sram=2KiB");
  options.reportFolder = folder.path("nothing");
  const auto result = compile(options, {});
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(textOf(result.status()), HasSubstr("--sweep sram=2KiB: nothing fits"));
  EXPECT_FALSE(std::filesystem::exists(folder.path("nothing")));
}

TEST(Sweep, FlagsOfPackagesAreRefused) {
  TemporaryFolder folder;
  CompileOptions options = sweeping(folder, "sram=1MiB");
  options.output = folder.path("p.sdnpu");
  EXPECT_THAT(textOf(validate(options)), HasSubstr("leave out -o"));
  options = sweeping(folder, "sram=1MiB");
  options.verify = VerifyMode::Fast;
  EXPECT_THAT(textOf(validate(options)), HasSubstr("leave out --verify"));
  options = sweeping(folder, "sram=1MiB");
  options.startFrom = Stage::Schedule;
  EXPECT_THAT(textOf(validate(options)), HasSubstr("--start-from schedule takes a scheduled"));
}

} // namespace
