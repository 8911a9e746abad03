//===- ConvertLayout.cpp - operators that move elements ----------------------===//

#include "compiler/import/NodeImporter.h"
#include "compiler/import/OperatorRules.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

using namespace mlir;

namespace sdopt {

namespace {

int64_t product(const Shape &shape, size_t begin, size_t end) {
  return std::accumulate(shape.begin() + begin, shape.begin() + end, int64_t(1),
                         std::multiplies<int64_t>());
}

/// One dimension's range as sd.slice wants it: clamped as NumPy does.
struct SliceRange {
  int64_t start, end, step;
};
SliceRange clampedRange(int64_t dim, int64_t start, int64_t end, int64_t step) {
  // A longer step than any dimension picks one element, whatever its length.
  constexpr int64_t kLongest = int64_t(1) << 41;
  step = std::clamp(step, -kLongest, kLongest);
  if (dim == 0)
    return {0, 0, 1};
  auto fromEnd = [dim](int64_t i) { return i < 0 ? i + dim : i; };
  if (step > 0)
    return {std::clamp<int64_t>(fromEnd(start), 0, dim), std::clamp<int64_t>(fromEnd(end), 0, dim),
            step};
  return {std::clamp<int64_t>(fromEnd(start), 0, dim - 1),
          std::clamp<int64_t>(fromEnd(end), -1, dim - 1), step};
}

/// True for 0, 1, ..., count - 1.
bool isCounting(const std::vector<int64_t> &values, int64_t count) {
  if (count < 1 || static_cast<int64_t>(values.size()) != count)
    return false;
  for (int64_t i = 0; i < count; ++i)
    if (values[i] != i)
      return false;
  return true;
}

/// Integers from input i or, in old opsets, from an attribute.
std::optional<std::vector<int64_t>> inputOrAttribute(NodeImporter &node, int i, const char *name) {
  if (node.has(i))
    return node.integerInput(i, name);
  return node.integers(name);
}

} // namespace

void convertReshape(NodeImporter &node) {
  Shape input = node.shape(0), shape = node.integerInput(1, "shape");
  bool keepZeros = node.integer("allowzero", 0) != 0;
  if (!node.ok())
    return;
  int64_t known = 1;
  int inferred = -1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0 && !keepZeros) {
      if (i >= input.size())
        return node.invalid(
            absl::StrCat("shape copies dimension ", i, " of an input of rank ", input.size()));
      shape[i] = input[i];
    }
    if (shape[i] == -1 && inferred < 0)
      inferred = static_cast<int>(i);
    else if (shape[i] < 0 || !checkedElementCount({known, shape[i]}))
      return node.invalid(absl::StrCat("shape has the impossible dimension ", shape[i]));
    else
      known *= shape[i];
  }
  if (inferred >= 0) {
    if (known == 0)
      return node.invalid("shape has -1 beside 0");
    shape[inferred] = elementCount(input) / known;
  }
  node.define(0, node.build().reshape(node.input(0), shape));
}

void convertFlatten(NodeImporter &node) {
  Shape shape = node.shape(0);
  int64_t axis = node.normalizedAxis(node.integer("axis", 1), node.rank(0), /*atEnd=*/true);
  if (node.ok())
    node.define(0, node.build().reshape(node.input(0), {product(shape, 0, axis),
                                                        product(shape, axis, shape.size())}));
}

void convertSqueeze(NodeImporter &node) {
  Shape shape = node.shape(0), result;
  std::optional<std::vector<int64_t>> axes = node.axes(1, node.rank(0));
  for (size_t i = 0; i < shape.size(); ++i) {
    bool listed = axes && std::count(axes->begin(), axes->end(), static_cast<int64_t>(i)) > 0;
    if (listed && shape[i] != 1)
      return node.invalid(absl::StrCat("dimension ", i, " is ", shape[i], " but must be 1"));
    if (axes ? !listed : shape[i] != 1)
      result.push_back(shape[i]);
  }
  node.define(0, node.build().reshape(node.input(0), result));
}

void convertUnsqueeze(NodeImporter &node) {
  Shape shape = node.shape(0), result;
  // The axes are those of the result, whose rank depends on how many there are.
  std::optional<std::vector<int64_t>> given = inputOrAttribute(node, 1, "axes");
  if (!node.ok())
    return;
  if (!given)
    return node.invalid("axes are missing");
  std::optional<std::vector<int64_t>> axes =
      node.axes(1, node.rank(0) + static_cast<int64_t>(given->size()));
  if (!axes)
    return;
  size_t next = 0;
  for (size_t i = 0; i < shape.size() + axes->size(); ++i) {
    bool added = std::count(axes->begin(), axes->end(), static_cast<int64_t>(i)) > 0;
    result.push_back(added ? 1 : shape[next++]);
  }
  node.define(0, node.build().reshape(node.input(0), result));
}

