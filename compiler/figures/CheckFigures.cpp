#include "compiler/figures/CheckFigures.h"

#include "absl/strings/str_cat.h"
#include "compiler/figures/MemoryRecount.h"
#include "compiler/figures/RunRecount.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

/// Additions in another order.
constexpr double kRounding = 1e-9;
/// Of the scale of an output channel, which counts among a layer's weights.
constexpr int64_t kScaleBytes = 4;

/// Compares and keeps the first difference.
class Comparison {
public:
  explicit Comparison(std::string place) : place_(std::move(place)) {}

  void same(std::string_view figure, int64_t reported, int64_t recounted) {
    ++count_;
    if (reported != recounted)
      differ(figure, absl::StrCat(reported), absl::StrCat(recounted));
  }
  void same(std::string_view figure, const std::string &reported, const std::string &recounted) {
    ++count_;
    if (reported != recounted)
      differ(figure, reported, recounted);
  }
  void near(std::string_view figure, double reported, double recounted) {
    ++count_;
    // A number that is none differs.
    if (!(std::fabs(reported - recounted) <=
          kRounding * std::max(std::fabs(reported), std::fabs(recounted))))
      differ(figure, absl::StrCat(reported), absl::StrCat(recounted));
  }
  /// What the next figures are of: ", layer 'x'".
  void at(std::string part) { part_ = std::move(part); }

  bool ok() const { return status_.ok(); }
  const absl::Status &status() const { return status_; }
  int64_t count() const { return count_; }

private:
  void differ(std::string_view figure, const std::string &reported, const std::string &recounted) {
    if (status_.ok())
      status_ = absl::InternalError(
          absl::StrCat(place_, part_, ": the report's ", std::string(figure), " is ", reported,
                       "; recomputed from the package it is ", recounted));
  }

  std::string place_, part_;
  absl::Status status_;
  int64_t count_ = 0;
};

class ModuleCheck {
public:
  ModuleCheck(const PackageModule &module, const Target &target, const ModuleReport &report)
      : info_(module.info), module_(module), target_(target), report_(report),
        compare_(absl::StrCat("module '", module.info.network.name, "'")),
        constants_(recountConstants(module.info)) {}

  absl::Status run(int64_t *figures) {
    absl::StatusOr<RunRecount> run = recountRun(module_, target_);
    if (!run.ok())
      return run.status();
    run_ = *std::move(run);
    totals();
    phases();
    layers();
    forms();
    memory();
    timeline();
    if (figures)
      *figures = compare_.count();
    return compare_.status();
  }

private:
  double secondsOf(int64_t cycles) const { return static_cast<double>(cycles) / target_.clock; }

  void totals() {
    PhaseRecount sum;
    for (const PhaseRecount &phase : run_.phases) {
      sum.cycles += phase.cycles;
      sum.readBytes += phase.readBytes;
      sum.writeBytes += phase.writeBytes;
      sum.activations += phase.activations;
      sum.energy += phase.energy;
    }
    int64_t macs = 0, skipped = 0, weights = 0;
    for (const LayerRecount &layer : run_.layers) {
      macs += layer.macs;
      skipped += layer.skipped;
    }
    for (const ConstantRecount &constant : constants_)
      weights += constant.padded;
    compare_.at("");
    compare_.same("cycles", report_.cycles(), sum.cycles);
    compare_.near("seconds", report_.seconds(), secondsOf(sum.cycles));
    compare_.same("dram_read_bytes", report_.dram_read_bytes(), sum.readBytes);
    compare_.same("dram_write_bytes", report_.dram_write_bytes(), sum.writeBytes);
    compare_.same("dram_activations", report_.dram_activations(), sum.activations);
    compare_.same("sram_peak_bytes", report_.sram_peak_bytes(), endOfSram(info_));
    compare_.near("energy", report_.energy(), sum.energy);
    compare_.same("macs", report_.macs(), macs);
    compare_.same("skipped_macs", report_.skipped_macs(), skipped);
    compare_.same("commands", report_.commands(),
                  static_cast<int64_t>(info_.program.commands.size()));
    compare_.same("weight_bytes", report_.weight_bytes(), weights);
    compare_.same("package_bytes", report_.package_bytes(), module_.bytes);
  }

  /// Streams with what fills them up, of the weights that layers of a phase multiply with.
  int64_t weightBytes(Phase phase) const {
    int64_t bytes = 0;
    for (const Layer &layer : info_.network.layers)
      if (const auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
          matrix && layer.phase == phase)
        bytes += constants_[matrix->weights].padded;
    return bytes;
  }

