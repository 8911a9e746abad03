// describePackage: what sdopt-objdump prints without options.

#include "compiler/package/Describe.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "compiler/package/FileLayout.h"

#include <map>

namespace sdopt {
namespace {

std::string shapeOf(const TensorInfo &tensor) {
  const auto &d = tensor.dims;
  return absl::StrCat(d[0], "x", d[1], "x", d[2], "x", d[3], " ", name(tensor.type));
}

void appendBoundary(std::string &out, const Network &network, TensorRole role, const char *title) {
  for (const TensorInfo &tensor : network.tensors)
    if (tensor.role == role)
      absl::StrAppendFormat(&out, "  %-8s %s  %s  onnx %s  scale %g\n", title, tensor.name,
                            shapeOf(tensor), toString(tensor.logicalShape), tensor.scale);
}

template <typename Items, typename NameOf> std::string counts(const Items &items, NameOf nameOf) {
  std::map<std::string, int64_t> table;
  for (const auto &item : items)
    ++table[nameOf(item)];
  std::string out;
  for (const auto &[name, count] : table)
    absl::StrAppend(&out, out.empty() ? "" : ", ", count, " ", name);
  return out;
}

/// "951, 901, ..., 1"
std::string scheduleText(const ModuleInfo &info) {
  std::string out;
  const double unit = info.network.tensors[scheduleInput(info.network)].scale;
  for (int32_t code : info.scheduleTimesteps)
    absl::StrAppend(&out, out.empty() ? "" : ", ", unit * code);
  return out;
}

std::string describeModule(const PackageModule &module) {
  const ModuleInfo &info = module.info;
  std::string out =
      absl::StrFormat("module %s: %d bytes in the file\n", info.network.name, module.bytes);
  appendBoundary(out, info.network, TensorRole::Input, "input");
  appendBoundary(out, info.network, TensorRole::Output, "output");
  absl::StrAppendFormat(&out, "  layers   %d: %s\n", info.network.layers.size(),
                        counts(info.network.layers, [](const Layer &l) { return kindName(l); }));
  absl::StrAppendFormat(
      &out, "  commands %d: %s\n", info.program.commands.size(),
      counts(info.program.commands, [](const Command &c) { return mnemonic(c); }));
  absl::StrAppendFormat(&out, "  memory   constants %d, arena %d (lower bound %d), sram %d bytes\n",
                        info.program.constantsBytes, info.program.arenaBytes,
                        info.plan.arenaLowerBound, info.program.sramBytes);
  for (const ModuleInfo &bucket : info.buckets)
    absl::StrAppendFormat(
        &out, "  bucket   from timestep %g: %d commands, codes of its own\n",
        bucket.firstTimestep *
            static_cast<double>(info.network.tensors[timestepInput(info.network)].scale),
        bucket.program.commands.size());
  if (!info.scheduleTimesteps.empty())
    absl::StrAppendFormat(&out, "  schedule %d timesteps of %d bytes each: %s\n",
                          info.scheduleTimesteps.size(), scheduleRowBytes(info.network),
                          scheduleText(info));
  return out;
}

} // namespace

std::string describeHeader(const Package &package) {
  const FileHeader &header = package.layout().header;
  return absl::StrFormat("format        %d.%d\nfile          %d bytes\nsections      %d\n"
                         "table         at %d\ntarget        %s (first 16 bytes of its digest)\n"
                         "digest        %s\n",
                         header.major, header.minor, header.fileBytes, header.sections,
                         header.tableOffset, hexOf(header.targetDigest),
                         hexOf(package.layout().digest));
}

std::string describeSections(const Package &package) {
  std::string out =
      absl::StrFormat("%-9s %5s %12s %12s  crc32c    of\n", "section", "index", "offset", "bytes");
  for (const Section &section : package.layout().sections) {
    std::string of;
    if (section.kind == SectionKind::Asset)
      of = package.assets()[section.index].name;
    else if (section.kind == SectionKind::Bucket)
      of = package.modules()[section.index / kMostBuckets].info.network.name;
    else if (section.kind != SectionKind::Manifest)
      of = package.modules()[section.index].info.network.name;
    absl::StrAppendFormat(&out, "%-9s %5d %12d %12d  %08x  %s\n", name(section.kind), section.index,
                          section.offset, section.size, section.crc, of);
  }
  return out;
}

std::string describePackage(const Package &package) {
  std::string out = describeHeader(package) + "\n" + describeSections(package) + "\n";
  const Provenance &provenance = package.provenance();
  absl::StrAppend(&out, "written by sdopt ", provenance.version, "\n");
  absl::StrAppend(&out, "target     ", provenance.targetDigest, "\n");
  absl::StrAppend(&out, "statistics ", provenance.statisticsDigest, "\n");
  for (const auto &[name, digest] : provenance.inputDigests)
    absl::StrAppend(&out, "input      ", digest, "  ", name, "\n");
  for (const PackageModule &module : package.modules())
    absl::StrAppend(&out, "\n", describeModule(module));
  return out;
}

} // namespace sdopt
