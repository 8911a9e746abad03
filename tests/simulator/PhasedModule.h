//===- PhasedModule.h - a small denoiser with three phases ------*- C++ -*-===//
//
// prompt:   text -> key, value (linear layers with a temporary between)
// schedule: time -> sinusoids -> linear
// step:     picture -> query, attention, + time, linear -> out
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TESTS_SIMULATOR_PHASEDMODULE_H
#define SDOPT_TESTS_SIMULATOR_PHASEDMODULE_H

#include "compiler/package/Package.h"

#include <memory>

namespace sdopt::test {

struct PhasedModule {
  Target target;
  std::vector<std::byte> constants;
  PackageModule module;

  /// With a bucket of timesteps from each of these on, which adds the shift of the time path with
  /// another scale.
  static std::unique_ptr<PhasedModule> create(const std::vector<int32_t> &buckets = {});
  /// Codes of "text", "time" and "picture", a function of the three numbers.
  std::map<std::string, Tensor> inputs(uint32_t text, uint32_t time, uint32_t picture) const;
  const std::string &outputName() const;
};

} // namespace sdopt::test

#endif // SDOPT_TESTS_SIMULATOR_PHASEDMODULE_H
