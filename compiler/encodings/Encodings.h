//===- Encodings.h - AIMET encodings files ----------------------*- C++ -*-===//
//
// JSON that AIMET and the tools around it exchange. Read: 0.4.0 to 0.6.1 (two objects, lists of
// encodings by tensor name), 1.0.0 (two lists of objects with names), 2.0.0 (one list, with the
// fields of ONNX QuantizeLinear). Written: 1.0.0 and 2.0.0.
//
// In 0.x and 1.0.0 a real value is scale * (code + offset) with codes from 0; 2.0.0 has ONNX's zero
// points. Float entries say that a tensor is not quantized, and are passed over.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_ENCODINGS_ENCODINGS_H
#define SDOPT_COMPILER_ENCODINGS_ENCODINGS_H

#include "compiler/encodings/ImposedFormats.h"

#include <set>

namespace sdopt {

enum class EncodingsVersion : uint8_t { V1, V2 };

/// All mistakes of a file in one INVALID_ARGUMENT, each with the tensor it is about; UNIMPLEMENTED
/// for scales of blocks.
absl::StatusOr<ImposedFormats> readEncodings(const std::string &path);
absl::StatusOr<ImposedFormats> parseEncodings(const std::string &text, const std::string &origin);

/// `weights` names those that are parameters. The same formats give the same text.
std::string encodingsText(const ImposedFormats &formats, const std::set<std::string> &weights,
                          EncodingsVersion version);

} // namespace sdopt

#endif // SDOPT_COMPILER_ENCODINGS_ENCODINGS_H
