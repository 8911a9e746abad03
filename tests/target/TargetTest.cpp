//===- TargetTest.cpp - target files, presets and their mistakes ------------===//

#include "compiler/target/Target.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <clocale>
#include <locale>
#include <random>
#include <set>

using namespace sdopt;
using testing::HasSubstr;

namespace {

Target preset(const std::string &name) {
  auto target = loadTarget(name);
  EXPECT_TRUE(target.ok()) << target.status();
  return target.ok() ? *target : Target();
}

double peakOperations(const Target &target) {
  return 2.0 * static_cast<double>(target.array.count * target.array.rows * target.array.columns) *
         target.clock;
}

/// The mobile preset with the one occurrence of `from` replaced.
std::string edited(const std::string &from, const std::string &to) {
  std::string text = *targetPresetText("mobile");
  size_t position = text.find(from);
  EXPECT_NE(position, std::string::npos) << from;
  EXPECT_EQ(text.find(from, position + 1), std::string::npos) << from << " is not unique";
  if (position != std::string::npos)
    text.replace(position, from.size(), to);
  return text;
}

/// "file.yaml:LINE:COLUMN: " of the first occurrence of `marker` in `text`.
std::string placeOf(const std::string &text, const std::string &marker) {
  size_t position = text.find(marker);
  EXPECT_NE(position, std::string::npos) << marker;
  size_t line = 1, column = 1;
  for (size_t i = 0; i < position; ++i) {
    ++column;
    if (text[i] == '\n') {
      ++line;
      column = 1;
    }
  }
  return "file.yaml:" + std::to_string(line) + ":" + std::to_string(column) + ": ";
}

void expectError(const std::string &text, const std::string &marker, const std::string &message) {
  auto target = parseTarget(text, "file.yaml");
  ASSERT_FALSE(target.ok()) << message;
  EXPECT_EQ(target.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(target.status().message()), HasSubstr(placeOf(text, marker) + message));
}

} // namespace

TEST(TargetPresets, HaveTheirPeaks) {
  EXPECT_EQ(targetPresets(), (std::vector<std::string>{"edge-tiny", "laptop", "mobile"}));
  EXPECT_NEAR(peakOperations(preset("edge-tiny")) / 1e12, 1.2, 0.05);
  EXPECT_NEAR(peakOperations(preset("mobile")) / 1e12, 32.8, 0.05);
  EXPECT_NEAR(peakOperations(preset("laptop")) / 1e12, 91.8, 0.05);
}

TEST(TargetPresets, DescribeTheMachinesOfTheDesign) {
  Target tiny = preset("edge-tiny"), mobile = preset("mobile"), laptop = preset("laptop");
  EXPECT_EQ(tiny.sram.bytes, 512 << 10);
  EXPECT_EQ(tiny.sram.bytes / tiny.sram.banks, 32 << 10);
  EXPECT_EQ(mobile.sram.bytes / mobile.sram.banks, 128 << 10);
  EXPECT_EQ(laptop.sram.bytes / laptop.sram.banks, 128 << 10);
  EXPECT_EQ(tiny.vector.lanes, 64);
  EXPECT_EQ(mobile.vector.lanes, 4 * 128);
  EXPECT_EQ(laptop.vector.lanes, 8 * 128);
  EXPECT_EQ(tiny.dram.bandwidth, 6.4e9);
  EXPECT_EQ(mobile.dram.bandwidth, 51.2e9);
  EXPECT_EQ(laptop.dram.bandwidth, 136.5e9);
  EXPECT_EQ(laptop.dram.bytes, int64_t{8} << 30);
  EXPECT_EQ(mobile.dram.mapping[2], DramField::BankGroup);
  EXPECT_EQ(tiny.dram.mapping[2], DramField::Column);
  EXPECT_EQ(mobile.energy.mac8, 0.10e-12);
  // 8.5 pJ a bit.
  EXPECT_EQ(tiny.energy.dramReadByte, 68e-12);
  EXPECT_EQ(mobile.energy.leakagePower, 0.12);
}

TEST(TargetPresets, SayWhatIsAssumed) {
  EXPECT_THAT(preset("mobile").assumptions,
              testing::Contains(testing::StartsWith("energy.dram_read: assumed: ")));
  EXPECT_THAT(preset("edge-tiny").assumptions,
              testing::Not(testing::Contains(testing::StartsWith("energy.dram_read"))));
}