  void phases() {
    int at = 0, filled = 0;
    for (Phase phase : {Phase::Prompt, Phase::Schedule, Phase::Step})
      filled += layersOf(phase) > 0;
    for (Phase phase : {Phase::Prompt, Phase::Schedule, Phase::Step}) {
      const auto index = static_cast<size_t>(phase);
      // One alone is the module.
      if (layersOf(phase) == 0 || filled == 1)
        continue;
      compare_.at("");
      if (at >= report_.phases_size())
        break;
      const PhaseReport &reported = report_.phases(at++);
      const PhaseRecount &run = run_.phases[index], &copy = run_.copies[index];
      compare_.at(absl::StrCat(", phase '", name(phase), "'"));
      compare_.same("name", reported.name(), name(phase));
      compare_.same("layers", reported.layers(), layersOf(phase));
      compare_.same("cycles", reported.cycles(), run.cycles);
      compare_.near("seconds", reported.seconds(), secondsOf(run.cycles));
      compare_.near("energy", reported.energy(), run.energy);
      compare_.same("dram_bytes", reported.dram_bytes(), run.readBytes + run.writeBytes);
      compare_.same("weight_bytes", reported.weight_bytes(), weightBytes(phase));
      compare_.same("kept_bytes", reported.kept_bytes(), keptBytes(info_.network, phase));
      compare_.near("copy_seconds", reported.copy_seconds(), secondsOf(copy.cycles));
      compare_.near("copy_energy", reported.copy_energy(), copy.energy);
    }
    compare_.at("");
    compare_.same("number of phases", report_.phases_size(), filled > 1 ? filled : 0);
  }

  int64_t layersOf(Phase phase) const {
    return std::ranges::count(info_.network.layers, phase, &Layer::phase);
  }

  void layers() {
    compare_.at("");
    compare_.same("number of layers", report_.layers_size(),
                  static_cast<int64_t>(info_.network.layers.size()));
    const std::vector<int64_t> sram = recountSram(info_);
    for (size_t i = 0; i < sram.size() && compare_.ok(); ++i) {
      const Layer &layer = info_.network.layers[i];
      const LayerReport &reported = report_.layers(static_cast<int>(i));
      const LayerRecount &run = run_.layers[i];
      compare_.at(absl::StrCat(", layer '", layer.name, "'"));
      compare_.same("name", reported.name(), layer.name);
      compare_.same("index", reported.index(), static_cast<int64_t>(i));
      compare_.same("cycles", reported.cycles(), run.cycles);
      compare_.same("first_cycle", reported.first_cycle(), run.firstCycle);
      compare_.same("bound", reported.bound(), run.bound());
      compare_.same("dma_in_cycles", reported.dma_in_cycles(), run.busy[0]);
      compare_.same("array_cycles", reported.array_cycles(), run.busy[1]);
      compare_.same("vector_cycles", reported.vector_cycles(), run.busy[2]);
      compare_.same("dma_out_cycles", reported.dma_out_cycles(), run.busy[3]);
      compare_.same("dram_bytes", reported.dram_bytes(), run.readBytes + run.writeBytes);
      compare_.near("energy", reported.energy(), run.energy);
      compare_.same("macs", reported.macs(), run.macs);
      compare_.same("skipped_macs", reported.skipped_macs(), run.skipped);
      compare_.same("vector_elements", reported.vector_elements(), run.elements);
      compare_.same("sram_bytes", reported.sram_bytes(), sram[i]);
      weights(layer, reported);
    }
  }

  /// None where there are no weights.
  void weights(const Layer &layer, const LayerReport &reported) {
    int64_t bits = 0;
    double stored = 0;
    std::string form;
    ConstantRecount bytes;
    if (const auto *matrix = std::get_if<MatrixLayer>(&layer.spec)) {
      const ConstantInfo &constant = info_.network.constants[matrix->weights];
      bytes = constants_[matrix->weights];
      bits = constant.form.bits;
      form = name(constant.form);
      const int64_t outputs = info_.network.tensors[layer.output].dims[3];
      stored = 8 * static_cast<double>(bytes.padded + kScaleBytes * outputs) /
               static_cast<double>(constant.bytes);
    }
    compare_.same("weight_bits", reported.weight_bits(), bits);
    compare_.same("weight_form", reported.weight_form(), form);
    compare_.same("weight_bytes", reported.weight_bytes(), bytes.padded);
    compare_.same("weight_stream_bytes", reported.weight_stream_bytes(), bytes.bytes);
    compare_.near("stored_weight_bits", reported.stored_weight_bits(), stored);
  }

  /// Sums over layers of one form.
  void forms() {
    compare_.at("");
    for (const WeightFormReport &form : report_.weight_forms()) {
      int64_t layers = 0, weights = 0, streams = 0;
      for (const LayerReport &layer : report_.layers()) {
        const auto *matrix = std::get_if<MatrixLayer>(&info_.network.layers[layer.index()].spec);
        if (!matrix || layer.weight_form() != form.form())
          continue;
        ++layers;
        weights += info_.network.constants[matrix->weights].bytes;
        streams += constants_[matrix->weights].bytes;
      }
      compare_.at(absl::StrCat(", weights of form '", form.form(), "'"));
      compare_.same("layers", form.layers(), layers);
      compare_.same("weights", form.weights(), weights);
      compare_.same("stream_bytes", form.stream_bytes(), streams);
    }
  }

