#include "tests/power/PlannedModule.h"

#include "tests/schedule/LayerZoo.h"

#include <sys/mman.h>

namespace sdopt::test {

absl::StatusOr<PackageModule> plannedModule(const Network &network, const Target &target) {
  absl::StatusOr<Plan> plan = planNetwork(network, target);
  if (!plan.ok())
    return plan.status();
  return expandedModule(network, *std::move(plan), target);
}

absl::StatusOr<PackageModule> expandedModule(const Network &network, Plan plan,
                                             const Target &target) {
  int64_t bytes = 0;
  std::vector<int64_t> offsets = constantOffsets(network, plan, bytes);
  absl::StatusOr<Program> program = expand(network, plan, target, offsets, bytes);
  if (!program.ok())
    return program.status();
  PackageModule module;
  module.info = {network, std::move(plan), *std::move(program), std::move(offsets)};
  // Pages that are never touched take no memory; kept until the test program ends.
  const auto size = static_cast<size_t>(std::max<int64_t>(bytes, 1));
  void *zeros = mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (zeros == MAP_FAILED)
    return absl::ResourceExhaustedError("cannot map constants");
  module.constants = {static_cast<const std::byte *>(zeros), static_cast<size_t>(bytes)};
  return module;
}

} // namespace sdopt::test
