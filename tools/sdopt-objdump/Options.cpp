#include "Options.h"

#include "absl/strings/str_cat.h"
#include "compiler/package/Describe.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

namespace sdopt {
namespace {

namespace cl = llvm::cl;

constexpr char kOverview[] =
    "sdopt-objdump: shows what is in a .sdnpu package\n\n"
    "Every package is checked before anything is shown: header, section table, checksums,\n"
    "padding, manifest, command encoding, addresses and synchronization of all commands.\n\n"
    "examples\n"
    "  sdopt-objdump pipeline.sdnpu                              overview of everything\n"
    "  sdopt-objdump --check pipeline.sdnpu                      also the BLAKE3 of the whole "
    "file\n"
    "  sdopt-objdump --disassemble=unet pipeline.sdnpu           its commands as text\n"
    "  sdopt-objdump --memory-map --module=unet pipeline.sdnpu   its dram arena, 80 columns\n"
    "  sdopt-objdump --memory-map=svg --module=unet -o unet.svg pipeline.sdnpu\n";

/// Modules that the options select, in the order of the file.
absl::StatusOr<std::vector<const PackageModule *>> selected(const Package &package,
                                                            const std::string &module) {
  std::vector<const PackageModule *> found;
  std::string names;
  for (const PackageModule &candidate : package.modules()) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", candidate.info.network.name);
    if (module.empty() || candidate.info.network.name == module)
      found.push_back(&candidate);
  }
  if (found.empty() && !module.empty())
    return absl::NotFoundError(absl::StrCat("no module '", module, "'; the package has ", names));
  return found;
}

void appendAssembly(std::string &out, const PackageModule &module) {
  const Network &network = module.info.network;
  absl::StrAppend(&out, "module ", network.name, "\n");
  int32_t layer = kNone;
  const std::vector<Command> &commands = module.info.program.commands;
  for (size_t i = 0; i < commands.size(); ++i) {
    if (commands[i].layer != layer) {
      layer = commands[i].layer;
      absl::StrAppend(&out, "; layer ", layer, " ", kindName(network.layers[layer]), " ",
                      network.layers[layer].name, "\n");
    }
    absl::StrAppend(&out, i, "\t", disassemble(commands[i]), "\n");
  }
}

} // namespace

ObjdumpOptions parseObjdumpOptions(int argc, char **argv) {
  ObjdumpOptions options;
  cl::OptionCategory category("sdopt-objdump options");
  cl::opt<std::string, true> package(cl::Positional, cl::Required, cl::desc("PACKAGE.sdnpu"),
                                     cl::location(options.package), cl::cat(category));
  cl::opt<std::string, true> output("o", cl::desc("write to FILE instead of standard output"),
                                    cl::value_desc("FILE"), cl::location(options.output),
                                    cl::cat(category));
  cl::opt<std::string, true> module("module", cl::desc("only this module"), cl::value_desc("NAME"),
                                    cl::location(options.module), cl::cat(category));
  cl::opt<bool, true> header("header", cl::desc("fields of the file header"),
                             cl::location(options.header), cl::cat(category));
  cl::opt<bool, true> sections("sections", cl::desc("section table"),
                               cl::location(options.sections), cl::cat(category));
  cl::opt<std::string> disassemble("disassemble", cl::ValueOptional, cl::value_desc("NAME"),
                                   cl::desc("commands of all modules, or of one"),
                                   cl::cat(category));
  cl::opt<MapFormat, true> memoryMap(
      "memory-map", cl::ValueOptional, cl::desc("dram arena over the layers"),
      cl::values(clEnumValN(MapFormat::Text, "text", "80 columns (default)"),
                 clEnumValN(MapFormat::Svg, "svg", "a picture; needs one module"),
                 clEnumValN(MapFormat::Text, "", "")),
      cl::location(options.memoryMap), cl::cat(category));
  cl::opt<bool, true> check("check", cl::desc("recompute the digest of the whole file"),
                            cl::location(options.check), cl::cat(category));
  cl::HideUnrelatedOptions(category);
  cl::SetVersionPrinter([](llvm::raw_ostream &out) { out << "sdopt " SDOPT_VERSION "\n"; });
  cl::ParseCommandLineOptions(argc, argv, kOverview);
  options.disassemble = disassemble.getNumOccurrences() > 0;
  if (!disassemble.empty())
    options.module = disassemble;
  return options;
}

absl::StatusOr<std::string> dump(const Package &package, const ObjdumpOptions &options) {
  absl::StatusOr<std::vector<const PackageModule *>> modules = selected(package, options.module);
  if (!modules.ok())
    return modules.status();
  if (options.memoryMap == MapFormat::Svg && modules->size() != 1)
    return absl::InvalidArgumentError(
        absl::StrCat("--memory-map=svg draws one module and the package has ", modules->size(),
                     "; name it with --module"));
  std::string out;
  if (options.check) {
    if (absl::Status status = package.checkDigest(); !status.ok())
      return status;
    absl::StrAppend(&out, "ok: ", package.fileBytes(), " bytes, ", package.modules().size(),
                    " modules, ", package.assets().size(), " assets\n");
  }
  if (options.header)
    out += describeHeader(package);
  if (options.sections)
    out += describeSections(package);
  for (const PackageModule *module : *modules) {
    if (options.disassemble)
      appendAssembly(out, *module);
    if (options.memoryMap == MapFormat::Text)
      out += memoryMapText(*module);
    if (options.memoryMap == MapFormat::Svg)
      out += memoryMapSvg(*module);
  }
  return out.empty() ? describePackage(package) : out;
}

} // namespace sdopt
