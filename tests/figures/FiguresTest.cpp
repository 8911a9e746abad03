// Reports of whole compilations against their packages: as they are, and with each figure changed.

#include "compiler/figures/CheckFigures.h"
#include "compiler/report/Report.h"
#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include <gmock/gmock.h>
#include <google/protobuf/reflection.h>

#include <fstream>
#include <set>

using namespace sdopt;
using namespace sdopt::test;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::testing::HasSubstr;

namespace {

/// Figures that are not of the program: what the model was, what was measured on samples, what
/// quantization expected, texts.
const std::set<std::string> kNotOfTheProgram = {
    "ModuleReport.name",
    "ModuleReport.recipe",
    "ModuleReport.parameters",
    "ModuleReport.weight_bits",
    "ModuleReport.fp32_bytes",
    "ModuleReport.psnr",
    "ModuleReport.samples",
    "ModuleReport.worst_psnr",
    "ModuleReport.worst_call",
    "ModuleReport.guidance_pairs",
    "LayerReport.kind",
    "LayerReport.onnx_nodes",
    "LayerReport.activation_bits",
    "LayerReport.sqnr",
    "LayerReport.dram_lower_bound_bytes",
    "LayerReport.tiling",
    "LayerReport.nearest_codes_sqnr",
    "LayerReport.rounded_codes_sqnr",
    "LayerReport.plain_weight_bytes",
    "LayerReport.weight_entropy_bytes",
    "LayerReport.cosine",
    "LayerReport.isolated_sqnr",
    "LayerReport.unscaled_codes_sqnr",
    "LayerReport.scaled_codes_sqnr",
    "LayerReport.winograd",
    "LayerReport.winograd_sqnr",
    "WeightFormReport.plain_bytes",
    "WeightFormReport.entropy_bytes",
    "ValueRange.min",
    "ValueRange.max",
    "ValueRange.rms",
    "TimestepInterval.first",
    "TimestepInterval.last",
};

/// Changes one number at a time, in the first and the last of repeated messages, calls `seen` with
/// its name, and takes the change back.
void changeEach(Message &message, const std::function<void(const std::string &)> &seen) {
  const auto *reflection = message.GetReflection();
  const auto *descriptor = message.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor *field = descriptor->field(i);
    const std::string name = descriptor->name() + "." + field->name();
    const bool isMessage = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (isMessage && field->is_repeated()) {
      const int size = reflection->FieldSize(message, field);
      for (int k : std::set<int>{0, size / 2, size - 1})
        if (k >= 0 && k < size)
          changeEach(*reflection->MutableRepeatedMessage(&message, field, k), seen);
    } else if (isMessage) {
      if (reflection->HasField(message, field))
        changeEach(*reflection->MutableMessage(&message, field), seen);
    } else if (field->is_repeated()) {
      if (field->cpp_type() != FieldDescriptor::CPPTYPE_INT32 ||
          reflection->FieldSize(message, field) == 0)
        continue;
      const int32_t before = reflection->GetRepeatedInt32(message, field, 0);
      reflection->SetRepeatedInt32(&message, field, 0, before + 1);
      seen(name);
      reflection->SetRepeatedInt32(&message, field, 0, before);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT64) {
      const int64_t before = reflection->GetInt64(message, field);
      reflection->SetInt64(&message, field, before + 1);
      seen(name);
      reflection->SetInt64(&message, field, before);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT32) {
      const int32_t before = reflection->GetInt32(message, field);
      reflection->SetInt32(&message, field, before + 1);
      seen(name);
      reflection->SetInt32(&message, field, before);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE && !field->has_presence()) {
      const double before = reflection->GetDouble(message, field);
      reflection->SetDouble(&message, field, before * (1 + 1e-6) + 1e-12);
      seen(name);
      reflection->SetDouble(&message, field, before);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      const std::string before = reflection->GetString(message, field);
      reflection->SetString(&message, field, before + "x");
      seen(name);
      reflection->SetString(&message, field, before);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL) {
      const bool before = reflection->GetBool(message, field);
      reflection->SetBool(&message, field, !before);
      seen(name);
      reflection->SetBool(&message, field, before);
    }
  }
}

