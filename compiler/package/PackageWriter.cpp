#include "absl/strings/str_cat.h"
#include "compiler/files/Blake3.h"
#include "compiler/files/MappedFile.h"
#include "compiler/files/PartialFiles.h"
#include "compiler/files/SystemError.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/package/CommandCoding.h"
#include "compiler/package/CommandOperands.h"
#include "compiler/package/Crc32c.h"
#include "compiler/package/FileLayout.h"
#include "compiler/package/Manifest.h"
#include "compiler/package/Package.h"
#include "compiler/package/SaturatingArithmetic.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <future>
#include <set>
#include <unistd.h>

namespace sdopt {
namespace {

int64_t alignedConstant(int64_t bytes) {
  return (bytes + kConstantAlignment - 1) / kConstantAlignment * kConstantAlignment;
}

std::span<const std::byte> bytesOf(const std::string &text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

class FileWriter final : public PackageWriter {
public:
  explicit FileWriter(PartialFile file) : file_(std::move(file)) {}

  /// The header is known last: its page is left out of the file and of the digest until finish().
  absl::Status start() { return appendZeros(kSectionAlignment - kHeaderBytes); }

  absl::Status addModule(const ModuleInfo &module, const ConstantSource &source,
                         const Completion &complete) override {
    const auto index = static_cast<uint32_t>(manifest_.modules.size());
    const std::string place = absl::StrCat("module '", module.network.name, "'");
    if (!names_.insert(module.network.name).second)
      return at(place, absl::AlreadyExistsError("a module of this name was added before"));
    std::vector<int64_t> offsets;
    absl::StatusOr<int64_t> bytes = addConstants(index, module.network, source, offsets);
    if (!bytes.ok())
      return bytes.status();
    if (absl::Status status = complete(std::move(offsets), *bytes); !status.ok())
      return status;
    absl::Status status = checkModule(module);
    if (status.ok())
      status = checkBuckets(module);
    if (!status.ok())
      return at(place, status);
    status = addCommands(SectionKind::Commands, index, module);
    for (size_t b = 0; status.ok() && b < module.buckets.size(); ++b)
      status = addCommands(SectionKind::Bucket, bucketIndex(index, b), module.buckets[b]);
    if (!status.ok())
      return status;
    ModuleInfo &copy = manifest_.modules.emplace_back(module);
    copy.program.commands.clear();
    for (ModuleInfo &bucket : copy.buckets)
      bucket.program.commands.clear();
    return absl::OkStatus();
  }

  absl::StatusOr<PackageModule> readBack(const ModuleInfo &module) const override {
    absl::StatusOr<std::shared_ptr<const MappedFile>> file = MappedFile::open(file_.partialPath());
    if (!file.ok())
      return file.status();
    const auto section = std::find_if(sections_.rbegin(), sections_.rend(), [](const Section &s) {
      return s.kind == SectionKind::Constants;
    });
    if (section == sections_.rend() || manifest_.modules.back().network.name != module.network.name)
      return absl::InternalError(
          absl::StrCat("module '", module.network.name, "' is not the one that was added last"));
    PackageModule result{.info = module};
    result.constants = (*file)->bytes().subspan(static_cast<size_t>(section->offset),
                                                static_cast<size_t>(section->size));
    result.bytes = section->size;
    result.release = [file = *file, begin = section->offset](int64_t offset, int64_t size) {
      file->release(begin + offset, size);
    };
    return result;
  }

  absl::Status addSchedule(const std::vector<int32_t> &timesteps,
                           std::span<const std::byte> rows) override {
    if (manifest_.modules.empty() || !manifest_.modules.back().scheduleTimesteps.empty())
      return absl::FailedPreconditionError(
          absl::StrCat(file_.path(), ": a schedule follows a module that has none"));
    ModuleInfo &module = manifest_.modules.back();
    module.scheduleTimesteps = timesteps;
    absl::Status status = checkSchedule(module, static_cast<int64_t>(rows.size()));
    if (!status.ok()) {
      module.scheduleTimesteps.clear();
      return at(absl::StrCat("module '", module.network.name, "'"), status);
    }
    status =
        beginSection(SectionKind::Schedule, static_cast<uint32_t>(manifest_.modules.size()) - 1);
    return status.ok() ? appendToSection(rows) : status;
  }

  absl::Status addAsset(const Asset &asset) override {
    for (const std::string &name : manifest_.assetNames)
      if (name == asset.name)
        return at(absl::StrCat("asset '", name, "'"),
                  absl::AlreadyExistsError("an asset of this name was added before"));
    const auto index = static_cast<uint32_t>(manifest_.assetNames.size());
    manifest_.assetNames.push_back(asset.name);
    return addSection(SectionKind::Asset, index, asset.bytes);
  }

  absl::Status complete(const Provenance &provenance) override {
    manifest_.provenance = provenance;
    absl::Status status = addSection(SectionKind::Manifest, 0, encodeManifest(manifest_));
    if (status.ok())
      status = appendZeros(alignedToSection(position_) - position_);
    if (!status.ok())
      return status;
    FileHeader header;
    header.minor = minorVersion(manifest_.modules);
    header.sections = static_cast<uint32_t>(sections_.size());
    header.tableOffset = position_;
    header.fileBytes = position_ + header.sections * kEntryBytes + kTrailerBytes;
    header.targetDigest = bytesOfHex<16>(provenance.targetDigest);
    std::string tail;
    for (const Section &section : sections_)
      tail += encodeEntry(section);
    if (status = append(bytesOf(tail)); !status.ok())
      return status;
    const std::string head = encodeHeader(header);
    digest_.update(bytesOf(head));
    tail = encodeTrailer(bytesOfHex<32>(digest_.hex()), header.fileBytes);
    if (status = writeAt(position_, bytesOf(tail)); !status.ok())
      return status;
    if (status = writeAt(0, bytesOf(head)); !status.ok())
      return status;
    // Some file systems report a full disk only here.
    return ::fsync(file_.descriptor()) == 0 ? absl::OkStatus() : writeError();
  }

  const std::string &partialPath() const override { return file_.partialPath(); }

  absl::Status publish() override { return file_.publish(); }

private:
  absl::Status at(const std::string &place, const absl::Status &status) const {
    return absl::Status(status.code(),
                        absl::StrCat(file_.path(), ": ", place, ": ", status.message()));
  }

  absl::Status writeError() const { return systemError("write", file_.path(), errno); }

  absl::Status writeAt(int64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::pwrite(file_.descriptor(), bytes.data(), bytes.size(), offset);
      if (written < 0 && errno == EINTR)
        continue;
      if (written <= 0)
        return writeError();
      offset += written;
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

  absl::Status append(std::span<const std::byte> bytes) {
    absl::Status status = writeAt(position_, bytes);
    digest_.update(bytes);
    position_ += static_cast<int64_t>(bytes.size());
    return status;
  }

  absl::Status appendZeros(int64_t count) {
    static constexpr std::array<std::byte, kSectionAlignment> kZeros = {};
    for (; count > 0; count -= kSectionAlignment) {
      absl::Status status =
          append(std::span(kZeros).first(static_cast<size_t>(std::min(count, kSectionAlignment))));
      if (!status.ok())
        return status;
    }
    return absl::OkStatus();
  }

  absl::Status beginSection(SectionKind kind, uint32_t index) {
    absl::Status status = appendZeros(alignedToSection(position_) - position_);
    sections_.push_back({kind, index, position_, 0, 0});
    return status;
  }

  absl::Status appendToSection(std::span<const std::byte> bytes) {
    Section &section = sections_.back();
    section.crc = crc32c(bytes, section.crc);
    section.size += static_cast<int64_t>(bytes.size());
    return append(bytes);
  }

  absl::Status addSection(SectionKind kind, uint32_t index, const std::string &bytes) {
    absl::Status status = beginSection(kind, index);
    return status.ok() ? appendToSection(bytesOf(bytes)) : status;
  }

  absl::Status addCommands(SectionKind kind, uint32_t index, const ModuleInfo &module) {
    absl::Status status = checkEncodable(module.program.commands);
    if (status.ok())
      status = checkCommands(module.program, static_cast<int64_t>(module.network.layers.size()));
    if (status.ok())
      status = checkProducts(module.network, module.program);
    if (!status.ok())
      return at(absl::StrCat("module '", module.network.name, "'"), status);
    return addSection(kind, index, encodeCommands(module.program.commands));
  }

  /// One after the other, each at the next multiple of kConstantAlignment; their bytes.
  absl::StatusOr<int64_t> addConstants(uint32_t index, const Network &network,
                                       const ConstantSource &source,
                                       std::vector<int64_t> &offsets) {
    if (absl::Status status = beginSection(SectionKind::Constants, index); !status.ok())
      return status;
    const Section &section = sections_.back();
    // One constant is made while the one before is written.
    const std::launch policy = kernelThreads() > 1 ? std::launch::async : std::launch::deferred;
    std::future<absl::Status> writing;
    const auto written = [&] { return writing.valid() ? writing.get() : absl::OkStatus(); };
    std::vector<std::byte> being;
    int64_t end = 0;
    for (size_t i = 0; i < network.constants.size(); ++i) {
      absl::StatusOr<std::vector<std::byte>> made = source(static_cast<ConstantId>(i));
      if (absl::Status before = written(); !before.ok())
        return before;
      if (!made.ok())
        return at(absl::StrCat("constant '", network.constants[i].name, "'"), made.status());
      being = *std::move(made);
      offsets.push_back(end);
      end += alignedConstant(static_cast<int64_t>(being.size()));
      writing = std::async(policy, [&, end] {
        absl::Status status = appendToSection(being);
        return status.ok() ? padSection(end - section.size) : status;
      });
    }
    if (absl::Status last = written(); !last.ok())
      return last;
    return end;
  }

  absl::Status padSection(int64_t count) {
    const std::vector<std::byte> zeros(std::min<int64_t>(count, 1 << 16), std::byte{0});
    absl::Status status;
    for (; status.ok() && count > 0; count -= static_cast<int64_t>(zeros.size()))
      status = appendToSection(
          std::span(zeros).first(static_cast<size_t>(std::min<int64_t>(count, zeros.size()))));
    return status;
  }

  PartialFile file_;
  int64_t position_ = kHeaderBytes;
  std::vector<Section> sections_;
  std::set<std::string> names_;
  PackageManifest manifest_;
  Blake3 digest_;
};

} // namespace

absl::StatusOr<std::unique_ptr<PackageWriter>> PackageWriter::create(const std::string &path) {
  absl::StatusOr<PartialFile> file = PartialFile::create(path, O_RDWR);
  if (!file.ok())
    return file.status();
  auto writer = std::make_unique<FileWriter>(*std::move(file));
  if (absl::Status status = writer->start(); !status.ok())
    return status;
  return writer;
}

absl::Status PackageWriter::addModule(const ModuleInfo &module, const ConstantSource &source) {
  if (absl::Status status = checkModule(module); !status.ok())
    return status;
  return addModule(module, source, [&](const std::vector<int64_t> &offsets, int64_t bytes) {
    if (offsets == module.constantOffsets && bytes == module.program.constantsBytes)
      return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("module '", module.network.name,
                     "' has its constants elsewhere than one after the other, each at a multiple "
                     "of ",
                     kConstantAlignment));
  });
}

absl::Status PackageWriter::finish(const Provenance &provenance) {
  absl::Status status = complete(provenance);
  return status.ok() ? publish() : status;
}

} // namespace sdopt