  void memory() {
    const std::vector<TensorRecount> tensors = recountTensors(info_);
    compare_.at("");
    compare_.same("arena_bytes", report_.arena_bytes(), endOfArena(info_, tensors));
    compare_.same("arena_lower_bound_bytes", report_.arena_lower_bound_bytes(),
                  mostLiveBytes(info_, tensors));
    compare_.same("number of tensors in memory", report_.memory_size(),
                  static_cast<int64_t>(tensors.size()));
    for (size_t i = 0; i < tensors.size() && compare_.ok(); ++i) {
      const TensorInfo &tensor = info_.network.tensors[tensors[i].tensor];
      const MemoryTensor &reported = report_.memory(static_cast<int>(i));
      compare_.at(absl::StrCat(", tensor '", tensor.name, "'"));
      compare_.same("name", reported.name(), tensor.name);
      compare_.same("offset", reported.offset(), info_.plan.offsets[tensors[i].tensor]);
      compare_.same("bytes", reported.bytes(), tensor.bytes());
      compare_.same("first_layer", reported.first_layer(), tensors[i].first);
      compare_.same("last_layer", reported.last_layer(), tensors[i].last);
      compare_.same("boundary", reported.boundary(), tensor.role != TensorRole::Intermediate);
    }
  }

  void timeline() {
    const TimelineReport &timeline = report_.timeline();
    const int64_t cycles = run_.phases[static_cast<size_t>(Phase::Step)].cycles;
    compare_.at(", timeline");
    compare_.same("phase", timeline.phase(), name(Phase::Step));
    compare_.same("cycles", timeline.cycles(), cycles);
    compare_.same("number of lanes", timeline.lanes_size(), kQueues);
    for (int q = 0; q < kQueues && compare_.ok(); ++q) {
      const TimelineLane &lane = timeline.lanes(q);
      compare_.at(absl::StrCat(", timeline of queue '", name(static_cast<Queue>(q)), "'"));
      compare_.same("queue", lane.queue(), name(static_cast<Queue>(q)));
      const int64_t columns = lane.busy_cycles_size();
      // Work up to the end of each column, less that up to its begin.
      int64_t before = 0, begin = 0;
      size_t next = 0;
      for (int64_t i = 0; i < columns; ++i) {
        const int64_t end = static_cast<int64_t>(Int128{i + 1} * cycles / columns);
        int64_t busy = before;
        for (; next < run_.step[q].size() && run_.step[q][next].begin < end; ++next) {
          const WorkInterval &work = run_.step[q][next];
          busy += work.end - work.begin;
        }
        // What the last one does beyond this column belongs to those that follow.
        before = next > 0 ? std::max<int64_t>(run_.step[q][next - 1].end - end, 0) : 0;
        compare_.same(absl::StrCat("busy_cycles of column ", i, " from cycle ", begin),
                      lane.busy_cycles(static_cast<int>(i)), busy - before);
        begin = end;
      }
    }
  }

  const ModuleInfo &info_;
  const PackageModule &module_;
  const Target &target_;
  const ModuleReport &report_;
  Comparison compare_;
  std::vector<ConstantRecount> constants_;
  RunRecount run_;
};

} // namespace

absl::Status checkFigures(const PackageModule &module, const Target &target,
                          const ModuleReport &report, int64_t *figures) {
  return ModuleCheck(module, target, report).run(figures);
}

absl::Status checkFigures(const Target &target, const MachineReport &report) {
  Comparison compare(absl::StrCat("target '", target.name, "'"));
  const ArrayTarget &array = target.array;
  // A product and an addition in each multiplier and cycle.
  const double products = 2.0 * static_cast<double>(array.rows) *
                          static_cast<double>(array.columns) * static_cast<double>(array.count) *
                          target.clock;
  compare.near("clock", report.clock(), target.clock);
  compare.near("dram_bandwidth", report.dram_bandwidth(), target.dram.bandwidth);
  compare.near("operations_8x8", report.operations_8x8(), products);
  compare.near("operations_16x8", report.operations_16x8(), array.a16w8Rate * products);
  compare.near("operations_16x16", report.operations_16x16(), array.a16a16Rate * products);
  compare.near("vector_elements", report.vector_elements(),
               static_cast<double>(target.vector.lanes) * target.clock);
  compare.same("sram_bytes", report.sram_bytes(), target.sram.bytes);
  compare.same("dram_bytes", report.dram_bytes(), target.dram.bytes);
  return compare.status();
}

} // namespace sdopt
