//===- Import.h - ONNX to sd ------------------------------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_IMPORT_IMPORT_H
#define SDOPT_COMPILER_IMPORT_IMPORT_H

#include "absl/status/statusor.h"
#include "compiler/encodings/ImposedFormats.h"
#include "compiler/weights/WeightStore.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace sdopt {

struct ImportOptions {
  /// Name of the module and of its function: "unet".
  std::string name = {};
  /// Values for symbolic dimensions: by input name, whole shapes. A shape that contradicts the
  /// model is an error naming both.
  std::map<std::string, Shape> inputShapes = {};
  /// Value for every symbolic first dimension ("batch", ...) not bound by inputShapes.
  std::optional<int64_t> batch = {};
  /// Values for symbolic dimensions by their ONNX name ("height" -> 16). Names that the model does
  /// not have are ignored: one set may serve all modules of a pipeline.
  std::map<std::string, int64_t> dimensions = {};
  /// Values for symbolic dimensions by their ONNX name that nothing above binds.
  std::map<std::string, int64_t> defaultDimensions = {};
};

struct ImportedModel {
  mlir::OwningOpRef<mlir::ModuleOp> module;
  /// Elements of the float initializers that are used; scalars and small uniform ones (the unit
  /// scales that exporters add to norms) do not count.
  int64_t parameters = 0;
  int64_t fp32Bytes = 0; ///< 4 * parameters
  /// Files read (model and external data) by their path relative to the model's folder -> BLAKE3
  /// hex.
  std::map<std::string, std::string> digests;
  /// Codes that QuantizeLinear and DequantizeLinear give to values and weights.
  ImposedFormats imposed;
  /// Names of the symbolic dimensions of its inputs.
  std::set<std::string> dimensionNames;
};

/// Reads a .onnx file. Weights stay in the mapped files: the store gets one entry
/// "<name>/<initializer>" for each one used; tensors folded at import go to its overlay as
/// "<name>/<tensor>". Those of up to 64 elements become sd.constant instead. After import: static
/// shapes, no constants where a value is known, no Shape/Identity/dead nodes; all floats are f32
/// (weights keep their type in the store). Values are named as in ONNX, those that a converter adds
/// "<output>.1", "<output>.2", ...
///
/// INVALID_ARGUMENT for a broken file (names file, node, tensor), UNIMPLEMENTED listing *all*
/// unsupported operators, attributes, types and opsets at once, with counts, node names and what
/// would be supported.
absl::StatusOr<ImportedModel> importOnnx(const std::string &path, const ImportOptions &options,
                                         mlir::MLIRContext &context, WeightStore &weights);

/// Names of nodes, values and weights ("<module>/<initializer>") of a .onnx file: what its layers
/// are known under.
absl::StatusOr<std::vector<std::string>> layerNamesOfFile(const std::string &path,
                                                          const std::string &module);

} // namespace sdopt

#endif // SDOPT_COMPILER_IMPORT_IMPORT_H