TEST(TargetPresets, UnknownNameListsThem) {
  auto target = loadTarget("phone");
  ASSERT_FALSE(target.ok());
  EXPECT_EQ(target.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(
      std::string(target.status().message()),
      HasSubstr("no target preset is named 'phone'; presets are edge-tiny, laptop, mobile"));
}

TEST(TargetCanonical, RoundTrips) {
  std::set<std::string> digests;
  for (const std::string &name : targetPresets()) {
    Target target = preset(name);
    std::string text = canonicalText(target);
    auto again = parseTarget(text, "canonical");
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->digest, target.digest);
    EXPECT_EQ(canonicalText(*again), text);
    EXPECT_EQ(target.digest.size(), 64u);
    digests.insert(target.digest);
  }
  EXPECT_EQ(digests.size(), 3u);
}

TEST(TargetCanonical, DoesNotDependOnUnitsOrSources) {
  Target mobile = preset("mobile");
  for (const std::string &text : {edited("{nanoseconds: 42.5,", "{seconds: 4.25e-8,"),
                                  edited("{gigahertz: 1.0,", "{megahertz: 1000,"),
                                  edited("{mebibytes: 4,", "{bytes: 4194304,"),
                                  edited("{microseconds: 100,", "{seconds: 1e-4,"),
                                  edited("{volts: 0.34,", "{millivolts: 340,"),
                                  edited("{picojoules: 0.40,", "{femtojoules: 400,"),
                                  edited("{picojoules_per_bit: 5.0,", "{picojoules_per_byte: 40,"),
                                  edited("reference NPU, phone class", "assumed: other words")}) {
    auto target = parseTarget(text, "file.yaml");
    ASSERT_TRUE(target.ok()) << target.status();
    EXPECT_EQ(target->digest, mobile.digest);
  }
  auto other = parseTarget(edited("{volts: 0.34,", "{volts: 0.34000000000000002,"), "f");
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->digest, mobile.digest);
  other = parseTarget(edited("{volts: 0.34,", "{volts: 0.34000000000000008,"), "f");
  ASSERT_TRUE(other.ok());
  EXPECT_NE(other->digest, mobile.digest);
}

TEST(TargetCanonical, DoesNotDependOnTheLocale) {
  struct DecimalComma : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  Target mobile = preset("mobile");
  std::string cLocale = std::setlocale(LC_ALL, nullptr);
  std::locale before = std::locale::global(std::locale(std::locale::classic(), new DecimalComma()));
  std::setlocale(LC_ALL, "de_DE.UTF-8"); // where it is installed
  Target again = preset("mobile");
  std::string text = canonicalText(again);
  std::locale::global(before);
  std::setlocale(LC_ALL, cLocale.c_str());
  EXPECT_EQ(again.digest, mobile.digest);
  EXPECT_EQ(text, canonicalText(mobile));
}

TEST(TargetCanonical, KeysThatMayBeLeftOut) {
  const Target tiny = preset("edge-tiny");
  EXPECT_EQ(tiny.array.weightTiles, 1);
  EXPECT_THAT(canonicalText(tiny), testing::Not(HasSubstr("weight_registers")));
  const auto with = [](const std::string &tiles) {
    return edited("weight_registers: {tiles: 2,", "weight_registers: {tiles: " + tiles + ",");
  };
  const auto one = parseTarget(with("1"), "file.yaml"), two = parseTarget(with("2"), "file.yaml");
  const auto none =
      parseTarget(edited("  weight_registers:", "  # weight_registers:"), "file.yaml");
  ASSERT_TRUE(one.ok() && two.ok() && none.ok()) << one.status() << two.status() << none.status();
  EXPECT_EQ(none->digest, one->digest);
  EXPECT_EQ(two->array.weightTiles, 2);
  EXPECT_NE(two->digest, one->digest);
  const auto again = parseTarget(canonicalText(*two), "canonical");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->digest, two->digest);
  EXPECT_EQ(again->array.weightTiles, 2);
  expectError(with("3"), "3, source", "'array.weight_registers' is out of range: found 3");
}

