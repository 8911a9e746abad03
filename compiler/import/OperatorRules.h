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

// ConvertConstants.cpp
void convertConstant(NodeImporter &node);
void convertConstantOfShape(NodeImporter &node);
void convertDropout(NodeImporter &node);
void convertIdentity(NodeImporter &node);
void convertRange(NodeImporter &node);
void convertShape(NodeImporter &node);
void convertSize(NodeImporter &node);
void convertTrilu(NodeImporter &node);

// ConvertElementwise.cpp
void convertBinary(NodeImporter &node);
void convertCast(NodeImporter &node);
void convertClip(NodeImporter &node);
void convertGelu(NodeImporter &node);
void convertMinMax(NodeImporter &node);
void convertMod(NodeImporter &node);
void convertPow(NodeImporter &node);
void convertUnary(NodeImporter &node);
void convertWhere(NodeImporter &node);

// ConvertLayers.cpp
void convertArgMax(NodeImporter &node);
void convertAveragePool(NodeImporter &node);
void convertConv(NodeImporter &node);
void convertGemm(NodeImporter &node);
void convertGroupNormalization(NodeImporter &node);
void convertInstanceNormalization(NodeImporter &node);
void convertLayerNormalization(NodeImporter &node);
void convertMatMul(NodeImporter &node);
void convertReduce(NodeImporter &node);
void convertSoftmax(NodeImporter &node);

// ConvertLayout.cpp
void convertConcat(NodeImporter &node);
void convertEinsum(NodeImporter &node);
void convertExpand(NodeImporter &node);
void convertFlatten(NodeImporter &node);
void convertGather(NodeImporter &node);
void convertGatherND(NodeImporter &node);
void convertPad(NodeImporter &node);
void convertReshape(NodeImporter &node);
void convertSlice(NodeImporter &node);
void convertSplit(NodeImporter &node);
void convertSqueeze(NodeImporter &node);
void convertTranspose(NodeImporter &node);
void convertUnsqueeze(NodeImporter &node);

// ConvertQuantization.cpp
void convertDequantizeLinear(NodeImporter &node);
void convertQuantizeLinear(NodeImporter &node);

// ConvertResize.cpp
void convertResize(NodeImporter &node);

} // namespace sdopt

#endif // SDOPT_COMPILER_IMPORT_OPERATORRULES_H
