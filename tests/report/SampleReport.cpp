#include "tests/report/SampleReport.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

void addLayer(ModuleReport &module, int index) {
  static constexpr struct {
    const char *name, *kind, *bound;
    int64_t cycles, bytes;
  } kForms[] = {
      {"norm1", "norm", "vector", 21000, 131072},       {"conv1", "conv", "array", 96000, 262144},
      {"time_emb_proj", "linear", "dram", 4100, 49152}, {"norm2", "norm", "vector", 20500, 131072},
      {"conv2", "conv", "array", 88000, 245760},        {"to_q", "linear", "dram", 12500, 90112},
      {"attn", "attention", "array", 54000, 180224},    {"pool", "combine", "latency", 600, 4096},
  };
  const auto &form = kForms[index % 8];
  double wave = 1 + 0.5 * std::sin(index * 0.9);
  LayerReport &layer = *module.add_layers();
  layer.set_name("/blocks." + std::to_string(index / 8) + "/" + form.name);
  layer.set_kind(form.kind);
  layer.add_onnx_nodes("/blocks." + std::to_string(index / 8) + "/" + form.name + "/Op");
  layer.set_weight_bits(std::string(form.kind) == "conv" || std::string(form.kind) == "linear" ? 8
                                                                                               : 0);
  layer.set_activation_bits(16);
  layer.set_sqnr(58 - 9 * wave + 0.05 * (index % 7));
  layer.set_cycles(static_cast<int64_t>(form.cycles * wave));
  layer.set_bound(form.bound);
  layer.set_dram_bytes(static_cast<int64_t>(form.bytes * wave));
  layer.set_dram_lower_bound_bytes(static_cast<int64_t>(form.bytes * wave / 1.25));
  layer.set_energy(1e-5 * wave);
  layer.set_macs(9000000);
  layer.set_sram_bytes(180000);
  layer.set_tiling("A 8x16x64x64 x2");
  layer.set_weight_bytes(36864);
  layer.set_index(index);
}

ModuleReport &addModule(Report &report, const char *name, int layers, int64_t parameters,
                        double psnr) {
  ModuleReport &module = *report.add_modules();
  module.set_name(name);
  module.set_recipe("w8a16");
  module.set_parameters(parameters);
  module.set_weight_bits(8.12);
  module.set_weight_bytes(parameters + parameters / 64);
  module.set_package_bytes(parameters + parameters / 20);
  module.set_fp32_bytes(parameters * 4);
  module.set_psnr(psnr);
  module.set_worst_psnr(psnr - 2.5);
  module.set_samples(80);
  PhaseReport &phase = *module.add_phases();
  phase.set_name("prompt");
  phase.set_layers(3);
  phase.set_cycles(1000);
  phase.set_seconds(1e-6);
  phase.set_energy(2e-6);
  phase.set_dram_bytes(4096);
  phase.set_weight_bytes(2048);
  phase.set_kept_bytes(512);
  phase.set_copy_seconds(1e-8);
  phase.set_copy_energy(1e-9);
  for (int i = 0; i < layers; ++i)
    addLayer(module, i);
  for (const LayerReport &layer : module.layers()) {
    module.set_cycles(module.cycles() + layer.cycles());
    module.set_dram_read_bytes(module.dram_read_bytes() + layer.dram_bytes() * 3 / 4);
    module.set_dram_write_bytes(module.dram_write_bytes() + layer.dram_bytes() / 4);
    module.set_macs(module.macs() + layer.macs());
    module.set_energy(module.energy() + layer.energy());
  }
  module.set_sram_peak_bytes(412 * 1024);
  module.set_seconds(module.cycles() / 0.6e9);
  module.set_arena_bytes(1200000);
  module.set_arena_lower_bound_bytes(1150000);
  module.set_dram_activations(4200);
  module.set_commands(layers * 37);
  return module;
}

void addRemark(Report &report, Remark::Kind kind, const char *pass, const char *module,
               const char *where, const char *what) {
  Remark &remark = *report.add_remarks();
  remark.set_kind(kind);
  remark.set_pass(pass);
  remark.set_module(module);
  remark.set_where(where);
  remark.set_what(what);
}

void addTimesteps(ModuleReport &module) {
  module.set_worst_bucket_psnr(51.5);
  module.set_guidance_pairs(80);
  module.set_guided_psnr(44.1);
  module.set_guidance_sqnr(21.7);
  module.set_guidance_cosine(0.9934);
  for (int i = 0; i < 20; ++i) {
    TimestepReport &timestep = *module.add_timesteps();
    timestep.set_first(50 * i + 1);
    timestep.set_last(50 * i + 1);
    timestep.set_calls(4);
    timestep.set_psnr(50 + 0.4 * i);
    timestep.set_worst_psnr(47 + 0.5 * i);
    timestep.set_guided_psnr(40 + 0.4 * i);
    timestep.set_guidance_sqnr(22 - 0.05 * i);
    timestep.set_guidance_cosine(0.9934 + 0.0001 * i);
  }
}

/// Five buckets of timesteps, in which layer 2 drifts most.
void addRanges(ModuleReport &module) {
  for (int bucket = 0; bucket < 5; ++bucket) {
    TimestepInterval &interval = *module.add_range_timesteps();
    interval.set_first(200 * bucket + 1);
    interval.set_last(200 * bucket + 151);
  }
  for (int i = 0; i < module.layers_size(); ++i)
    for (int bucket = 0; bucket < 5; ++bucket) {
      ValueRange &range = *module.mutable_layers(i)->add_ranges();
      const double size = 8 - (i == 2 ? 1.5 : 0.1 * (i % 5)) * bucket;
      range.set_min(-size / 2);
      range.set_max(size);
      range.set_rms(size / 5);
    }
}