TEST(TargetErrors, Keys) {
  expectError(edited("  lanes:", "  lanez:"),
              "lanez:", "unknown key 'lanez' in 'vector'; known are");
  expectError(edited("  lanes:", "  lanez:"), "lanez:", "'vector' lacks the key 'lanes'");
  expectError(edited("\nvector:", "\nvectors:"), "vectors:", "unknown key 'vectors' in a target");
  expectError(edited("  burst: {", "  page: {bytes: 1, source: x}\n  burst: {"), "page: {bytes",
              "key 'page' of 'dram' is given twice");
  expectError(edited("{gigahertz: 1.0, ", "{furlongs: 1.0, "), "furlongs",
              "unknown key 'furlongs' in 'clock'; known are source, hertz, megahertz, gigahertz");
  expectError(
      edited("{gigahertz: 1.0, source: \"reference NPU, phone class\"}", "{gigahertz: 1.0}"),
      "{gigahertz: 1.0}", "'clock' lacks the key 'source'");
  expectError(edited("{gigahertz: 1.0, ", "{"), "{source: \"reference NPU, phone",
              "'clock' lacks its value; give it in one of: hertz, megahertz, gigahertz");
  expectError(edited("{gigahertz: 1.0, ", "{gigahertz: 1.0, megahertz: 1000, "), "1.0, megahertz",
              "'clock' has two values, in megahertz and gigahertz");
}

TEST(TargetErrors, Types) {
  expectError(edited("{gigahertz: 1.0,", "{gigahertz: fast,"), "fast",
              "'clock' in gigahertz must be a decimal number, found 'fast'");
  expectError(edited("{gigahertz: 1.0,", "{gigahertz: \"1.0\","), "\"1.0\"",
              "'clock' in gigahertz must be a decimal number, found '1.0'");
  expectError(edited("{gigahertz: 1.0,", "{gigahertz: .inf,"), ".inf", "'clock' in gigahertz must");
  expectError(edited("{gigahertz: 1.0,", "{gigahertz: 0x10,"), "0x10", "'clock' in gigahertz must");
  expectError(edited("{gigahertz: 1.0,", "{gigahertz: 1e999,"), "1e999",
              "'clock' in gigahertz must");
  expectError(edited("{gigahertz: 1.0,", "{gigahertz: 1e390,"), "1e390",
              "'clock' in gigahertz is out of range");
  expectError(edited("{elements_per_cycle: 512,", "{elements_per_cycle: 512.5,"), "512.5",
              "'vector.lanes' in elements_per_cycle must be a whole number, found '512.5'");
  expectError(edited("{elements_per_cycle: 512,", "{elements_per_cycle: [512],"), "[512]",
              "'vector.lanes' in elements_per_cycle must be a whole number");
  expectError(edited("name: mobile", "name: [mobile]"), "[mobile]", "'name' must be");
  expectError(edited("version: 1", "version: 2"), "2\n", "'version' is 2, must be 1");
}

TEST(TargetErrors, Ranges) {
  expectError(edited("{gigahertz: 1.0,", "{gigahertz: 0,"), "0,",
              "'clock' is out of range: found 0");
  expectError(edited("{gigahertz: 1.0,", "{gigahertz: -1.0,"), "-1.0", "'clock' is out of range");
  expectError(edited("{picojoules: 0.40,", "{picojoules: 0,"), "0, source: \"derived: four",
              "'energy.mac16x16' is out of range: found 0, needs more than 0");
  expectError(edited("{elements_per_cycle: 512,", "{elements_per_cycle: 0,"),
              "0, source: \"reference NPU: four units", "'vector.lanes' is out of range");
  expectError(edited("{elements_per_cycle: 512,", "{elements_per_cycle: 9223372036854775807,"),
              "9223372036854775807", "'vector.lanes' is out of range");
  expectError(edited("{mebibytes: 4,", "{mebibytes: 9223372036854775807,"), "9223372036854775807",
              "'sram.capacity' is out of range");
  expectError(edited("burst: {bytes: 32,", "burst: {bytes: 48,"), "48",
              "'dram.burst' in bytes must be a power of two, found 48");
  expectError(edited("alignment: {bytes: 64,", "alignment: {bytes: 9,"), "9, source",
              "'sram.alignment' is out of range: found 9, needs at least 16");
  auto free = parseTarget(edited("{milliwatts: 120,", "{milliwatts: 0,"), "file.yaml");
  EXPECT_TRUE(free.ok()) << free.status();
}

