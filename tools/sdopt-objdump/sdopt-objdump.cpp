// Shows what is in a .sdnpu package.

#include "Options.h"
#include "compiler/files/WholeFile.h"
#include "tools/process/Process.h"

#include <iostream>

using namespace sdopt;

namespace {

int fail(const absl::Status &status) {
  std::cerr << "sdopt-objdump: error: " << status.message() << "\n";
  return 1;
}

} // namespace

int main(int argc, char **argv) {
  reportFailedWrites();
  const ObjdumpOptions options = parseObjdumpOptions(argc, argv);
  const absl::StatusOr<std::unique_ptr<Package>> package = Package::open(options.package);
  if (!package.ok())
    return fail(package.status());
  const absl::StatusOr<std::string> text = dump(**package, options);
  if (!text.ok())
    return fail(text.status());
  if (options.output != "-") {
    const absl::Status status = writeFileAtomically(options.output, *text);
    return status.ok() ? 0 : fail(status);
  }
  std::cout << *text;
  const absl::Status status = flushStandardOutput();
  return status.ok() ? 0 : fail(status);
}
