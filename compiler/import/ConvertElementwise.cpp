//===- ConvertElementwise.cpp - operators on each element --------------------===//

#include "compiler/import/NodeImporter.h"
#include "compiler/import/OperatorRules.h"

#include "absl/strings/str_cat.h"

#include <cmath>

using namespace mlir;

namespace sdopt {

namespace {

using sd::BinaryKind;
using sd::UnaryKind;

struct NamedUnary {
  std::string_view name;
  UnaryKind kind;
};
constexpr NamedUnary kUnaries[] = {
    {"Abs", UnaryKind::abs},         {"Ceil", UnaryKind::ceil},
    {"Cos", UnaryKind::cos},         {"Erf", UnaryKind::erf},
    {"Exp", UnaryKind::exp},         {"Floor", UnaryKind::floor},
    {"Log", UnaryKind::log},         {"Neg", UnaryKind::neg},
    {"Not", UnaryKind::logical_not}, {"Reciprocal", UnaryKind::reciprocal},
    {"Relu", UnaryKind::relu},       {"Round", UnaryKind::round},
    {"Sigmoid", UnaryKind::sigmoid}, {"Sin", UnaryKind::sin},
    {"Sqrt", UnaryKind::sqrt},       {"Tanh", UnaryKind::tanh},
};

struct NamedBinary {
  std::string_view name;
  BinaryKind kind;
};
constexpr NamedBinary kBinaries[] = {
    {"Add", BinaryKind::add},         {"And", BinaryKind::logical_and},
    {"Div", BinaryKind::div},         {"Equal", BinaryKind::equal},
    {"Greater", BinaryKind::greater}, {"GreaterOrEqual", BinaryKind::greater_or_equal},
    {"Less", BinaryKind::less},       {"LessOrEqual", BinaryKind::less_or_equal},
    {"Max", BinaryKind::max},         {"Min", BinaryKind::min},
    {"Mul", BinaryKind::mul},         {"Or", BinaryKind::logical_or},
    {"Pow", BinaryKind::pow},         {"Sub", BinaryKind::sub},
};

template <typename Table> auto kindOf(const Table &table, std::string_view name) {
  for (const auto &entry : table)
    if (entry.name == name)
      return entry.kind;
  return table[0].kind;
}

} // namespace

void convertUnary(NodeImporter &node) {
  UnaryKind kind = kindOf(kUnaries, node.type());
  bool fits = kind == UnaryKind::logical_not                     ? node.requireBool(0)
              : kind == UnaryKind::neg || kind == UnaryKind::abs ? node.requireNumber(0)
                                                                 : node.requireFloat(0);
  if (fits)
    node.define(0, node.build().unary(kind, node.input(0)));
}

void convertBinary(NodeImporter &node) {
  BinaryKind kind = kindOf(kBinaries, node.type());
  bool logical = kind == BinaryKind::logical_and || kind == BinaryKind::logical_or;
  for (int i = 0; i < 2; ++i) {
    if (logical)
      node.requireBool(i);
    else if (kind != BinaryKind::equal || !node.element(i).isInteger(1))
      node.requireNumber(i);
  }
  if (node.ok())
    node.define(0, node.build().binary(kind, node.input(0), node.input(1)));
}

void convertMinMax(NodeImporter &node) {
  BinaryKind kind = kindOf(kBinaries, node.type());
  Value result = node.input(0);
  node.requireNumber(0);
  for (int i = 1; i < node.inputCount(); ++i)
    if (node.requireNumber(i))
      result = node.build().binary(kind, result, node.input(i));
  node.define(0, result);
}

void convertPow(NodeImporter &node) {
  if (!node.requireNumber(0) || !node.requireNumber(1))
    return;
  bool integerBase = !isa<FloatType>(node.element(0));
  if (integerBase && node.element(0) != node.element(1))
    return node.unsupported("an integer base with an exponent of another type");
  Value exponent = node.build().castTo(node.element(0), node.input(1));
  node.define(0, node.build().binary(BinaryKind::pow, node.input(0), exponent));
}

// BinaryKind::mod takes the sign of the divisor for integers (fmod = 0) and of the dividend for
// floats (fmod = 1). Integers with fmod = 1: |a| mod |b|, then the sign of a.
void convertMod(NodeImporter &node) {
  bool cStyle = node.integer("fmod", 0) != 0;
  if (!node.requireNumber(0) || !node.requireNumber(1))
    return;
  if (!cStyle && isa<FloatType>(node.element(0)))
    return node.invalid("floats need fmod = 1");
  ExpressionBuilder &build = node.build();
  Value a = node.input(0), b = node.input(1);
  if (!cStyle || isa<FloatType>(node.element(0)))
    return node.define(0, build.binary(BinaryKind::mod, a, b));
  Value magnitude =
      build.binary(BinaryKind::mod, build.unary(UnaryKind::abs, a), build.unary(UnaryKind::abs, b));
  Value negative = build.binary(BinaryKind::less, a, build.scalarLike(a, 0));
  node.define(
      0, build.create<sd::WhereOp>(negative, build.unary(UnaryKind::neg, magnitude), magnitude));
}

void convertClip(NodeImporter &node) {
  if (!node.requireNumber(0))
    return;
  ExpressionBuilder &build = node.build();
  Value result = node.input(0);
  for (auto [i, name, kind] :
       {std::tuple(1, "min", BinaryKind::max), std::tuple(2, "max", BinaryKind::min)}) {
    Value bound;
    if (node.has(i))
      bound = node.input(i);
    else if (node.opset() < 11 && node.hasAttribute(name))
      bound = build.scalarLike(result, node.real(name, 0));
    if (bound)
      result = build.binary(kind, result, bound);
  }
  node.define(0, result);
}

void convertGelu(NodeImporter &node) {
  std::string approximate = node.text("approximate", "none");
  if (!node.requireFloat(0))
    return;
  if (approximate != "none" && approximate != "tanh")
    return node.invalid(
        absl::StrCat("attribute approximate is '", approximate, "' but must be 'none' or 'tanh'"));
  UnaryKind kind = approximate == "tanh" ? UnaryKind::gelu_tanh : UnaryKind::gelu;
  node.define(0, node.build().unary(kind, node.input(0)));
}

void convertWhere(NodeImporter &node) {
  if (node.requireBool(0))
    node.define(0, node.build().create<sd::WhereOp>(node.input(0), node.input(1), node.input(2)));
}

void convertCast(NodeImporter &node) {
  int64_t to = node.integer("to", 0);
  if (!node.ok())
    return;
  std::optional<ElementType> type = elementTypeOfOnnx(static_cast<int32_t>(to));
  if (!type)
    return node.unsupported(absl::StrCat("cast to ", nameOfOnnxType(static_cast<int32_t>(to))));
  node.define(0,
              node.build().castTo(mlirElementType(node.build().context(), *type), node.input(0)));
}

} // namespace sdopt
