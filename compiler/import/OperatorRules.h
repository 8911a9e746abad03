//===- OperatorRules.h - the ONNX operators that are known ------*- C++ -*-===//

#ifndef SDOPT_COMPILER_IMPORT_OPERATORRULES_H
#define SDOPT_COMPILER_IMPORT_OPERATORRULES_H

#include <span>
#include <string_view>

namespace sdopt {

class NodeImporter;

inline constexpr std::string_view kUnknownOperator = "unknown operator";
/// Opsets whose operators keep the meaning that the converters implement.
inline constexpr int kLowestOpset = 7;
inline constexpr int kHighestOpset = 23;

struct OperatorRule {
  std::string_view name;
  int lowestOpset; ///< of the model; up to kHighestOpset
  int fewestInputs;
  int mostInputs;              ///< -1: any number
  std::string_view attributes; ///< known ones, separated by spaces
  std::string_view support;    ///< what is supported, for people
  /// Defines the node's outputs; errors go into the node.
  void (*convert)(NodeImporter &node);
};

/// Sorted by name.
std::span<const OperatorRule> operatorRules();
/// Null if unknown.
const OperatorRule *findOperatorRule(std::string_view name);

// The converters, by file.
#define SDOPT_CONVERTERS(X)                                                                        \
  /* ConvertConstants.cpp */                                                                       \
  X(Constant)                                                                                      \
  X(ConstantOfShape)                                                                               \
  X(Dropout)                                                                                       \
  X(Identity) X(Range) X(Shape) X(Size) X(Trilu) /* ConvertElementwise.cpp */                      \
      X(Binary) X(Cast) X(Clip) X(Gelu) X(MinMax) X(Mod) X(Pow) X(Unary)                           \
          X(Where) /* ConvertLayers.cpp */                                                         \
      X(ArgMax) X(Conv) X(Gemm) X(GroupNormalization) X(InstanceNormalization)                     \
          X(LayerNormalization) X(MatMul) X(Reduce) X(Softmax) /* ConvertLayout.cpp */             \
      X(Concat) X(Expand) X(Flatten) X(Gather) X(GatherND) X(Pad) X(Reshape) X(Slice) X(Split)     \
          X(Squeeze) X(Transpose) X(Unsqueeze) /* ConvertResize.cpp */                             \
      X(Resize)
#define SDOPT_DECLARE_CONVERTER(Name) void convert##Name(NodeImporter &node);
SDOPT_CONVERTERS(SDOPT_DECLARE_CONVERTER)
#undef SDOPT_DECLARE_CONVERTER
#undef SDOPT_CONVERTERS

} // namespace sdopt

#endif // SDOPT_COMPILER_IMPORT_OPERATORRULES_H
