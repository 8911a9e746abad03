//===- OperatorRules.cpp - the ONNX operators that are known -----------------===//

#include "compiler/import/OperatorRules.h"

#include <algorithm>
#include <iterator>

namespace sdopt {

namespace {

constexpr std::string_view kFloat = "floats";
constexpr std::string_view kNumber = "floats, int32, int64";
constexpr std::string_view kAny = "any element type";
constexpr std::string_view kConstantShape = "any element type, shape known at compile time";

constexpr OperatorRule kRules[] = {
    {"Abs", 7, 1, 1, "", kNumber, convertUnary},
    {"Add", 7, 2, 2, "", kNumber, convertBinary},
    {"And", 7, 2, 2, "", "bool", convertBinary},
    {"ArgMax", 7, 1, 1, "axis keepdims select_last_index", kNumber, convertArgMax},
    {"AveragePool", 7, 1, 1,
     "auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides",
     "2-d, pads that count, no ceil_mode", convertAveragePool},
    {"Cast", 7, 1, 1, "to saturate round_mode", "between floats, 8- to 64-bit integers and bool",
     convertCast},
    {"Ceil", 7, 1, 1, "", kFloat, convertUnary},
    {"Clip", 7, 1, 3, "min max", kNumber, convertClip},
    {"Concat", 7, 1, -1, "axis", kAny, convertConcat},
    {"Constant", 7, 0, 0, "value value_float value_floats value_int value_ints", "numbers and bool",
     convertConstant},
    {"ConstantOfShape", 9, 1, 1, "value", kConstantShape, convertConstantOfShape},
    {"Conv", 7, 2, 3, "auto_pad dilations group kernel_shape pads strides",
     "2-d, constant weights, any group, strides, dilations, pads and auto_pad", convertConv},
    {"Cos", 7, 1, 1, "", kFloat, convertUnary},
    {"DequantizeLinear", 10, 2, 3, "axis block_size output_dtype",
     "constant scales and zero points; constant codes, or what QuantizeLinear gave",
     convertDequantizeLinear},
    {"Div", 7, 2, 2, "", kNumber, convertBinary},
    {"Dropout", 7, 1, 3, "ratio seed", "inference", convertDropout},
    {"Einsum", 12, 1, -1, "equation",
     "one input whose dimensions are permuted, or the product of two", convertEinsum},
    {"Equal", 7, 2, 2, "", "floats, int32, int64, bool", convertBinary},
    {"Erf", 9, 1, 1, "", kFloat, convertUnary},
    {"Exp", 7, 1, 1, "", kFloat, convertUnary},
    {"Expand", 8, 2, 2, "", kConstantShape, convertExpand},
    {"Flatten", 7, 1, 1, "axis", kAny, convertFlatten},
    {"Floor", 7, 1, 1, "", kFloat, convertUnary},
    {"Gather", 7, 2, 2, "axis", kAny, convertGather},
    {"GatherND", 11, 2, 2, "batch_dims", kAny, convertGatherND},
    {"Gelu", 20, 1, 1, "approximate", "floats, approximate 'none' or 'tanh'", convertGelu},
    {"Gemm", 7, 2, 3, "alpha beta transA transB", kFloat, convertGemm},
    {"Greater", 7, 2, 2, "", kNumber, convertBinary},
    {"GreaterOrEqual", 12, 2, 2, "", kNumber, convertBinary},
    {"GroupNormalization", 18, 3, 3, "epsilon num_groups stash_type", "constant scale and bias",
     convertGroupNormalization},
    {"Identity", 7, 1, 1, "", kAny, convertIdentity},
    {"InstanceNormalization", 7, 3, 3, "epsilon", "rank 3 or more, constant scale and bias",
     convertInstanceNormalization},
    {"LayerNormalization", 17, 2, 3, "axis epsilon stash_type",
     "constant scale and bias; first output only", convertLayerNormalization},
    {"Less", 7, 2, 2, "", kNumber, convertBinary},
    {"LessOrEqual", 12, 2, 2, "", kNumber, convertBinary},
    {"Log", 7, 1, 1, "", kFloat, convertUnary},
    {"MatMul", 7, 2, 2, "", kFloat, convertMatMul},
    {"Max", 8, 1, -1, "", kNumber, convertMinMax},
    {"Min", 8, 1, -1, "", kNumber, convertMinMax},
    {"Mod", 10, 2, 2, "fmod", kNumber, convertMod},
    {"Mul", 7, 2, 2, "", kNumber, convertBinary},
    {"Neg", 7, 1, 1, "", kNumber, convertUnary},
    {"Not", 7, 1, 1, "", "bool", convertUnary},
    {"Or", 7, 2, 2, "", "bool", convertBinary},
    {"Pad", 7, 1, 4, "mode pads value", "constant mode, constant pads and value", convertPad},
    {"Pow", 7, 2, 2, "", "floats, int32, int64; a float base with any exponent", convertPow},
    {"QuantizeLinear", 10, 2, 3, "axis block_size output_dtype precision saturate",
     "constant scales and zero points, 8 or 16 bits", convertQuantizeLinear},
    {"Range", 11, 3, 3, "", "constant bounds", convertRange},
    {"Reciprocal", 7, 1, 1, "", kFloat, convertUnary},
    {"ReduceMax", 7, 1, 2, "axes keepdims noop_with_empty_axes", kNumber, convertReduce},
    {"ReduceMean", 7, 1, 2, "axes keepdims noop_with_empty_axes", kNumber, convertReduce},
    {"ReduceMin", 7, 1, 2, "axes keepdims noop_with_empty_axes", kNumber, convertReduce},
    {"ReduceProd", 7, 1, 2, "axes keepdims noop_with_empty_axes", kNumber, convertReduce},
    {"ReduceSum", 7, 1, 2, "axes keepdims noop_with_empty_axes", kNumber, convertReduce},
    {"Relu", 7, 1, 1, "", kFloat, convertUnary},
    {"Reshape", 7, 2, 2, "allowzero", kConstantShape, convertReshape},
    {"Resize", 11, 1, 4,
     "antialias axes coordinate_transformation_mode cubic_coeff_a exclude_outside "
     "extrapolation_value keep_aspect_ratio_policy mode nearest_mode",
     "nearest, each pixel of height and width as often, but the last", convertResize},
    {"Round", 11, 1, 1, "", kFloat, convertUnary},
    {"Shape", 7, 1, 1, "start end", kAny, convertShape},
    {"Sigmoid", 7, 1, 1, "", kFloat, convertUnary},
    {"Sin", 7, 1, 1, "", kFloat, convertUnary},
    {"Size", 7, 1, 1, "", kAny, convertSize},
    {"Slice", 7, 1, 5, "axes ends starts", "constant starts, ends, axes and steps", convertSlice},
    {"Softmax", 7, 1, 1, "axis", kFloat, convertSoftmax},
    {"Split", 7, 1, 2, "axis num_outputs split", "constant sizes", convertSplit},
    {"Sqrt", 7, 1, 1, "", kFloat, convertUnary},
    {"Squeeze", 7, 1, 2, "axes", "constant axes", convertSqueeze},
    {"Sub", 7, 2, 2, "", kNumber, convertBinary},
    {"Tanh", 7, 1, 1, "", kFloat, convertUnary},
    {"Transpose", 7, 1, 1, "perm", kAny, convertTranspose},
    {"Trilu", 14, 1, 2, "upper", "constant k", convertTrilu},
    {"Unsqueeze", 7, 1, 2, "axes", "constant axes", convertUnsqueeze},
    {"Where", 9, 3, 3, "", kAny, convertWhere},
};
static_assert(std::is_sorted(std::begin(kRules), std::end(kRules),
                             [](const OperatorRule &a, const OperatorRule &b) {
                               return a.name < b.name;
                             }));

} // namespace

std::span<const OperatorRule> operatorRules() { return kRules; }

const OperatorRule *findOperatorRule(std::string_view name) {
  auto found = std::lower_bound(
      std::begin(kRules), std::end(kRules), name,
      [](const OperatorRule &rule, std::string_view wanted) { return rule.name < wanted; });
  return found != std::end(kRules) && found->name == name ? found : nullptr;
}

} // namespace sdopt