/// Tensors one above the other, each alive in two layers; queues that are busy by turns.
void addPictures(ModuleReport &module) {
  int64_t cycle = 0;
  for (int i = 0; i < module.layers_size(); ++i) {
    LayerReport &layer = *module.mutable_layers(i);
    layer.set_first_cycle(cycle);
    cycle += layer.cycles();
    layer.set_array_cycles(layer.cycles() / 2);
    layer.set_dma_in_cycles(layer.cycles() / 3);
    layer.set_vector_elements(1000);
    if (layer.kind() == "combine")
      layer.set_dram_bytes(0);
    if (layer.kind() != "conv" && layer.kind() != "linear" && layer.kind() != "attention")
      layer.set_macs(0);
    MemoryTensor &tensor = *module.add_memory();
    tensor.set_name("tensor " + std::to_string(i));
    tensor.set_bytes(300000);
    tensor.set_offset(300000 * (i % 4));
    tensor.set_first_layer(i);
    tensor.set_last_layer(std::min(i + 1, module.layers_size() - 1));
    tensor.set_boundary(i == 0);
  }
  TimelineReport &timeline = *module.mutable_timeline();
  timeline.set_phase("step");
  timeline.set_cycles(cycle);
  for (const char *queue : {"in", "array", "vector", "out"}) {
    TimelineLane &lane = *timeline.add_lanes();
    lane.set_queue(queue);
    for (int i = 0; i < 240; ++i)
      lane.add_busy_cycles(static_cast<int32_t>(cycle / 240 * (i % 5) / 4));
  }
}

void addMachine(MachineReport &machine) {
  machine.set_clock(0.6e9);
  machine.set_dram_bandwidth(6.4e9);
  machine.set_operations_8x8(1.23e12);
  machine.set_operations_16x8(0.61e12);
  machine.set_operations_16x16(0.31e12);
  machine.set_vector_elements(38.4e9);
  machine.set_sram_bytes(512 * 1024);
  machine.set_dram_bytes(int64_t{1} << 30);
}

void addPower(PowerReport &power) {
  PowerStudy &study = *power.add_studies();
  study.set_goal("least time under a cap");
  study.set_most_layer_power(2.9);
  PowerChoice &choice = *study.add_choices();
  choice.set_policy("joint");
  choice.set_seconds(0.44);
  choice.set_energy(0.29);
  choice.set_images_per_second(1 / 0.44);
  choice.set_images_per_second_per_watt(1 / 0.29);
  choice.set_layer_power(2.87);
  choice.set_peak_power(8.5);
  choice.set_clock_switches(1234);
  choice.set_voltage_switches(2);
  ModuleClockReport &module = *choice.add_modules();
  module.set_name("unet.step");
  module.set_runs(20);
  module.set_voltage(0.72);
  module.set_lowest_clock(0.57e9);
  module.set_highest_clock(0.86e9);
  PowerChoice &none = *study.add_choices();
  none.set_policy("fixed clock");
  none.set_problem("layer 'a<b' draws at least 3 W");
  for (int i = 0; i < 4; ++i) {
    PowerPoint &point = *power.add_curve();
    point.set_seconds(0.4 + 0.1 * i);
    point.set_energy(0.32 - 0.02 * i);
  }
}

} // namespace

Report sampleReport(int unetLayers) {
  Report report;
  report.set_version("0.1.0");
  report.set_recipe("w8a16");
  report.set_target("edge-tiny");
  report.set_target_digest("5f0c9d3ab6e41c7788d7a2f4b1e09c335f0c9d3ab6e41c7788d7a2f4b1e09c33");
  report.set_model("patterns-sd2");
  addModule(report, "text_encoder", 6, 190000, 71.3);
  ModuleReport &unet = addModule(report, "unet", unetLayers, 6000000, 54.2);
  addTimesteps(unet);
  addRanges(unet);
  addModule(report, "vae_encoder", 8, 280000, 63.9);
  addModule(report, "vae_decoder", 10, 400000, 60.4);
  for (ModuleReport &module : *report.mutable_modules())
    addPictures(module);
  addMachine(*report.mutable_machine());
  report.set_package_bytes(7300000);
  PipelineReport &pipeline = *report.mutable_pipeline();
  pipeline.set_steps(20);
  pipeline.set_guidance_batch(2);
  pipeline.set_seconds_per_image(0.42);
  pipeline.set_images_per_second(1 / 0.42);
  pipeline.set_joules_per_image(0.31);
  pipeline.set_images_per_second_per_watt(1 / 0.31);
  pipeline.set_average_power(0.31 / 0.42);
  addPower(*report.mutable_power());
  addRemark(report, Remark::PASSED, "normalize", "unet", "/blocks.0/norm1",
            "group_norm from 9 nodes");
  addRemark(report, Remark::PASSED, "quantize", "unet", "/blocks.0/conv1",
            "mse range clips 0.4 % of the weights, 41.0 dB");
  addRemark(report, Remark::MISSED, "tile", "unet", "/blocks.0/attn",
            "keys do not stay in SRAM: 786432 bytes needed, 524288 there");
  report.add_assumptions("energy.dram_read_byte 60 pJ: vendor data sheet, mean of reads");
  report.add_assumptions("array.a16w8_rate 0.5: two passes of 8 bits");
  return report;
}

} // namespace sdopt
