// NVDLA's published performance sheet for ResNet-50, and our cycle model beside it, on one target
// file: layer by layer, in total, and for the table of NVDLA's primer.
//
//   nvdla-sheet TARGET.yaml
//
// Three columns (docs/traffic.md, "NVDLA's sheet"): the rule of the sheet; the sheet's layers and
// orders of loops on our machine; our own layers and plan on our machine.

#include "tests/benchmark/NvdlaMachine.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace sdopt {
namespace {

constexpr double kSheetBar = 0.05, kPrimerBar = 0.10;

const char *verdict(double ratio, double bar) {
  return std::abs(ratio - 1) <= bar ? "passes" : "MISSED";
}

double milliseconds(const std::vector<MachineCost> &costs, const Target &target) {
  double cycles = 0;
  for (const MachineCost &cost : costs)
    cycles += static_cast<double>(cost.cycles);
  return cycles / target.clock * 1e3;
}

double kibibytes(const std::vector<MachineCost> &costs) {
  double bytes = 0;
  for (const MachineCost &cost : costs)
    bytes += static_cast<double>(cost.dramBytes);
  return bytes / 1024;
}

/// Both columns of our machine.
struct Machines {
  std::vector<MachineCost> sheet, own;
};

absl::StatusOr<Machines> machinesOf(const Target &target) {
  auto sheet = machineCosts(target, Lowering::Sheet), own = machineCosts(target, Lowering::Own);
  for (const absl::Status &status : {sheet.status(), own.status()})
    if (!status.ok())
      return status;
  return Machines{*std::move(sheet), *std::move(own)};
}

void printLayers(const Target &target, const Machines &machines) {
  const std::vector<SheetLayer> layers = sheetResNet50();
  std::printf(
      "thousands of cycles: all, arrays and DRAM busy; KiB of DRAM; the bound; W: Winograd\n"
      "%-10s %-36s   %-42s   %s\n",
      "", "the rule of the sheet", "its layers on our machine", "our layers and plan");
  for (size_t i = 0; i < layers.size(); ++i) {
    const SheetCost rule = sheetCost(layers[i], machineOf(target));
    std::printf("%-10s %7.1f %6.1f %6.1f %7.1f %-5s%c", layers[i].name.c_str(),
                rule.cycles() * 1e-3, rule.arrayCycles * 1e-3, rule.dramCycles * 1e-3,
                rule.kibibytes, rule.arrayCycles >= rule.dramCycles ? "array" : "dram",
                layers[i].isWinograd() ? 'W' : ' ');
    for (const MachineCost &cost : {machines.sheet[i], machines.own[i]})
      std::printf(
          "  %7.1f %6.1f %6.1f %7.1f %-7s%c", static_cast<double>(cost.cycles) * 1e-3,
          static_cast<double>(cost.arrayCycles) * 1e-3, static_cast<double>(cost.dramCycles) * 1e-3,
          static_cast<double>(cost.dramBytes) / 1024, name(cost.bound), cost.winograd ? 'W' : ' ');
    std::printf("\n");
  }
}

/// Without any of the sheet's conventions.
constexpr SheetRule kOwnRule = {.kibibyte = 1024,
                                .outputGranule = 16,
                                .foldsWeights = false,
                                .growsWeights = false,
                                .fuses = false};

/// The rule with one more of the sheet's conventions given up in each line.
void printConventions(const SheetMachine &machine) {
  SheetRule rule;
  double before = 0;
  const auto line = [&](const char *what, const std::vector<SheetLayer> &layers) {
    const double ms = sheetMilliseconds(layers, machine, rule);
    std::printf("  %-66s %7.4f ms  %+8.4f\n", what, ms, before > 0 ? ms - before : 0);
    before = ms;
  };
  std::printf("\nthe rule, and what its conventions are worth, one after the other\n");
  line("the sheet", sheetResNet50());
  rule.kibibyte = kOwnRule.kibibyte;
  line("a KiB is 1024 bytes for DRAM too", sheetResNet50());
  line("res2a_2a has 64 input channels, not 256", resNet50());
  rule.outputGranule = kOwnRule.outputGranule;
  line("output channels in steps of 16, not 128", resNet50());
  rule.foldsWeights = kOwnRule.foldsWeights;
  line("kernels of stride 2 stored as they are, 1x1 not as 2x2", resNet50());
  rule.growsWeights = kOwnRule.growsWeights;
  line("Winograd's weights transformed on chip: 9 in DRAM, not 16", resNet50());
  rule.fuses = kOwnRule.fuses;
  line("additions and pooling by themselves: our layers", resNet50());
  rule.batchesWeights = true;
  line("weights of fc1000 once for 16 pictures (not so in either)", resNet50());
}

/// What lies between the rule and our machine, in ms.
struct Gap {
  double rule = 0, bytes = 0, arrays = 0, waits = 0;
};

Gap gapOf(const std::vector<SheetLayer> &layers, const SheetMachine &machine, const SheetRule &rule,
          const std::vector<MachineCost> &costs) {
  Gap gap;
  for (size_t i = 0; i < layers.size(); ++i) {
    const SheetCost cost = sheetCost(layers[i], machine, rule);
    const auto dram = static_cast<double>(costs[i].dramCycles),
               array = static_cast<double>(costs[i].arrayCycles);
    gap.rule += cost.cycles() * 1e-6;
    gap.bytes += (std::max(cost.arrayCycles, dram) - cost.cycles()) * 1e-6;
    gap.arrays += (std::max(array, dram) - std::max(cost.arrayCycles, dram)) * 1e-6;
    gap.waits += (static_cast<double>(costs[i].cycles) - std::max(array, dram)) * 1e-6;
  }
  return gap;
}

void printGaps(const SheetMachine &machine, const Machines &machines) {
  const Gap sheet = gapOf(sheetResNet50(), machine, {}, machines.sheet);
  const Gap own = gapOf(resNet50(), machine, kOwnRule, machines.own);
  std::printf("\nfrom the rule to our machine, ms%27s  our layers\n", "its layers");
  const auto line = [](const char *what, double a, double b) {
    std::printf("  %-46s %+8.4f  %+8.4f\n", what, a, b);
  };
  line("the rule for these layers", sheet.rule, own.rule);
  line("bytes moved, and a KiB of 1024", sheet.bytes, own.bytes);
  line("arrays that are filled and not full", sheet.arrays, own.arrays);
  line("first loads, last stores, waits between them", sheet.waits, own.waits);
  const auto sum = [](const Gap &gap) { return gap.rule + gap.bytes + gap.arrays + gap.waits; };
  line("our machine", sum(sheet), sum(own));
}

absl::Status printPrimer(const Target &target) {
  std::printf("\nthe primer's table: pictures/s, ratio to it (bar: within 10 %%), MB of DRAM\n"
              "%-20s %6s  %-29s  %-29s  %s\n",
              "MACs / KiB / GB/s", "primer", "rule", "its layers on our machine",
              "our layers and plan");
  for (const PrimerRow &row : primerTable()) {
    const Target small = targetOf(target, row.machine);
    const absl::StatusOr<Machines> machines = machinesOf(small);
    if (!machines.ok())
      return machines.status();
    double rule = 0;
    for (const SheetLayer &layer : sheetResNet50())
      rule += sheetCost(layer, row.machine).kibibytes;
    std::printf("%5ld / %3ld / %-6g %6g", static_cast<long>(row.machine.multipliers),
                static_cast<long>(row.machine.kibibytes), row.machine.gigabytes, row.pictures);
    const std::array<std::pair<double, double>, 3> columns = {
        {{sheetMilliseconds(sheetResNet50(), row.machine), rule},
         {milliseconds(machines->sheet, small), kibibytes(machines->sheet)},
         {milliseconds(machines->own, small), kibibytes(machines->own)}}};
    for (const auto &[ms, moved] : columns)
      std::printf("  %6.2f %5.3f %s %6.1f", 1e3 / ms, 1e3 / ms / row.pictures,
                  verdict(1e3 / ms / row.pictures, kPrimerBar), moved * 1024e-6);
    std::printf("\n");
  }
  return absl::OkStatus();
}

absl::Status study(const std::string &file) {
  const absl::StatusOr<Target> target = loadTarget(file);
  if (!target.ok())
    return target.status();
  const absl::StatusOr<Machines> machines = machinesOf(*target);
  if (!machines.ok())
    return machines.status();
  const absl::StatusOr<int64_t> network = networkCycles(*target);
  if (!network.ok())
    return network.status();
  const SheetMachine machine = machineOf(*target);
  std::printf("ResNet-50, int8, on %s: %ld MACs, %ld KiB, %g GB/s\n\n", target->name.c_str(),
              static_cast<long>(machine.multipliers), static_cast<long>(machine.kibibytes),
              machine.gigabytes);
  printLayers(*target, *machines);
  Target sheetBytes = *target;
  sheetBytes.dram.bandwidth *= kSheetGigabyte / 1e9;
  const absl::StatusOr<Machines> faster = machinesOf(sheetBytes);
  if (!faster.ok())
    return faster.status();
  std::printf("\nagainst the %.4f ms of the sheet (bar: within 5 %%)\n", kSheetMilliseconds);
  const std::array<std::pair<const char *, double>, 6> totals = {
      {{"the rule", sheetMilliseconds(sheetResNet50(), machine)},
       {"its layers on our machine", milliseconds(machines->sheet, *target)},
       {"  with its GB, 1024 x 10^6 bytes", milliseconds(faster->sheet, sheetBytes)},
       {"our layers and plan", milliseconds(machines->own, *target)},
       {"  with its GB", milliseconds(faster->own, sheetBytes)},
       {"the same in one program", static_cast<double>(*network) / target->clock * 1e3}}};
  for (const auto &[what, ms] : totals)
    std::printf("  %-34s %7.4f ms  %.3f  %s\n", what, ms, ms / kSheetMilliseconds,
                verdict(ms / kSheetMilliseconds, kSheetBar));
  printConventions(machine);
  printGaps(machine, *machines);
  return printPrimer(*target);
}

} // namespace
} // namespace sdopt

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: nvdla-sheet TARGET.yaml\n");
    return 2;
  }
  const absl::Status status = sdopt::study(argv[1]);
  if (!status.ok())
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