void convertTranspose(NodeImporter &node) {
  std::vector<int64_t> permutation(node.rank(0));
  std::iota(permutation.rbegin(), permutation.rend(), 0);
  if (std::optional<std::vector<int64_t>> given = node.integers("perm"))
    permutation = *given;
  // An identity of another rank is refused by the operation itself.
  if (permutation.size() != static_cast<size_t>(node.rank(0)))
    return node.invalid(absl::StrCat("perm has ", permutation.size(), " entries but the input has ",
                                     node.rank(0), " dimensions"));
  node.define(0, node.build().transpose(node.input(0), permutation));
}

namespace {

bool haveLettersOnce(const std::string &term) {
  return std::ranges::all_of(term, absl::ascii_isalpha) &&
         std::set<char>(term.begin(), term.end()).size() == term.size();
}

/// The dimensions called `from`, in the order of `to`.
Value permuted(ExpressionBuilder &build, Value value, const std::string &from,
               const std::string &to) {
  std::vector<int64_t> permutation;
  for (char letter : to)
    permutation.push_back(static_cast<int64_t>(from.find(letter)));
  return from == to ? value : build.transpose(value, permutation);
}

/// A product over letters that the result lacks, as one of matrices for each value of those that
/// all three have.
void multiplyTerms(NodeImporter &node, const std::string &equation,
                   const std::vector<std::string> &from, const std::string &to) {
  std::map<char, int64_t> sizes;
  for (int i = 0; i < 2; ++i)
    for (size_t axis = 0; axis < from[i].size(); ++axis) {
      const int64_t size = node.shape(i)[axis];
      if (sizes.emplace(from[i][axis], size).first->second != size)
        return node.unsupported(absl::StrCat("equation '", equation, "' with different sizes of '",
                                             std::string(1, from[i][axis]), "'"));
    }
  const auto isIn = [](const std::string &term, char letter) {
    return term.find(letter) != std::string::npos;
  };
  std::string batch, rows, sums, columns;
  for (char letter : from[0])
    (!isIn(from[1], letter) ? rows : isIn(to, letter) ? batch : sums) += letter;
  for (char letter : from[1])
    if (!isIn(from[0], letter))
      columns += letter;
  if (!std::ranges::is_permutation(batch + rows + columns, to))
    return node.unsupported(
        absl::StrCat("equation '", equation, "' sums over a letter of one input"));
  const auto dims = [&](const std::string &letters) {
    Shape shape;
    for (char letter : letters)
      shape.push_back(sizes.at(letter));
    return shape;
  };
  const auto count = [&](const std::string &letters) {
    int64_t product = 1;
    for (char letter : letters)
      product *= sizes.at(letter);
    return product;
  };
  const auto matrices = [&](int64_t height, int64_t width) {
    Shape shape = dims(batch);
    shape.insert(shape.end(), {height, width});
    return shape;
  };
  ExpressionBuilder &build = node.build();
  const Value left = build.reshape(permuted(build, node.input(0), from[0], batch + rows + sums),
                                   matrices(count(rows), count(sums)));
  const Value right = build.reshape(permuted(build, node.input(1), from[1], batch + sums + columns),
                                    matrices(count(sums), count(columns)));
  const Value product = build.create<sd::MatmulOp>(left, right);
  const std::string order = batch + rows + columns;
  node.define(0, permuted(build, build.reshape(product, dims(order)), order, to));
}

} // namespace

void convertEinsum(NodeImporter &node) {
  // "nhwpqc->nchpwq" or "bct,bcs->bts": letters a to z, each at most once in a term.
  std::string equation = node.text("equation", "");
  std::erase(equation, ' ');
  const size_t arrow = equation.find("->");
  const std::string to = arrow == std::string::npos ? "" : equation.substr(arrow + 2);
  const std::vector<std::string> from = absl::StrSplit(equation.substr(0, arrow), ',');
  if (from.size() != static_cast<size_t>(node.inputCount()))
    return node.invalid(absl::StrCat("equation '", equation, "' has ", from.size(), " terms for ",
                                     node.inputCount(), " inputs"));
  if (arrow == std::string::npos || !haveLettersOnce(to) ||
      !std::ranges::all_of(from, haveLettersOnce))
    return node.unsupported(
        absl::StrCat("equation '", equation, "' without a result or with repeated letters"));
  for (size_t i = 0; i < from.size(); ++i)
    if (static_cast<int64_t>(from[i].size()) != node.rank(static_cast<int>(i)))
      return node.invalid(absl::StrCat("equation '", equation, "' does not fit input ", i,
                                       " of rank ", node.rank(static_cast<int>(i))));
  if (from.size() == 1 && std::ranges::is_permutation(from[0], to))
    return node.define(0, permuted(node.build(), node.input(0), from[0], to));
  if (from.size() != 2)
    return node.unsupported(
        absl::StrCat("equation '", equation, "' is neither a permutation nor a product of two"));
  if (node.requireFloat(0) && node.requireFloat(1))
    multiplyTerms(node, equation, from, to);
}

