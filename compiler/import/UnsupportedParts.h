//===- UnsupportedParts.h - everything unsupported, at once -----*- C++ -*-===//

#ifndef SDOPT_COMPILER_IMPORT_UNSUPPORTEDPARTS_H
#define SDOPT_COMPILER_IMPORT_UNSUPPORTEDPARTS_H

#include "absl/status/status.h"

#include <map>
#include <string>
#include <vector>

namespace sdopt {

/// Collects what a model uses and sdopt lacks, and says it in one message:
///
///   'unet/model.onnx' uses 2 things that are not supported:
///     Conv: 3-d input; 2 nodes ('/conv_in', '/conv_out'); supported: 2-d, constant weights, ...
///     Einsum: unknown operator; 1 node ('/mid/Einsum')
///   supported operators: Abs, Add, ...
class UnsupportedParts {
public:
  /// `part` is an operator, "input", "initializer", "model"; `support` may be empty.
  void add(const std::string &part, const std::string &reason, const std::string &node,
           const std::string &support = {});
  bool empty() const { return entries_.empty(); }
  /// UNIMPLEMENTED, or OK if nothing was added.
  absl::Status status(const std::string &path) const;

private:
  struct Entry {
    std::vector<std::string> nodes;
    std::string support;
  };
  /// By part and reason.
  std::map<std::pair<std::string, std::string>, Entry> entries_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_IMPORT_UNSUPPORTEDPARTS_H
