//===- Target.cpp - reading and printing a target ---------------------------===//

#include "compiler/target/Target.h"

#include "compiler/files/Blake3.h"
#include "compiler/files/WholeFile.h"
#include "compiler/target/EmbeddedText.h"
#include "compiler/target/StrictYaml.h"
#include "compiler/target/TargetConstants.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <map>

namespace sdopt {

std::span<const EmbeddedText> targetPresetTexts();

namespace {

constexpr const char *kFieldNames[] = {"burst", "channel", "bank_group", "column", "bank", "row"};
constexpr size_t kFieldCount = std::size(kFieldNames);
constexpr int64_t kLeastBits = 8, kMostBits = 32; ///< of one side of a multiplier
constexpr const char *kCanonicalSource = "canonical form";

/// 17 significant digits name one double; to_chars does not know the locale.
std::string exactText(double value) {
  char text[64];
  auto [end, failure] =
      std::to_chars(text, text + sizeof(text), value, std::chars_format::scientific, 16);
  return std::string(text, end);
}

class TargetReader {
public:
  explicit TargetReader(const std::string &origin) : errors_(origin) {}

  absl::StatusOr<Target> read(const std::string &text) {
    std::optional<YAML::Node> root = parseYaml(text, errors_);
    if (root)
      readRoot(*root);
    if (errors_.empty())
      checkTogether();
    if (!errors_.empty())
      return errors_.status();
    target_.digest = blake3Hex(std::as_bytes(std::span<const char>(canonicalText(target_))));
    return std::move(target_);
  }

private:
  void readRoot(const YAML::Node &root) {
    YamlMap map(root, "a target", errors_);
    if (auto node = map.take("version")) {
      auto version = yamlInteger(*node, "'version'", errors_);
      if (version && *version != 1)
        errors_.add(node->Mark(), "'version' is " + std::to_string(*version) + ", must be 1");
    }
    if (auto node = map.take("name"))
      target_.name = yamlName(*node, "'name'", errors_).value_or("");
    readSection("", map);
    for (const char *section : {"array", "vector", "decoder", "sram", "dram", "energy", "power"}) {
      auto node = map.take(section);
      if (!node)
        continue;
      YamlMap inner(*node, "'" + std::string(section) + "'", errors_);
      if (!inner.valid())
        continue;
      readSection(section, inner);
      if (std::string_view(section) == "array")
        readMultiplier(inner);
      if (std::string_view(section) == "dram")
        readDramExtras(inner);
      if (std::string_view(section) == "power")
        readPoints(inner);
      inner.finish();
    }
    map.finish();
  }

  void readSection(std::string_view section, YamlMap &map) {
    for (const TargetConstant &constant : targetConstants())
      if (constant.section == section)
        if (auto node = constant.optional ? map.takeOptional(constant.key) : map.take(constant.key))
          readConstant(constant, *node);
  }

  void readConstant(const TargetConstant &constant, const YAML::Node &node) {
    std::string path = pathOf(constant);
    YamlMap map(node, "'" + path + "'", errors_);
    if (!map.valid())
      return;
    marks_.emplace(path, map.mark());
    readSource(path, map);
    const TargetUnit *unit = nullptr;
    std::optional<YAML::Node> value;
    std::string units;
    for (const TargetUnit &known : constant.units) {
      units += (units.empty() ? "" : ", ") + std::string(known.key);
      auto found = map.takeOptional(known.key);
      if (found && unit)
        errors_.add(found->Mark(),
                    "'" + path + "' has two values, in " + unit->key + " and " + known.key);
      else if (found) {
        unit = &known;
        value = found;
      }
    }
    map.finish();
    if (unit)
      readValue(constant, *unit, *value);
    else
      errors_.add(map.mark(), "'" + path + "' lacks its value; give it in one of: " + units);
  }

  void readSource(const std::string &path, YamlMap &map) {
    auto node = map.take("source");
    if (!node)
      return;
    auto source = yamlText(*node, "the source of '" + path + "'", errors_);
    if (source && source->starts_with("assumed"))
      target_.assumptions.push_back(path + ": " + *source);
  }

