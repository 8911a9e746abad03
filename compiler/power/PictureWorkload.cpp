#include "compiler/power/PictureWorkload.h"

#include "compiler/simulator/Simulator.h"

#include <algorithm>

namespace sdopt {
namespace {

/// In the order in which they run.
enum class Role : uint8_t { TextEncoder, Other, Denoiser, Decoder };

Role roleOf(const std::string &module) {
  if (module.starts_with("text_encoder"))
    return Role::TextEncoder;
  if (module == "unet" || module == "transformer")
    return Role::Denoiser;
  return module == "vae_decoder" ? Role::Decoder : Role::Other;
}

int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Rows of a run that both branches of guidance can use.
int64_t usedRows(int64_t rows) { return rows <= 1 ? 1 : rows - rows % 2; }

class WorkloadBuilder {
public:
  WorkloadBuilder(const std::vector<PackageModule> &modules, const Target &target,
                  const PowerModel &model, int steps, const std::map<std::string, int64_t> &rows)
      : modules_(modules), target_(target), model_(model), steps_(steps), rows_(rows) {}

  absl::StatusOr<std::optional<PictureWorkload>> build() {
    for (Role needed : {Role::TextEncoder, Role::Denoiser, Role::Decoder})
      if (std::none_of(modules_.begin(), modules_.end(), [&](const PackageModule &module) {
            return roleOf(nameOf(module)) == needed;
          }))
        return std::optional<PictureWorkload>();
    for (const PackageModule &module : modules_)
      if (roleOf(nameOf(module)) == Role::Denoiser)
        result_.pictures = std::max<int64_t>(usedRows(rowsOf(module)) / 2, 1);
    for (Role role : {Role::TextEncoder, Role::Other, Role::Denoiser, Role::Decoder})
      for (const PackageModule &module : modules_)
        if (roleOf(nameOf(module)) == role)
          if (absl::Status status = add(module, role); !status.ok())
            return status;
    return std::optional(std::move(result_));
  }

private:
  static const std::string &nameOf(const PackageModule &module) { return module.info.network.name; }
  int64_t rowsOf(const PackageModule &module) const {
    const auto found = rows_.find(nameOf(module));
    return found == rows_.end() ? 1 : found->second;
  }

  int64_t runsOf(const PackageModule &module, Role role, Phase phase) const {
    const int64_t rows = rowsOf(module);
    if (role == Role::TextEncoder)
      return ceilDiv(2 * result_.pictures, usedRows(rows));
    if (role != Role::Denoiser)
      return ceilDiv(result_.pictures, std::max<int64_t>(rows, 1));
    const int64_t branches = ceilDiv(2 * result_.pictures, usedRows(rows));
    return phase == Phase::Prompt     ? branches
           : phase == Phase::Schedule ? steps_
                                      : steps_ * branches;
  }

  absl::Status add(const PackageModule &module, Role role) {
    for (Phase phase : {Phase::Prompt, Phase::Schedule, Phase::Step}) {
      if (phase == Phase::Schedule && !module.schedule.empty())
        continue;
      auto work = simulatedWork(module, target_, model_, phase, runsOf(module, role, phase));
      if (!work.ok())
        return work.status();
      if (!work->has_value())
        continue;
      if (phase == Phase::Step && role == Role::Denoiser && runsOf(module, role, Phase::Prompt) > 1)
        addCopy(module, Phase::Prompt, **work);
      if (phase == Phase::Step && !module.schedule.empty())
        addCopy(module, Phase::Schedule, **work);
      result_.modules.push_back(**std::move(work));
    }
    return absl::OkStatus();
  }

  /// Keys and values of the branch whose turn it is, or the row of the schedule: DRAM is busy,
  /// whatever the clock.
  void addCopy(const PackageModule &module, Phase phase, PowerModule &step) const {
    Target target = target_;
    target.clock = model_.points[model_.nominal].clock;
    const RunStatistics copy = Simulator(module, target).copyCost(phase);
    if (copy.cycles == 0)
      return;
    const double accesses =
        copy.energy - copy.seconds * (target.energy.leakagePower + target.energy.dramIdlePower);
    step.layers.insert(
        step.layers.begin(),
        layerOfUnits(model_, "copy", {{.seconds = copy.seconds, .dram = accesses}}, 0));
  }

  const std::vector<PackageModule> &modules_;
  const Target &target_;
  const PowerModel &model_;
  const int64_t steps_;
  const std::map<std::string, int64_t> &rows_;
  PictureWorkload result_;
};

} // namespace

absl::StatusOr<std::optional<PictureWorkload>>
pictureWorkload(const std::vector<PackageModule> &modules, const Target &target,
                const PowerModel &model, int steps, const std::map<std::string, int64_t> &rows) {
  if (absl::Status status = checkPowerModel(model); !status.ok())
    return status;
  return WorkloadBuilder(modules, target, model, std::max(steps, 1), rows).build();
}

} // namespace sdopt