TEST(TargetErrors, Contradictions) {
  expectError(edited("banks: {count: 32,", "banks: {count: 33,"), "{count: 33",
              "'sram.banks' of 33 do not divide the capacity of 4194304 bytes");
  std::string text = edited("alignment: {bytes: 64,", "alignment: {bytes: 512,");
  size_t banks = text.find("banks: {count: 32,");
  text.replace(banks, 18, "banks: {count: 16384,");
  expectError(text, "{bytes: 512",
              "'sram.alignment' of 512 bytes does not divide a bank of 256 bytes");
  expectError(edited("burst: {bytes: 32,", "burst: {bytes: 4096,"), "{bytes: 4096",
              "'dram.burst' of 4096 bytes is larger than a page of 2048");
  expectError(edited("{nanoseconds: 42.5,", "{nanoseconds: 4.5,"), "{nanoseconds: 4.5",
              "'dram.miss_latency' is below 'dram.hit_latency'");
  expectError(edited("{nanoseconds: 61.25,", "{nanoseconds: 24,"), "{nanoseconds: 24",
              "'dram.conflict_latency' is below 'dram.miss_latency'");
  expectError(
      edited("{gibibytes: 4,", "{bytes: 131073,"), "{bytes: 131073",
      "'dram.capacity' of 131073 bytes is no multiple of one row of all banks, 131072 bytes");
  expectError(edited("refresh_banks: {count: 1,", "refresh_banks: {count: 17,"), "{count: 17",
              "'dram.refresh_banks' of 17 is more than the 16 banks of a channel");
  expectError(edited("{nanoseconds: 140,", "{nanoseconds: 245,"), "{nanoseconds: 245",
              "'dram.refresh_time' is more than half of 'dram.refresh_interval'");
  std::string mapped = edited("column, bank, row]", "row, column, bank]");
  EXPECT_TRUE(parseTarget(mapped, "file.yaml").ok());
  size_t capacity = mapped.find("{gibibytes: 4,");
  mapped.replace(capacity, 14, "{gibibytes: 3,");
  expectError(mapped, "[burst, channel", "'dram.mapping' puts row below another field");
}

TEST(TargetErrors, Multiplier) {
  const MultiplierTarget wide = preset("mobile").array.multiplier;
  EXPECT_EQ(wide.codes, 11);
  EXPECT_EQ(wide.weights, 12);
  auto narrow = parseTarget(edited("{bits: 11x12,", "{bits: 8x9,"), "file.yaml");
  ASSERT_TRUE(narrow.ok()) << narrow.status();
  EXPECT_EQ(narrow->array.multiplier.codes, 8);
  EXPECT_EQ(narrow->array.multiplier.weights, 9);
  EXPECT_NE(narrow->digest, preset("mobile").digest);
  EXPECT_EQ(parseTarget(canonicalText(*narrow), "canonical")->digest, narrow->digest);
  for (const char *bad : {"11", "x12", "11x", "7x12", "11x33", "11x12x", "11X12", "-11x12", "wide"})
    expectError(edited("{bits: 11x12,", std::string("{bits: ") + bad + ","),
                std::string(bad) + ", source: \"reference NPU: sums of four",
                "'array.multiplier' in bits must be two numbers from 8 to 32, those of codes and "
                "of weights, such as 11x12; found '" +
                    std::string(bad) + "'");
  expectError(edited("  multiplier: {bits: 11x12, ", "  multiplier: {"),
              "{source: \"reference NPU: sums of four", "'array.multiplier' lacks the key 'bits'");
}

TEST(TargetErrors, Mapping) {
  std::string list = "[burst, channel, bank_group, column, bank, row]";
  expectError(edited(list, "[burst, channel, bank_group, column, bank]"), "[burst, channel, bank",
              "'dram.mapping' lacks the address field 'row'");
  expectError(edited(list, "[burst, channel, channel, column, bank, row]"), "channel, column",
              "address field 'channel' is in 'dram.mapping' twice");
  expectError(edited(list, "[burst, rank, channel]"), "rank, channel", "unknown address field");
  expectError(edited(list, "[row, burst, channel, bank_group, column, bank]"), "[row",
              "'dram.mapping' must start with burst");
  expectError(edited(list, "burst"), "burst\n", "'dram.mapping' must be a list");
}

