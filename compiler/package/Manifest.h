//===- Manifest.h - modules as protobuf and back ----------------*- C++ -*-===//
//
// Manifest section <-> plain structs. Reading checks what protobuf does not: enumerations,
// dimensions, indices, that lists that belong together have one length.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PACKAGE_MANIFEST_H
#define SDOPT_COMPILER_PACKAGE_MANIFEST_H

#include "compiler/package/Package.h"

namespace sdopt {

/// What the manifest section holds. Program::commands and asset bytes are in sections of their own.
struct PackageManifest {
  Provenance provenance;
  std::vector<ModuleInfo> modules;
  std::vector<std::string> assetNames;
};

/// Equal manifests give equal bytes.
std::string encodeManifest(const PackageManifest &manifest);

/// DATA_LOSS names the module and the entry that is wrong.
absl::StatusOr<PackageManifest> decodeManifest(std::span<const std::byte> bytes);

/// Minor version of a file with these modules: the least that knows what they have.
uint16_t minorVersion(const std::vector<ModuleInfo> &modules);

/// Consistency of a module without its commands: names, ids, dimensions, offsets inside the arena
/// and the constants region, constants of the right kind, tilings of at least 1. Also run by the
/// writer.
absl::Status checkModule(const ModuleInfo &module);

/// That the programs of all buckets of timesteps have one prompt phase; once they have commands.
absl::Status checkBuckets(const ModuleInfo &module);

/// That a program's convolutions are made as their layers say: by which form of Winograd, with
/// which shifts.
absl::Status checkProducts(const Network &network, const Program &program);

/// That a module's schedule of so many bytes is one: timesteps are unique, an input tells them, and
/// each has a row.
absl::Status checkSchedule(const ModuleInfo &module, int64_t bytes);

} // namespace sdopt

#endif // SDOPT_COMPILER_PACKAGE_MANIFEST_H