void convertConcat(NodeImporter &node) {
  std::vector<Value> parts;
  for (int i = 0; i < node.inputCount(); ++i) {
    if (!node.has(i))
      return node.invalid("a part is missing");
    if (node.element(i) != node.element(0))
      return node.invalid("parts have different element types");
    parts.push_back(node.input(i));
  }
  if (!node.hasAttribute("axis"))
    return node.invalid("attribute axis is missing");
  int64_t axis = node.normalizedAxis(node.integer("axis", 0), node.rank(0));
  if (!node.ok())
    return;
  if (parts.size() == 1)
    return node.define(0, parts[0]);
  node.define(0, node.build().create<sd::ConcatOp>(ValueRange(parts), axis, DenseI64ArrayAttr()));
}

void convertSlice(NodeImporter &node) {
  std::optional<std::vector<int64_t>> starts = inputOrAttribute(node, 1, "starts"),
                                      ends = inputOrAttribute(node, 2, "ends"), axes, steps;
  if (!node.ok())
    return;
  if (!starts || !ends)
    return node.invalid("starts or ends are missing");
  axes = node.axes(3, node.rank(0));
  if (node.has(4))
    steps = node.integerInput(4, "steps");
  if (!node.ok())
    return;
  if (!axes) {
    axes.emplace(starts->size());
    std::iota(axes->begin(), axes->end(), 0);
  }
  if (!steps)
    steps.emplace(starts->size(), 1);
  if (ends->size() != starts->size() || axes->size() != starts->size() ||
      steps->size() != starts->size() || starts->size() > static_cast<size_t>(node.rank(0)))
    return node.invalid("starts, ends, axes and steps differ in length or exceed the rank");
  Shape shape = node.shape(0), from(shape.size(), 0), to = shape, by(shape.size(), 1);
  for (size_t i = 0; i < starts->size(); ++i) {
    int64_t axis = (*axes)[i];
    if ((*steps)[i] == 0)
      return node.invalid("a step is zero");
    SliceRange range = clampedRange(shape[axis], (*starts)[i], (*ends)[i], (*steps)[i]);
    from[axis] = range.start;
    to[axis] = range.end;
    by[axis] = range.step;
  }
  bool whole = from == Shape(shape.size(), 0) && to == shape && by == Shape(shape.size(), 1);
  if (whole)
    return node.define(0, node.input(0));
  node.define(0, node.build().create<sd::SliceOp>(node.input(0), ArrayRef<int64_t>(from),
                                                  ArrayRef<int64_t>(to), ArrayRef<int64_t>(by)));
}

void convertSplit(NodeImporter &node) {
  int64_t axis = node.normalizedAxis(node.integer("axis", 0), node.rank(0));
  std::optional<std::vector<int64_t>> sizes = inputOrAttribute(node, 1, "split");
  int64_t count = node.integer("num_outputs", node.outputCount());
  if (!node.ok())
    return;
  int64_t dim = node.shape(0)[axis];
  if (!sizes) {
    if (count != node.outputCount())
      return node.invalid(absl::StrCat("num_outputs is ", count, " but the node has ",
                                       node.outputCount(), " outputs"));
    if (dim % count != 0 && !node.hasAttribute("num_outputs"))
      return node.invalid(
          absl::StrCat("dimension ", axis, " of ", dim, " does not divide into ", count, " parts"));
    int64_t chunk = (dim + count - 1) / count;
    sizes.emplace();
    for (int64_t i = 0; i < count; ++i)
      sizes->push_back(std::clamp<int64_t>(dim - i * chunk, 0, chunk));
  }
  if (sizes->size() != static_cast<size_t>(node.outputCount()))
    return node.invalid(
        absl::StrCat(sizes->size(), " sizes are given for ", node.outputCount(), " outputs"));
  int64_t start = 0;
  for (int i = 0; i < node.outputCount(); ++i) {
    int64_t size = (*sizes)[i];
    if (size < 0 || size > dim - start)
      return node.invalid(absl::StrCat("the sizes do not add up to dimension ", axis, " of ", dim));
    if (node.isUsed(i))
      node.define(i, node.build().sliceAxis(node.input(0), axis, start, start + size));
    start += size;
  }
  if (start != dim)
    node.invalid(absl::StrCat("the sizes do not add up to dimension ", axis, " of ", dim));
}

