//===- GraphStructure.h - is it a graph, and what of it counts --*- C++ -*-===//

#ifndef SDOPT_COMPILER_IMPORT_GRAPHSTRUCTURE_H
#define SDOPT_COMPILER_IMPORT_GRAPHSTRUCTURE_H

#include "compiler/import/OnnxFile.h"

#include <set>

namespace sdopt {

struct GraphNode {
  const onnx::NodeProto *proto = nullptr;
  std::string name; ///< of the node, or "Conv#12" (its index) if it has none
};

struct GraphStructure {
  std::vector<GraphNode> nodes; ///< that an output depends on, in file order
  std::set<std::string> used;   ///< tensors that those nodes or the graph's outputs read
};

/// INVALID_ARGUMENT for names defined twice, tensors nothing defines, cycles, nodes out of order,
/// missing outputs.
absl::StatusOr<GraphStructure> graphStructure(const OnnxFile &file);

} // namespace sdopt

#endif // SDOPT_COMPILER_IMPORT_GRAPHSTRUCTURE_H