  void readValue(const TargetConstant &constant, const TargetUnit &unit, const YAML::Node &node) {
    std::string what = "'" + pathOf(constant) + "' in " + unit.key;
    if (auto *integer = std::get_if<IntegerField>(&constant.field)) {
      auto value = yamlInteger(node, what, errors_);
      int64_t scaled = 0;
      if (!value)
        return;
      if (__builtin_mul_overflow(*value, int64_t{1} << unit.exponent2, &scaled) ||
          !inRange(constant, static_cast<double>(scaled)))
        return reportRange(constant, node);
      if (constant.powerOfTwo && !std::has_single_bit(static_cast<uint64_t>(scaled)))
        errors_.add(node.Mark(), what + " must be a power of two, found " + node.Scalar());
      (*integer)(target_) = scaled;
      return;
    }
    auto value = yamlNumber(node, what, unit.exponent10, unit.exponent2, errors_);
    if (!value)
      return;
    if (!inRange(constant, *value) || (!mayBeZero(constant) && *value == 0))
      return reportRange(constant, node);
    std::get<RealField>(constant.field)(target_) = *value;
  }

  // Power that is not drawn may be left out of a model; no operation is free.
  static bool mayBeZero(const TargetConstant &constant) {
    return std::string_view(constant.units[0].key) == "watts";
  }

  static bool inRange(const TargetConstant &constant, double value) {
    return value >= constant.least && value <= constant.most;
  }

  void reportRange(const TargetConstant &constant, const YAML::Node &node) {
    bool open = constant.least == 0 && !mayBeZero(constant);
    errors_.add(node.Mark(), "'" + pathOf(constant) + "' is out of range: found " + node.Scalar() +
                                 ", needs " + (open ? "more than " : "at least ") +
                                 numberText(constant.least) + " and at most " +
                                 numberText(constant.most) + " " + constant.units[0].key);
  }

  void readMultiplier(YamlMap &map) {
    auto node = map.take("multiplier");
    if (!node)
      return;
    YamlMap multiplier(*node, "'array.multiplier'", errors_);
    if (!multiplier.valid())
      return;
    readSource("array.multiplier", multiplier);
    if (auto bits = multiplier.take("bits"))
      readBits(*bits);
    multiplier.finish();
  }

  /// "11x12"
  void readBits(const YAML::Node &node) {
    auto text = yamlText(node, "'array.multiplier' in bits", errors_);
    if (!text)
      return;
    MultiplierTarget &bits = target_.array.multiplier;
    const char *end = text->data() + text->size();
    auto [cross, failure] = std::from_chars(text->data(), end, bits.codes);
    std::from_chars_result rest{end, std::errc::invalid_argument};
    if (failure == std::errc() && cross != end && *cross == 'x')
      rest = std::from_chars(cross + 1, end, bits.weights);
    const auto inRange = [](int64_t n) { return n >= kLeastBits && n <= kMostBits; };
    if (rest.ec != std::errc() || rest.ptr != end || !inRange(bits.codes) || !inRange(bits.weights))
      errors_.add(node.Mark(), "'array.multiplier' in bits must be two numbers from " +
                                   std::to_string(kLeastBits) + " to " + std::to_string(kMostBits) +
                                   ", those of codes and of weights, such as 11x12; found '" +
                                   *text + "'");
  }

  void readDramExtras(YamlMap &map) {
    if (auto node = map.take("kind")) {
      auto kind = yamlText(*node, "'dram.kind'", errors_);
      bool good = kind && kind->size() <= 64 && std::all_of(kind->begin(), kind->end(), [](char c) {
                    return c >= ' ' && c <= '~';
                  });
      if (kind && !good)
        errors_.add(node->Mark(), "'dram.kind' must be at most 64 printable ASCII characters");
      target_.dram.kind = kind.value_or("");
    }
    if (auto node = map.take("mapping")) {
      YamlMap mapping(*node, "'dram.mapping'", errors_);
      if (!mapping.valid())
        return;
      readSource("dram.mapping", mapping);
      if (auto fields = mapping.take("low_to_high"))
        readMapping(*fields);
      mapping.finish();
    }
  }

