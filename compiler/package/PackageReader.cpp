#include "absl/strings/str_cat.h"
#include "compiler/files/Blake3.h"
#include "compiler/files/MappedFile.h"
#include "compiler/package/CommandOperands.h"
#include "compiler/package/Crc32c.h"
#include "compiler/package/FileLayout.h"
#include "compiler/package/Manifest.h"
#include "compiler/package/Package.h"

#include <algorithm>
#include <set>

namespace sdopt {
namespace {

/// Bytes that are looked at before their pages are given back.
constexpr int64_t kChunk = int64_t{4} << 20;

/// Calls visit(bytes) over [begin, end) of the file, keeping at most a chunk resident.
template <typename Visit>
void forEachChunk(const MappedFile &file, int64_t begin, int64_t end, Visit visit) {
  while (begin < end) {
    const int64_t size = std::min(kChunk, end - begin);
    visit(file.bytes().subspan(static_cast<size_t>(begin), static_cast<size_t>(size)));
    file.release(begin, size);
    begin += size;
  }
}

class FilePackage final : public Package {
public:
  explicit FilePackage(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {}

  const std::vector<PackageModule> &modules() const override { return modules_; }
  const std::vector<Asset> &assets() const override { return assets_; }
  const Provenance &provenance() const override { return provenance_; }
  int64_t fileBytes() const override { return layout_.header.fileBytes; }

  absl::Status checkDigest() const override {
    Blake3 digest;
    auto update = [&](std::span<const std::byte> bytes) { digest.update(bytes); };
    forEachChunk(*file_, kHeaderBytes, fileBytes() - kTrailerBytes, update);
    update(file_->bytes().first(kHeaderBytes));
    const std::string found = digest.hex(), stated = hexOf(layout_.digest);
    if (found == stated)
      return absl::OkStatus();
    return absl::DataLossError(
        absl::StrCat(file_->path(), ": trailer: digest is ", found, "; the file states ", stated));
  }

  const FileLayout &layout() const override { return layout_; }

  absl::Status load() {
    absl::StatusOr<FileLayout> layout = readLayout(file_->bytes());
    if (!layout.ok())
      return at("", layout.status());
    layout_ = *std::move(layout);
    for (const Section &section : layout_.sections)
      if (absl::Status status = checkSum(section); !status.ok())
        return at(place(section), status);
    const Section *section = find(SectionKind::Manifest, 0);
    if (!section)
      return at("", absl::DataLossError("has no manifest section"));
    absl::StatusOr<PackageManifest> manifest = decodeManifest(content(*section));
    if (!manifest.ok())
      return at(place(*section), manifest.status());
    return take(*std::move(manifest), place(*section));
  }

private:
  absl::Status at(const std::string &where, const absl::Status &status) const {
    return absl::Status(status.code(), absl::StrCat(file_->path(), ": ", where,
                                                    where.empty() ? "" : ": ", status.message()));
  }

  static std::string place(const Section &section) {
    return absl::StrCat("section ", name(section.kind), " ", section.index, " at offset ",
                        section.offset);
  }

  std::span<const std::byte> content(const Section &section) const {
    return file_->bytes().subspan(static_cast<size_t>(section.offset),
                                  static_cast<size_t>(section.size));
  }

  const Section *find(SectionKind kind, uint32_t index) const {
    for (const Section &section : layout_.sections)
      if (section.kind == kind && section.index == index)
        return &section;
    return nullptr;
  }

  absl::Status checkSum(const Section &section) const {
    uint32_t crc = 0;
    forEachChunk(*file_, section.offset, section.offset + section.size,
                 [&](std::span<const std::byte> bytes) { crc = crc32c(bytes, crc); });
    if (crc == section.crc)
      return absl::OkStatus();
    return absl::DataLossError("checksum does not match");
  }

  absl::Status take(PackageManifest manifest, const std::string &where) {
    provenance_ = std::move(manifest.provenance);
    const auto schedules = std::ranges::count_if(
        manifest.modules, [](const ModuleInfo &info) { return !info.scheduleTimesteps.empty(); });
    size_t buckets = 0;
    for (const ModuleInfo &info : manifest.modules)
      buckets += info.buckets.size();
    const size_t expected = 1 + 2 * manifest.modules.size() + static_cast<size_t>(schedules) +
                            buckets + manifest.assetNames.size();
    if (layout_.sections.size() != expected)
      return at(where,
                absl::DataLossError(absl::StrCat("describes ", expected, " sections; the file has ",
                                                 layout_.sections.size())));
    if (bytesOfHex<16>(provenance_.targetDigest) != layout_.header.targetDigest)
      return at(where, absl::DataLossError("target digest differs from the header's"));
    if (const uint16_t minor = minorVersion(manifest.modules); layout_.header.minor != minor)
      return at(where, absl::DataLossError(absl::StrCat("is of format version ", kFormatMajor, ".",
                                                        minor, "; the header says ", kFormatMajor,
                                                        ".", layout_.header.minor)));
    std::set<std::string> names;
    for (ModuleInfo &module : manifest.modules) {
      if (!names.insert(module.network.name).second)
        return at(where,
                  absl::DataLossError(absl::StrCat("has two modules '", module.network.name, "'")));
      if (absl::Status status = takeModule(std::move(module)); !status.ok())
        return status;
    }
    names.clear();
    for (const std::string &name : manifest.assetNames) {
      if (!names.insert(name).second)
        return at(where, absl::DataLossError(absl::StrCat("has two assets '", name, "'")));
      if (absl::Status status = takeAsset(name); !status.ok())
        return status;
    }
    return absl::OkStatus();
  }

  absl::Status takeModule(ModuleInfo info) {
    const auto index = static_cast<uint32_t>(modules_.size());
    const Section *commands = find(SectionKind::Commands, index);
    const Section *constants = find(SectionKind::Constants, index);
    if (!commands || !constants)
      return at("", absl::DataLossError(
                        absl::StrCat("module ", index, " has no commands or constants section")));
    if (constants->size != info.program.constantsBytes)
      return at(place(*constants), absl::DataLossError(absl::StrCat("is ", constants->size,
                                                                    " bytes; the manifest says ",
                                                                    info.program.constantsBytes)));
    if (absl::Status status = checkModule(info); !status.ok())
      return at(place(*find(SectionKind::Manifest, 0)), status);
    const Section *schedule = nullptr;
    if (!info.scheduleTimesteps.empty()) {
      schedule = find(SectionKind::Schedule, index);
      if (!schedule)
        return at("",
                  absl::DataLossError(absl::StrCat("module ", index, " has no schedule section")));
      if (absl::Status status = checkSchedule(info, schedule->size); !status.ok())
        return at(place(*schedule), status);
    }
    PackageModule &module = modules_.emplace_back();
    module.bytes = constants->size;
    absl::Status status = takeCommands(*commands, info, module.bytes);
    for (size_t b = 0; status.ok() && b < info.buckets.size(); ++b) {
      const Section *own = find(SectionKind::Bucket, bucketIndex(index, b));
      if (!own)
        return at("", absl::DataLossError(absl::StrCat(
                          "module ", index, " has no section of bucket ", b, " of its timesteps")));
      status = takeCommands(*own, info.buckets[b], module.bytes);
    }
    if (!status.ok())
      return status;
    if (status = checkBuckets(info); !status.ok())
      return at(place(*commands), status);
    module.info = std::move(info);
    module.constants = content(*constants);
    module.release = [file = file_, begin = constants->offset](int64_t offset, int64_t size) {
      file->release(begin + offset, size);
    };
    if (schedule) {
      module.schedule = content(*schedule);
      module.bytes += schedule->size;
    }
    return absl::OkStatus();
  }

  /// Adds their bytes to `bytes`.
  absl::Status takeCommands(const Section &section, ModuleInfo &info, int64_t &bytes) {
    absl::StatusOr<std::vector<Command>> decoded = decodeCommands(content(section));
    if (!decoded.ok())
      return at(place(section), decoded.status());
    Program &program = info.program;
    program.commands = *std::move(decoded);
    absl::Status status = checkCommands(program, static_cast<int64_t>(info.network.layers.size()));
    if (status.ok()) {
      program.phaseEnds = phaseEnds(info.network, program.commands);
      status = checkProgram(program, program.sramBytes);
    }
    bytes += section.size;
    file_->release(section.offset, section.size);
    if (!status.ok())
      return at(place(section), status);
    status = checkProducts(info.network, program);
    return status.ok()
               ? status
               : at(absl::StrCat(place(section), ": module '", info.network.name, "'"), status);
  }

  absl::Status takeAsset(const std::string &name) {
    const Section *section = find(SectionKind::Asset, static_cast<uint32_t>(assets_.size()));
    if (!section)
      return at("", absl::DataLossError(absl::StrCat("asset '", name, "' has no section")));
    const std::span<const std::byte> bytes = content(*section);
    assets_.push_back(
        {name, std::string(reinterpret_cast<const char *>(bytes.data()), bytes.size())});
    return absl::OkStatus();
  }

  std::shared_ptr<const MappedFile> file_;
  FileLayout layout_;
  Provenance provenance_;
  std::vector<PackageModule> modules_;
  std::vector<Asset> assets_;
};

} // namespace

const PackageModule *Package::find(const std::string &name) const {
  for (const PackageModule &module : modules())
    if (module.info.network.name == name)
      return &module;
  return nullptr;
}

absl::StatusOr<std::unique_ptr<Package>> Package::open(const std::string &path) {
  absl::StatusOr<std::shared_ptr<const MappedFile>> file = MappedFile::open(path);
  if (!file.ok())
    return file.status();
  auto package = std::make_unique<FilePackage>(*std::move(file));
  if (absl::Status status = package->load(); !status.ok())
    return status;
  return package;
}

} // namespace sdopt