TEST(TargetErrors, OperatingPoints) {
  EXPECT_EQ(preset("mobile").power.points.size(), 6u);
  EXPECT_EQ(preset("mobile").power.points[4].clock, preset("mobile").clock);
  EXPECT_EQ(preset("laptop").power.voltageSwitch, 100e-6);
  const std::string point = "[0.58, 0.57]";
  expectError(edited(point, "[0.48, 0.57]"), "[0.48",
              "'power.operating_points' must ascend in voltage and clock");
  expectError(edited(point, "[0.58, 0.37]"), "[0.58",
              "'power.operating_points' must ascend in voltage and clock");
  expectError(edited(point, "[0.58]"), "[0.58]",
              "'power.operating_points' must hold pairs of a voltage and a clock");
  expectError(edited(point, "[0.58, fast]"), "fast",
              "a clock of 'power.operating_points' must be a decimal number");
  expectError(edited("[0.90, 1.15]", "[0.90, 115]"), "[0.90, 115",
              "'power.operating_points' must be at most");
  expectError(edited("volts_gigahertz: [[", "volts: [["), "volts: [[", "unknown key 'volts' in");
  expectError(edited("{gigahertz: 1.0,", "{gigahertz: 1.1,"), "volts_gigahertz",
              "'power.operating_points' lack the clock of 1.1e+09 hertz");
}

TEST(TargetErrors, NotYaml) {
  expectError("name: [", "name", "");
  EXPECT_FALSE(parseTarget("", "f").ok());
  EXPECT_FALSE(parseTarget("a: 1\n---\nb: 2\n", "f").ok());
  expectError("a: 1\n---\nb: 2\n", "---", "the YAML document ends before this");
  expectError("a: {b: 1}\n]\n", "]", "this is not YAML that can be read");
  expectError("version: &v 1\n", "&v",
              "this is not YAML that can be read: anchors are not supported");
  EXPECT_FALSE(parseTarget("a: {b: 1}}\n", "f").ok());
  EXPECT_FALSE(parseTarget("- 1\n", "f").ok());
  EXPECT_FALSE(parseTarget(std::string("\0\0", 2), "f").ok());
  EXPECT_FALSE(parseTarget(std::string(100000, '['), "f").ok());
  EXPECT_FALSE(parseTarget(std::string(2 << 20, ' '), "f").ok());
  EXPECT_FALSE(parseTarget("a: &x [*x, *x]\n", "f").ok());
}

TEST(TargetErrors, AllAreReportedInFileOrder) {
  std::string text = edited("{gigahertz: 1.0,", "{gigahertz: fast,");
  size_t position = text.find("{milliwatts: 240,");
  ASSERT_NE(position, std::string::npos);
  text.replace(position, 17, "{milliwatts: low,");
  auto target = parseTarget(text, "file.yaml");
  ASSERT_FALSE(target.ok());
  std::string message(target.status().message());
  size_t first = message.find("'clock'"), second = message.find("'energy.dram_idle'");
  ASSERT_NE(first, std::string::npos);
  ASSERT_NE(second, std::string::npos);
  EXPECT_LT(first, second);
}

TEST(TargetErrors, EveryTruncatedPresetIsRefused) {
  std::string text = *targetPresetText("laptop");
  for (size_t size = 0; size + 2 < text.size(); size += 37)
    EXPECT_FALSE(parseTarget(text.substr(0, size), "f").ok()) << size;
}

TEST(TargetErrors, RandomDamageNeverCrashes) {
  std::string text = *targetPresetText("edge-tiny");
  std::mt19937 random(11);
  for (int i = 0; i < 1500; ++i) {
    std::string damaged = text;
    for (unsigned n = 1 + random() % 4; n > 0; --n)
      damaged[random() % damaged.size()] =
          random() % 2 ? "{}[]:,-&*!|>'\"%@`#?\n\t 0"[random() % 23] : static_cast<char>(random());
    auto target = parseTarget(damaged, "f");
    if (target.ok()) {
      EXPECT_EQ(parseTarget(canonicalText(*target), "f")->digest, target->digest);
    }
  }
}
