//===- SampleModule.h - a module by hand ------------------------*- C++ -*-===//
//
// The running example (a 4-channel 3x3 convolution on an 1x8x6x4 picture) with commands written by
// hand, so that tests of package and simulator do not depend on the scheduler.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TESTS_PACKAGE_SAMPLEMODULE_H
#define SDOPT_TESTS_PACKAGE_SAMPLEMODULE_H

#include "compiler/package/Package.h"

#include <random>

namespace sdopt::test {

/// The example under a name of its own.
ModuleInfo sampleModule(const std::string &name = "example");

/// Bytes of constant `id`: reproducible weights, parameters that make sense.
std::vector<std::byte> sampleConstant(const ModuleInfo &module, ConstantId id);
/// The whole constants region.
std::vector<std::byte> sampleConstants(const ModuleInfo &module);

Provenance sampleProvenance();

/// Writes two modules and two assets.
absl::Status writeSamplePackage(const std::string &path);

/// Arguments of opcode `index` (of the variant) that decodeCommands() accepts.
CommandArgs randomArgs(size_t index, std::mt19937 &random);
Command randomCommand(std::mt19937 &random);

} // namespace sdopt::test

#endif // SDOPT_TESTS_PACKAGE_SAMPLEMODULE_H
