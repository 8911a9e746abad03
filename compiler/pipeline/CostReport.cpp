//===- CostReport.cpp - what a simulated run costs, in the report -------------===//

#include "compiler/pipeline/CostReport.h"

#include "compiler/pipeline/PictureReport.h"
#include "compiler/pipeline/WeightReport.h"
#include "compiler/schedule/SramLayout.h"

namespace sdopt {

namespace {

void addLayerCosts(const ModuleInfo &info, const RunStatistics &run, ModuleReport &report) {
  std::map<std::string, LayerReport> measured;
  for (const LayerReport &layer : report.layers())
    measured[layer.name()] = layer;
  report.clear_layers();
  int64_t weightBytes = 0;
  for (size_t i = 0; i < info.network.constants.size(); ++i)
    weightBytes += packedBytes(info.network, info.plan, static_cast<ConstantId>(i));
  report.set_weight_bytes(weightBytes);
  report.set_weight_bits(storedBitsPerWeight(info, /*rows=*/true));
  for (size_t i = 0; i < info.network.layers.size(); ++i) {
    const Layer &source = info.network.layers[i];
    const LayerStatistics &cost = run.layers[i];
    LayerReport &layer = *report.add_layers();
    layer.set_name(source.name);
    layer.set_index(static_cast<int32_t>(i));
    layer.set_kind(kindName(source));
    for (const std::string &node : source.onnxNodes)
      layer.add_onnx_nodes(node);
    TensorId activation = source.inputs.empty() ? source.output : source.inputs[0];
    layer.set_activation_bits(8 * byteWidth(info.network.tensors[activation].type));
    if (auto *matrix = std::get_if<MatrixLayer>(&source.spec)) {
      const ConstantInfo &weights = info.network.constants[matrix->weights];
      const int64_t stored = packedBytes(info.network, info.plan, matrix->weights);
      layer.set_weight_bits(static_cast<int32_t>(weights.form.bits));
      layer.set_weight_form(name(weights.form));
      if (matrix->winograd != WinogradForm::None)
        layer.set_winograd(matrix->winograd == WinogradForm::F4x4 ? "F(4x4, 3x3)" : "F(2x2, 3x3)");
      layer.set_weight_bytes(stored);
      layer.set_stored_weight_bits(bitsPerWeight(
          stored + kScaleBytes * info.network.tensors[source.output].dims[3], weights.bytes));
    }
    if (auto found = measured.find(source.name); found != measured.end()) {
      layer.set_sqnr(found->second.sqnr());
      layer.set_cosine(found->second.cosine());
      layer.set_isolated_sqnr(found->second.isolated_sqnr());
      layer.set_nearest_codes_sqnr(found->second.nearest_codes_sqnr());
      layer.set_rounded_codes_sqnr(found->second.rounded_codes_sqnr());
      layer.set_unscaled_codes_sqnr(found->second.unscaled_codes_sqnr());
      layer.set_scaled_codes_sqnr(found->second.scaled_codes_sqnr());
      layer.set_winograd_sqnr(found->second.winograd_sqnr());
    }
    layer.set_cycles(cost.cycles);
    layer.set_bound(name(cost.bound));
    layer.set_dram_bytes(cost.dramReadBytes + cost.dramWriteBytes);
    layer.set_dram_lower_bound_bytes(info.plan.layers[i].cost.lowerBoundBytes);
    layer.set_energy(cost.energy);
    layer.set_macs(cost.multiplyAccumulates);
    layer.set_skipped_macs(cost.skippedMultiplies);
    layer.set_tiling(planText(info.plan.layers[i]));
  }
}

/// Adds what one phase of a module costs, if the module has layers in it. `copy`: what keeping its
/// results for later phases costs.
void addPhaseCosts(const ModuleInfo &info, Phase phase, const RunStatistics &run,
                   const RunStatistics &copy, ModuleReport &report) {
  int32_t layers = 0;
  int64_t weightBytes = 0;
  for (const Layer &layer : info.network.layers) {
    if (layer.phase != phase)
      continue;
    ++layers;
    if (const auto *matrix = std::get_if<MatrixLayer>(&layer.spec))
      weightBytes += packedBytes(info.network, info.plan, matrix->weights);
  }
  if (layers == 0)
    return;
  PhaseReport &out = *report.add_phases();
  out.set_name(name(phase));
  out.set_layers(layers);
  out.set_cycles(run.cycles);
  out.set_seconds(run.seconds);
  out.set_energy(run.energy);
  out.set_dram_bytes(run.dramReadBytes + run.dramWriteBytes);
  out.set_weight_bytes(weightBytes);
  for (TensorId id : keptTensors(info.network, phase))
    out.set_kept_bytes(out.kept_bytes() + info.network.tensors[id].bytes());
  out.set_copy_seconds(copy.seconds);
  out.set_copy_energy(copy.energy);
}

} // namespace

absl::StatusOr<RunStatistics> setCosts(const PackageModule &module, const Target &target,
                                       ModuleReport &report) {
  report.clear_phases();
  RunStatistics run;
  Simulator simulator(module, target);
  for (Phase phase : {Phase::Prompt, Phase::Schedule, Phase::Step}) {
    // Cycles and traffic do not depend on values.
    RunStatistics part;
    std::vector<TraceEvent> events;
    auto outputs = simulator.run(
        {}, {.first = phase, .last = phase, .values = false, .trace = &events}, &part);
    if (!outputs.ok())
      return outputs.status();
    addTo(run, part);
    if (phase == Phase::Step)
      *report.mutable_timeline() = timelineReport(module.info.program, phase, part.cycles, events);
    addPhaseCosts(module.info, phase, part, simulator.copyCost(phase), report);
  }
  if (report.phases_size() == 1)
    report.clear_phases();
  report.set_cycles(run.cycles);
  report.set_seconds(run.seconds);
  report.set_dram_read_bytes(run.dramReadBytes);
  report.set_dram_write_bytes(run.dramWriteBytes);
  report.set_dram_activations(run.dramActivations);
  report.set_sram_peak_bytes(run.sramPeakBytes);
  report.set_energy(run.energy);
  report.set_macs(run.multiplyAccumulates);
  report.set_skipped_macs(run.skippedMultiplies);
  report.set_package_bytes(module.bytes);
  report.set_commands(static_cast<int64_t>(module.info.program.commands.size()));
  report.set_arena_bytes(module.info.plan.arenaBytes);
  report.set_arena_lower_bound_bytes(module.info.plan.arenaLowerBound);
  addLayerCosts(module.info, run, report);
  setPictures(module.info, run, report);
  return run;
}

} // namespace sdopt
