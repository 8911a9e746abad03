//===- Package.h - the .sdnpu file ------------------------------*- C++ -*-===//
//
// docs/format.md is the text of this file. 64-byte header, section table, 4 KiB-aligned sections,
// 64-bit sizes, CRC32C of each section (checked at load), BLAKE3 of the whole (checked by
// `sdopt-objdump --check`). Sections: one manifest (protobuf, compiler/package/manifest.proto), and
// for each module its commands, its constants and, if it has them, its schedule and the commands of
// its buckets of timesteps. Padding is zero and checked. No time, host or path in it.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PACKAGE_PACKAGE_H
#define SDOPT_COMPILER_PACKAGE_PACKAGE_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/schedule/Plan.h"

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace sdopt {

/// A named file that travels with the package (tokenizer vocabulary, scheduler configuration).
struct Asset {
  std::string name; ///< "tokenizer/vocab.json"
  std::string bytes;
};

struct Provenance {
  std::string version;                             ///< of sdopt
  std::string recipe;                              ///< canonical text
  std::string target;                              ///< canonical text
  std::string targetDigest;                        ///< BLAKE3 hex
  std::map<std::string, std::string> inputDigests; ///< "unet/model.onnx" -> BLAKE3 hex
  std::string statisticsDigest;
};

/// Everything about a module except its bytes.
struct ModuleInfo {
  Network network; ///< tensors, constants (with bytes), layers
  Plan plan;
  Program program;
  std::vector<int64_t> constantOffsets;
  /// Codes of the timestep for which the package has what the schedule phase leaves, so that it
  /// need not run; none: it runs.
  std::vector<int32_t> scheduleTimesteps;
  /// For later timesteps: the same layers with codes of other scales. Network, plan and offsets of
  /// constants are complete, but differ from the module's only in scales and zero points of
  /// tensors and in parameters of layers; programs differ in what follows from that. Ascending.
  std::vector<ModuleInfo> buckets = {};
  int32_t firstTimestep = 0; ///< code of the first timestep of such a bucket
};

/// Bytes of a row of a module's schedule: of keptTensors() of its schedule phase, one after the
/// other.
int64_t scheduleRowBytes(const Network &network);
/// The one input that its schedule phase reads; kNone if there are none or several.
TensorId scheduleInput(const Network &network);

/// The input that a time embedding reads; kNone if there is none.
TensorId timestepInput(const Network &network);
/// At most so many programs in a module.
inline constexpr size_t kMostBuckets = 8;
/// Index of the section of buckets[bucket] of a module.
constexpr uint32_t bucketIndex(uint32_t module, size_t bucket) {
  return module * kMostBuckets + 1 + static_cast<uint32_t>(bucket);
}

/// Constants of a module begin at multiples of it.
inline constexpr int64_t kConstantAlignment = 64;

struct PackageModule;

/// Writes a package beside `path` and renames it when finish() or publish() succeeds; otherwise
/// removes it. Sections are streamed.
class PackageWriter {
public:
  static absl::StatusOr<std::unique_ptr<PackageWriter>> create(const std::string &path);
  virtual ~PackageWriter() = default;
  /// Makes the packed bytes of constant i of the module. Called once each, in order.
  using ConstantSource = std::function<absl::StatusOr<std::vector<std::byte>>(ConstantId)>;
  /// Called when all constants are made, with where they lie: completes the module.
  using Completion =
      std::function<absl::Status(std::vector<int64_t> constantOffsets, int64_t constantsBytes)>;
  /// Commands may depend on what the constants take: `module` needs its network only until it is
  /// completed.
  virtual absl::Status addModule(const ModuleInfo &module, const ConstantSource &source,
                                 const Completion &complete) = 0;
  /// A module that is complete; its constants lie where it says.
  absl::Status addModule(const ModuleInfo &module, const ConstantSource &source);
  /// The module that was added last, `module`, as a package has it: its program can run before
  /// the package is complete.
  virtual absl::StatusOr<PackageModule> readBack(const ModuleInfo &module) const = 0;
  /// What the schedule phase of the module that was added last leaves for each of these codes of
  /// its timestep: scheduleRowBytes() each, one after the other.
  virtual absl::Status addSchedule(const std::vector<int32_t> &timesteps,
                                   std::span<const std::byte> rows) = 0;
  virtual absl::Status addAsset(const Asset &asset) = 0;
  /// Writes manifest, table, header; flushes; renames.
  absl::Status finish(const Provenance &provenance);

  /// finish() in two steps, for a package that is checked before anybody can see it: complete()
  /// writes all of partialPath(), publish() renames it.
  virtual absl::Status complete(const Provenance &provenance) = 0;
  virtual const std::string &partialPath() const = 0;
  virtual absl::Status publish() = 0;
};

struct PackageModule {
  ModuleInfo info;
  std::span<const std::byte> constants; ///< mapped
  int64_t bytes = 0;                    ///< of all its sections in the file
  /// Gives the mapped pages of [offset, offset + size) of the constants back to the system; they
  /// are read in again when next used. Null: they are in no file.
  std::function<void(int64_t offset, int64_t size)> release = nullptr;
  std::span<const std::byte> schedule = {}; ///< rows of info.scheduleTimesteps; mapped
};

/// Bucket `index` of a module on its own; 0 is the module's own program.
PackageModule bucketModule(const PackageModule &module, size_t index);

struct FileLayout; // compiler/package/FileLayout.h

/// A memory-mapped, fully validated package: header, table, CRCs, manifest, command encoding,
/// checkProgram's address checks.
class Package {
public:
  /// INVALID_ARGUMENT/DATA_LOSS names file, section and offset of what is wrong. Nothing is
  /// allocated from unchecked sizes.
  static absl::StatusOr<std::unique_ptr<Package>> open(const std::string &path);
  virtual ~Package() = default;
  virtual const std::vector<PackageModule> &modules() const = 0;
  virtual const std::vector<Asset> &assets() const = 0;
  virtual const Provenance &provenance() const = 0;
  virtual int64_t fileBytes() const = 0;
  /// Header and section table.
  virtual const FileLayout &layout() const = 0;
  /// Recomputes the BLAKE3 of the whole file.
  virtual absl::Status checkDigest() const = 0;

  const PackageModule *find(const std::string &name) const;
};

/// Bytes of one command stream and back; decode rejects every malformed byte.
std::string encodeCommands(const std::vector<Command> &commands);
absl::StatusOr<std::vector<Command>> decodeCommands(std::span<const std::byte> bytes);

/// One line of assembly: `conv q=array layer=12 wait=in:1 ...`.
std::string disassemble(const Command &command);

/// Header, sections, provenance and modules as text, for sdopt-objdump.
std::string describePackage(const Package &package);
/// A tensor that owns bytes of the arena, and the layers from whose begin to whose end they matter:
/// layers that are joined together, inputs from the first layer, outputs and what a phase leaves
/// for later ones (keptTensors) to the last.
struct ArenaTensor {
  TensorId tensor = kNone;
  int64_t offset = 0, bytes = 0;
  int64_t firstLayer = 0, lastLayer = 0;
};
/// By offset, then first layer.
std::vector<ArenaTensor> arenaTensors(const ModuleInfo &module);
/// The DRAM arena of a module over time: text (80 columns) or SVG.
std::string memoryMapText(const PackageModule &module);
std::string memoryMapSvg(const PackageModule &module);

} // namespace sdopt

#endif // SDOPT_COMPILER_PACKAGE_PACKAGE_H
