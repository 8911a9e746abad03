//===- Options.h - what sdopt-objdump is asked for --------------*- C++ -*-===//

#ifndef SDOPT_TOOLS_SDOPT_OBJDUMP_OPTIONS_H
#define SDOPT_TOOLS_SDOPT_OBJDUMP_OPTIONS_H

#include "absl/status/statusor.h"
#include "compiler/package/Package.h"

#include <string>

namespace sdopt {

enum class MapFormat : uint8_t { None, Text, Svg };

struct ObjdumpOptions {
  std::string package;
  std::string output = "-"; ///< file, or standard output
  std::string module;       ///< only this one; empty: all
  bool header = false;
  bool sections = false;
  bool disassemble = false;
  bool check = false;
  MapFormat memoryMap = MapFormat::None;
};

/// Reads the command line; prints help and ends the process for --help or unknown options.
ObjdumpOptions parseObjdumpOptions(int argc, char **argv);

/// The text that was asked for. NOT_FOUND names the modules that there are.
absl::StatusOr<std::string> dump(const Package &package, const ObjdumpOptions &options);

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_OBJDUMP_OPTIONS_H
