//===- TargetConstants.h - the constants of a target file -------*- C++ -*-===//
//
// One table serves the reader, the checks and the canonical form: adding a constant to the machine
// is one line there.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_TARGET_TARGETCONSTANTS_H
#define SDOPT_COMPILER_TARGET_TARGETCONSTANTS_H

#include "compiler/target/Target.h"

#include <span>
#include <variant>

namespace sdopt {

/// A unit that a key may name: its value times 10^exponent10 * 2^exponent2 is in base units.
struct TargetUnit {
  const char *key;
  int exponent10, exponent2;
};

using IntegerField = int64_t &(*)(Target &);
using RealField = double &(*)(Target &);

struct TargetConstant {
  const char *section; ///< "" for the top level
  const char *key;
  std::span<const TargetUnit> units; ///< the first is the base unit, used in the canonical form
  std::variant<IntegerField, RealField> field;
  double least, most; ///< in base units, both allowed
  bool powerOfTwo = false;
  /// May be left out, and then is the least; left out of the canonical form where it is.
  bool optional = false;
};

/// In the order of the canonical form: constants of one section are neighbours.
std::span<const TargetConstant> targetConstants();

/// "dram.bandwidth".
std::string pathOf(const TargetConstant &constant);

} // namespace sdopt

#endif // SDOPT_COMPILER_TARGET_TARGETCONSTANTS_H
