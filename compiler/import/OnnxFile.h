//===- OnnxFile.h - a .onnx file without its weights' bytes -----*- C++ -*-===//
//
// The file is mapped, not read: the protobuf wire format is walked by hand, so that the raw bytes
// of initializers are skipped and only their place is noted. Everything else is parsed by protobuf.
//
//   ModelProto   { ... graph = 7 { node = 1 ...  initializer = 5 { dims, name, raw_data = 9 } ... }
//   }
//                                                                           ^^^^^^^^ offset and
//                                                                           size
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_IMPORT_ONNXFILE_H
#define SDOPT_COMPILER_IMPORT_ONNXFILE_H

#include "absl/status/statusor.h"
#include "compiler/files/MappedFile.h"

#include "onnx/onnx_pb.h"

#include <memory>
#include <string>
#include <vector>

namespace sdopt {

/// An initializer: its fields but for raw_data, and where in the file that lies.
struct Initializer {
  onnx::TensorProto header;
  int64_t rawOffset = -1; ///< in bytes from the start of the file; -1: no raw_data
  int64_t rawSize = 0;    ///< bytes
};

struct OnnxFile {
  std::string path;   ///< as given
  std::string folder; ///< of the file, "." if the path has none
  std::string name;   ///< of the file in its folder
  std::shared_ptr<const MappedFile> mapping;
  onnx::ModelProto model; ///< graph without initializers
  std::vector<Initializer> initializers;
};

/// INVALID_ARGUMENT naming the file and the offset of the first broken field; the mapping's own
/// error if it cannot be opened.
absl::StatusOr<OnnxFile> readOnnxFile(const std::string &path);

} // namespace sdopt

#endif // SDOPT_COMPILER_IMPORT_ONNXFILE_H