struct Compiled {
  TemporaryFolder folder;
  Report report;
  std::unique_ptr<Package> package;
  Target target;
};

/// Of the options' modules, from testdata, without evaluations to measure.
std::unique_ptr<Compiled> compiledModules(const std::vector<std::string> &modules,
                                          const std::string &recipe, const std::string &target,
                                          std::optional<int> steps = {}) {
  auto result = std::make_unique<Compiled>();
  CompileOptions options = optionsFor(result->folder.path("out"), modules);
  options.recipe = recipe;
  options.target = target;
  options.steps = steps;
  result->report = compiled(options).report;
  auto package = Package::open(options.output);
  EXPECT_TRUE(package.ok()) << package.status();
  if (package.ok())
    result->package = *std::move(package);
  result->target = *loadTarget(target);
  return result;
}

TEST(Figures, AllAreRecomputed) {
  for (const auto &[recipe, target] :
       {std::pair("w8a8", "edge-tiny"), std::pair("w4a8", "laptop")}) {
    const auto compiled = compiledModules(smallModules(), recipe, target);
    ASSERT_TRUE(compiled->package);
    for (int i = 0; i < compiled->report.modules_size(); ++i) {
      const ModuleReport &report = compiled->report.modules(i);
      int64_t figures = 0;
      EXPECT_EQ(
          checkFigures(*compiled->package->find(report.name()), compiled->target, report, &figures),
          absl::OkStatus())
          << recipe << " " << target;
      EXPECT_GT(figures, 1000 + 16 * report.layers_size());
    }
  }
}

/// Nothing that is of the program can be wrong without being noticed.
TEST(Figures, EachIsLookedAt) {
  const auto compiled = compiledModules({"text_encoder"}, "w8a16", "mobile");
  ASSERT_TRUE(compiled->package);
  const PackageModule &module = compiled->package->modules()[0];
  ModuleReport &report = *compiled->report.mutable_modules(0);
  ASSERT_EQ(checkFigures(module, compiled->target, report), absl::OkStatus());
  int changed = 0;
  changeEach(report, [&](const std::string &name) {
    const absl::Status status = checkFigures(module, compiled->target, report);
    if (kNotOfTheProgram.count(name)) {
      EXPECT_TRUE(status.ok()) << name << ": " << status;
      return;
    }
    EXPECT_FALSE(status.ok()) << name;
    ++changed;
  });
  EXPECT_GT(changed, 80);
}

TEST(Figures, ErrorNamesFigureLayerAndBothValues) {
  const auto compiled = compiledModules({"text_encoder"}, "w8a16", "mobile");
  ASSERT_TRUE(compiled->package);
  ModuleReport &report = *compiled->report.mutable_modules(0);
  LayerReport &layer = *report.mutable_layers(3);
  layer.set_macs(layer.macs() + 7);
  const std::string text =
      textOf(checkFigures(compiled->package->modules()[0], compiled->target, report));
  EXPECT_THAT(text, HasSubstr("module 'text_encoder', layer '" + layer.name() + "'"));
  EXPECT_THAT(text, HasSubstr("the report's macs is " + std::to_string(layer.macs())));
  EXPECT_THAT(text, HasSubstr("it is " + std::to_string(layer.macs() - 7)));
}

TEST(Figures, OfTheMachine) {
  const auto compiled = compiledModules({"text_encoder"}, "w8a16", "edge-tiny");
  MachineReport &machine = *compiled->report.mutable_machine();
  EXPECT_EQ(checkFigures(compiled->target, machine), absl::OkStatus());
  changeEach(machine, [&](const std::string &name) {
    EXPECT_FALSE(checkFigures(compiled->target, machine).ok()) << name;
  });
}

} // namespace
