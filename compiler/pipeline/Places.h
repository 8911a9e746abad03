//===- Places.h - where a compilation reads and writes ----------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_PLACES_H
#define SDOPT_COMPILER_PIPELINE_PLACES_H

#include "compiler/pipeline/ModelFolder.h"

#include <vector>

namespace sdopt {

struct Place {
  const char *option;
  std::string path;      ///< as the user gave it, or in a folder that the user gave
  bool isFolder = false; ///< whose files have names that are not known yet
};

/// Files that decide the output, for build systems: models with their folders, samples or
/// statistics, recipe, target.
std::vector<Place> inputPlaces(const CompileOptions &options, const ModelFolder &model);

std::vector<Place> outputPlaces(const CompileOptions &options, const ModelFolder &model);

/// INVALID_ARGUMENT naming both options if an output would take the place of an input, of another
/// output, or of the folder of one, through links too; NOT_FOUND if an output that comes last has
/// no place.
absl::Status checkPlaces(const CompileOptions &options, const ModelFolder &model);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_PLACES_H
