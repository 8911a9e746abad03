//===- OnnxTensor.h - constants of an ONNX file -----------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_IMPORT_ONNXTENSOR_H
#define SDOPT_COMPILER_IMPORT_ONNXTENSOR_H

#include "compiler/import/OnnxFile.h"
#include "compiler/kernels/Tensor.h"

#include <map>
#include <optional>

namespace sdopt {

/// The element type of an ONNX data type (TensorProto.DataType); nothing if sdopt has none.
std::optional<ElementType> elementTypeOfOnnx(int32_t dataType);

/// "FLOAT16", "STRING", "type 99".
std::string nameOfOnnxType(int32_t dataType);

/// Product of dimensions that come from a file: nothing if one is negative or the product exceeds
/// 2^40.
std::optional<int64_t> checkedElementCount(const Shape &shape);

/// A constant and, if its bytes lie in a mapped file, where.
struct ConstantData {
  Tensor value; ///< in the stored type; its bytes may be unaligned when in a file
  std::shared_ptr<const MappedFile> file = nullptr;
  int64_t offset = 0;
};

/// Finds the bytes of constants: in the model file, in external files (each mapped once), in typed
/// fields. UNIMPLEMENTED for an element type sdopt lacks, INVALID_ARGUMENT for anything broken,
/// naming tensor and file.
class ConstantReader {
public:
  explicit ConstantReader(const OnnxFile &file) : file_(file) {}

  absl::StatusOr<ConstantData> read(const Initializer &initializer);
  /// A tensor in an attribute, copied; `what` names it in errors.
  absl::StatusOr<Tensor> read(const onnx::TensorProto &tensor, const std::string &what);

  /// External files that were opened, by their path relative to the model's folder.
  const std::map<std::string, std::shared_ptr<const MappedFile>> &externalFiles() const {
    return externalFiles_;
  }

private:
  absl::StatusOr<ConstantData> readExternal(const onnx::TensorProto &header, const Tensor &layout,
                                            const std::string &what);
  absl::StatusOr<std::shared_ptr<const MappedFile>> externalFile(const std::string &location,
                                                                 const std::string &what);

  const OnnxFile &file_;
  std::map<std::string, std::shared_ptr<const MappedFile>> externalFiles_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_IMPORT_ONNXTENSOR_H
