//===- NamePattern.h - globs and regular expressions over layer names -*- C++ -*-===//

#ifndef SDOPT_COMPILER_RECIPE_NAMEPATTERN_H
#define SDOPT_COMPILER_RECIPE_NAMEPATTERN_H

#include "absl/status/status.h"

#include <string>
#include <string_view>
#include <vector>

namespace sdopt {

/// True if the whole of `name` fits `glob`: '*' stands for any characters (also '/' and none), '?'
/// for one, every other character for itself. Time is O(|glob| * |name|).
bool fitsGlob(std::string_view glob, std::string_view name);

/// INVALID_ARGUMENT if `pattern` is empty, too long or an invalid regular expression.
absl::Status checkNamePattern(const std::string &pattern);

/// Adds the diffusers module paths that exporters write names from: of
///   /unet/down_blocks.0/attentions.0/proj_in/MatMul   (node, TorchScript)
///   unet/unet.down_blocks.0.attentions.0.proj_in.weight   (weight, after "MODULE/")
/// both unet.down_blocks.0.attentions.0.proj_in and, without the exporter's wrapper,
/// down_blocks.0.attentions.0.proj_in. No name twice.
void addModulePaths(std::vector<std::string> &names);

/// True if one of `names` fits as a whole: "re:X" is the ECMAScript regular expression X, all else
/// a glob. The pattern must have passed the check.
bool fitsAny(const std::string &pattern, const std::vector<std::string> &names);

} // namespace sdopt

#endif // SDOPT_COMPILER_RECIPE_NAMEPATTERN_H