// Exporters write x[:, 0] and table[positions] as gathers or as slices: constant indices that pick
// one row become a slice, those that list all rows in order a reshape.
void convertGather(NodeImporter &node) {
  int64_t axis = node.normalizedAxis(node.integer("axis", 0), node.rank(0));
  if (!node.element(1).isSignlessInteger(32) && !node.element(1).isSignlessInteger(64))
    return node.invalid("indices must be int32 or int64");
  if (!node.ok())
    return;
  ExpressionBuilder &build = node.build();
  Shape shape = node.shape(0), picked = node.shape(1), result = shape;
  result.erase(result.begin() + axis);
  result.insert(result.begin() + axis, picked.begin(), picked.end());
  std::vector<int64_t> indices;
  if (build.isConstant(node.input(1)))
    indices = node.integerInput(1, "indices");
  for (int64_t &index : indices) {
    if (index < -shape[axis] || index >= shape[axis])
      return node.invalid(
          absl::StrCat("index ", index, " is outside dimension ", axis, " of ", shape[axis]));
    index += index < 0 ? shape[axis] : 0;
  }
  if (isCounting(indices, shape[axis]))
    return node.define(0, build.reshape(node.input(0), result));
  if (picked.empty() && indices.size() == 1 && !build.isConstant(node.input(0))) {
    Value slice = build.sliceAxis(node.input(0), axis, indices[0], indices[0] + 1);
    return node.define(0, build.reshape(slice, result));
  }
  node.define(0, build.create<sd::GatherOp>(node.input(0), node.input(1), axis));
}

void convertGatherND(NodeImporter &node) {
  int64_t batchDims = node.integer("batch_dims", 0);
  if (node.ok())
    node.define(0, node.build().create<sd::GatherNdOp>(node.input(0), node.input(1), batchDims));
}

void convertExpand(NodeImporter &node) {
  Shape shape = node.integerInput(1, "shape");
  if (!node.ok())
    return;
  if (!checkedElementCount(shape))
    return node.invalid("the shape is impossible or has more than 2^40 elements");
  FailureOr<SmallVector<int64_t>> result = sd::broadcastShapes(node.shape(0), shape);
  if (failed(result))
    return node.invalid(absl::StrCat("a value of shape ", toString(node.shape(0)),
                                     " does not broadcast to ", toString(shape)));
  node.define(0, node.build().expand(node.input(0), Shape(result->begin(), result->end())));
}

void convertPad(NodeImporter &node) {
  std::string mode = node.text("mode", "constant");
  if (mode != "constant")
    return node.unsupported(absl::StrCat("mode '", mode, "'"));
  std::optional<std::vector<int64_t>> pads = inputOrAttribute(node, 1, "pads");
  double value = node.real("value", 0);
  if (node.has(2)) {
    Tensor scalar = node.constantInput(2, "value");
    if (!node.ok())
      return;
    if (scalar.size() != 1)
      return node.invalid("input 2 (constant_value) must be one number");
    Tensor wide = scalar.converted(ElementType::F64);
    value = wide.values<double>()[0];
  }
  std::vector<int64_t> axes(node.rank(0));
  std::iota(axes.begin(), axes.end(), 0);
  if (node.has(3))
    if (std::optional<std::vector<int64_t>> given = node.axes(3, node.rank(0)))
      axes = *given;
  if (!node.ok())
    return;
  if (!pads || pads->size() != 2 * axes.size())
    return node.invalid(absl::StrCat("needs ", 2 * axes.size(), " pads"));
  std::vector<int64_t> before(node.rank(0)), after(node.rank(0));
  for (size_t i = 0; i < axes.size(); ++i) {
    before[axes[i]] = (*pads)[i];
    after[axes[i]] = (*pads)[axes.size() + i];
    for (int64_t pad : {before[axes[i]], after[axes[i]]})
      if (pad > int64_t(1) << 40 || pad < -(int64_t(1) << 40))
        return node.invalid(absl::StrCat("pads has the impossible entry ", pad));
  }
  if (std::all_of(pads->begin(), pads->end(), [](int64_t pad) { return pad == 0; }))
    return node.define(0, node.input(0));
  node.define(0, node.build().create<sd::PadOp>(node.input(0), ArrayRef<int64_t>(before),
                                                ArrayRef<int64_t>(after), APFloat(value)));
}

} // namespace sdopt