  void readMapping(const YAML::Node &node) {
    marks_.emplace("dram.mapping", node.Mark());
    bool seen[kFieldCount] = {};
    if (!node.IsSequence())
      return errors_.add(node.Mark(), "'dram.mapping' must be a list of address fields");
    for (const YAML::Node &item : node) {
      size_t field = 0;
      while (field < kFieldCount && !(item.IsScalar() && item.Scalar() == kFieldNames[field]))
        ++field;
      if (field == kFieldCount)
        return errors_.add(item.Mark(), "unknown address field in 'dram.mapping'; known are burst, "
                                        "channel, bank_group, column, bank, row");
      if (seen[field])
        return errors_.add(item.Mark(),
                           "address field '" + item.Scalar() + "' is in 'dram.mapping' twice");
      seen[field] = true;
      target_.dram.mapping.push_back(static_cast<DramField>(field));
    }
    for (size_t field = 0; field < kFieldCount; ++field)
      if (!seen[field])
        errors_.add(node.Mark(), std::string("'dram.mapping' lacks the address field '") +
                                     kFieldNames[field] + "'");
    if (!target_.dram.mapping.empty() && target_.dram.mapping[0] != DramField::Burst)
      errors_.add(node.Mark(), "'dram.mapping' must start with burst, the bytes within one burst");
  }

  /// [[volts, hertz], ...], ascending.
  void readPoints(YamlMap &power) {
    auto node = power.take("operating_points");
    if (!node)
      return;
    YamlMap map(*node, "'power.operating_points'", errors_);
    if (!map.valid())
      return;
    marks_.emplace("power.operating_points", map.mark());
    readSource("power.operating_points", map);
    auto giga = map.takeOptional("volts_gigahertz"), base = map.takeOptional("volts_hertz");
    map.finish();
    if (giga && base)
      errors_.add(base->Mark(), "'power.operating_points' has two lists");
    else if (!giga && !base)
      errors_.add(map.mark(), "'power.operating_points' lacks its list; give it in one of: "
                              "volts_hertz, volts_gigahertz");
    else
      readPointList(giga ? *giga : *base, giga ? 9 : 0);
  }

  void readPointList(const YAML::Node &list, int exponent10) {
    constexpr size_t kMostPoints = 64;
    const std::string what = "'power.operating_points'";
    if (!list.IsSequence() || list.size() == 0 || list.size() > kMostPoints)
      return errors_.add(list.Mark(), what + " must be a list of 1 to 64 pairs");
    for (const YAML::Node &pair : list) {
      if (!pair.IsSequence() || pair.size() != 2)
        return errors_.add(pair.Mark(), what + " must hold pairs of a voltage and a clock");
      auto voltage = yamlNumber(pair[0], "a voltage of " + what, 0, 0, errors_);
      auto clock = yamlNumber(pair[1], "a clock of " + what, exponent10, 0, errors_);
      if (!voltage || !clock)
        return;
      const OperatingPoint before =
          target_.power.points.empty() ? OperatingPoint{} : target_.power.points.back();
      if (*voltage <= before.voltage || *clock <= before.clock)
        return errors_.add(pair.Mark(), what + " must ascend in voltage and clock");
      if (*voltage > 100 || *clock > 1e11)
        return errors_.add(pair.Mark(), what + " must be at most 100 volts and 1e11 hertz");
      target_.power.points.push_back({*voltage, *clock});
    }
  }

  YAML::Mark markOf(const std::string &path) const {
    auto found = marks_.find(path);
    return found == marks_.end() ? YAML::Mark() : found->second;
  }

  void require(bool condition, const std::string &path, const std::string &message) {
    if (!condition)
      errors_.add(markOf(path), "'" + path + "' " + message);
  }

  // Constants that are each in range may still contradict one another.
  void checkTogether() {
    const SramTarget &sram = target_.sram;
    require(sram.bytes % sram.banks == 0, "sram.banks",
            "of " + std::to_string(sram.banks) + " do not divide the capacity of " +
                std::to_string(sram.bytes) + " bytes");
    if (sram.bytes % sram.banks == 0)
      require(sram.bytes / sram.banks % sram.alignment == 0, "sram.alignment",
              "of " + std::to_string(sram.alignment) + " bytes does not divide a bank of " +
                  std::to_string(sram.bytes / sram.banks) + " bytes");
    const DramTarget &dram = target_.dram;
    require(dram.burstBytes <= dram.pageBytes, "dram.burst",
            "of " + std::to_string(dram.burstBytes) + " bytes is larger than a page of " +
                std::to_string(dram.pageBytes));
    require(dram.missLatency >= dram.hitLatency, "dram.miss_latency",
            "is below 'dram.hit_latency'");
    require(dram.conflictLatency >= dram.missLatency, "dram.conflict_latency",
            "is below 'dram.miss_latency'");
    require(dram.refreshBanks <= dram.banks * dram.bankGroups, "dram.refresh_banks",
            "of " + std::to_string(dram.refreshBanks) + " is more than the " +
                std::to_string(dram.banks * dram.bankGroups) + " banks of a channel");
    require(2 * dram.refreshTime <= dram.refreshInterval, "dram.refresh_time",
            "is more than half of 'dram.refresh_interval'");
    int64_t openBytes = dram.pageBytes * dram.banks * dram.bankGroups * dram.channels;
    require(dram.bytes % openBytes == 0, "dram.capacity",
            "of " + std::to_string(dram.bytes) + " bytes is no multiple of one row of all banks, " +
                std::to_string(openBytes) + " bytes");
    require(dram.mapping.back() == DramField::Row ||
                std::has_single_bit(static_cast<uint64_t>(dram.bytes)),
            "dram.mapping",
            "puts row below another field, which needs a capacity that is a power of two");
    const auto &points = target_.power.points;
    require(std::any_of(points.begin(), points.end(),
                        [&](const OperatingPoint &point) { return point.clock == target_.clock; }),
            "power.operating_points",
            "lack the clock of " + numberText(target_.clock) + " hertz that energies are for");
  }

