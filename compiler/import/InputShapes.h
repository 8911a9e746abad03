//===- InputShapes.h - symbolic dimensions become numbers -------*- C++ -*-===//

#ifndef SDOPT_COMPILER_IMPORT_INPUTSHAPES_H
#define SDOPT_COMPILER_IMPORT_INPUTSHAPES_H

#include "compiler/import/Import.h"
#include "compiler/import/OnnxFile.h"

namespace sdopt {

/// The shape of each input that is not an initializer, in order. A dimension is bound by
/// options.inputShapes, else by options.dimensions, else (the first one of an input) by
/// options.batch, else by options.defaultDimensions; a name bound by one input's shape holds for
/// all. INVALID_ARGUMENT for a contradiction, or listing every dimension that is left with the flag
/// that binds it.
absl::StatusOr<std::vector<std::pair<const onnx::ValueInfoProto *, Shape>>>
bindInputShapes(const OnnxFile &file, const ImportOptions &options);

/// Names of the symbolic dimensions of all inputs.
std::set<std::string> dimensionNames(const OnnxFile &file);

} // namespace sdopt

#endif // SDOPT_COMPILER_IMPORT_INPUTSHAPES_H
