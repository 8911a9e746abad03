//===- Describe.h - parts of describePackage() ------------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PACKAGE_DESCRIBE_H
#define SDOPT_COMPILER_PACKAGE_DESCRIBE_H

#include "compiler/package/Package.h"

namespace sdopt {

/// The header's fields, one a line.
std::string describeHeader(const Package &package);

/// The section table, one section a line.
std::string describeSections(const Package &package);

} // namespace sdopt

#endif // SDOPT_COMPILER_PACKAGE_DESCRIBE_H