  YamlErrors errors_;
  Target target_;
  std::map<std::string, YAML::Mark> marks_;
};

std::string mappingText(const std::vector<DramField> &mapping) {
  std::string text;
  for (DramField field : mapping)
    text += (text.empty() ? "" : ", ") + std::string(kFieldNames[static_cast<size_t>(field)]);
  return "[" + text + "]";
}

std::string pointsText(const std::vector<OperatingPoint> &points) {
  std::string text;
  for (const OperatingPoint &point : points)
    text += (text.empty() ? "[" : ", [") + exactText(point.voltage) + ", " +
            exactText(point.clock) + "]";
  return "[" + text + "]";
}

std::string valueText(const TargetConstant &constant, const Target &target) {
  // The table's accessors serve reading too and so want a mutable target.
  Target &fields = const_cast<Target &>(target);
  if (auto *integer = std::get_if<IntegerField>(&constant.field))
    return std::to_string((*integer)(fields));
  return exactText(std::get<RealField>(constant.field)(fields));
}

} // namespace

std::string canonicalText(const Target &target) {
  std::string source = std::string(", source: ") + kCanonicalSource + "}\n";
  std::string text = "version: 1\nname: " + quoteYaml(target.name) + "\n";
  std::string_view section;
  for (const TargetConstant &constant : targetConstants()) {
    if (constant.section != section) {
      section = constant.section;
      text += std::string(section) + ":\n";
      if (section == "array") {
        const MultiplierTarget &bits = target.array.multiplier;
        text += "  multiplier: {bits: " + std::to_string(bits.codes) + "x" +
                std::to_string(bits.weights) + source;
      }
      if (section == "dram") {
        text += "  kind: " + quoteYaml(target.dram.kind) + "\n";
        text += "  mapping: {low_to_high: " + mappingText(target.dram.mapping) + source;
      }
      if (section == "power")
        text += "  operating_points: {volts_hertz: " + pointsText(target.power.points) + source;
    }
    const std::string value = valueText(constant, target);
    if (!constant.optional || value != numberText(constant.least))
      text += std::string(section.empty() ? "" : "  ") + constant.key + ": {" +
              constant.units[0].key + ": " + value + source;
  }
  return text;
}

absl::StatusOr<Target> parseTarget(const std::string &text, const std::string &origin) {
  return TargetReader(origin).read(text);
}

std::vector<std::string> targetPresets() {
  std::vector<std::string> names;
  for (const EmbeddedText &preset : targetPresetTexts())
    names.emplace_back(preset.name);
  return names;
}

absl::StatusOr<std::string> targetPresetText(const std::string &name) {
  for (const EmbeddedText &preset : targetPresetTexts())
    if (preset.name == name)
      return std::string(preset.text);
  std::string known;
  for (const std::string &preset : targetPresets())
    known += (known.empty() ? "" : ", ") + preset;
  return absl::NotFoundError("no target preset is named '" + name + "'; presets are " + known);
}

absl::StatusOr<Target> loadTarget(const std::string &nameOrPath) {
  auto preset = targetPresetText(nameOrPath);
  if (preset.ok())
    return parseTarget(*preset, "preset " + nameOrPath);
  auto text = readFile(nameOrPath);
  if (!text.ok())
    return absl::Status(text.status().code(), "target: " + std::string(text.status().message()) +
                                                  "; " + std::string(preset.status().message()));
  return parseTarget(*text, nameOrPath);
}

} // namespace sdopt
