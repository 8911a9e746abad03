//===- ConvertResize.cpp - Resize by whole factors ---------------------------===//

#include "compiler/import/NodeImporter.h"
#include "compiler/import/OperatorRules.h"

#include "absl/strings/str_cat.h"

#include <cmath>
#include <numeric>

using namespace mlir;

namespace sdopt {

namespace {

/// How an output position becomes an input position in one dimension.
struct Sampling {
  std::string coordinates;
  std::string rounding;
};

bool isKnown(const Sampling &sampling) {
  auto isOneOf = [](const std::string &text, std::initializer_list<const char *> names) {
    for (const char *name : names)
      if (text == name)
        return true;
    return false;
  };
  return isOneOf(sampling.coordinates, {"asymmetric", "half_pixel", "half_pixel_symmetric",
                                        "pytorch_half_pixel", "align_corners"}) &&
         isOneOf(sampling.rounding, {"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"});
}

/// The input index that output index i of `factor * size` takes, by the formulas of ONNX Resize.
int64_t nearestIndex(int64_t i, int64_t size, int64_t factor, const Sampling &sampling) {
  double scale = static_cast<double>(factor), x = static_cast<double>(i);
  double length = static_cast<double>(size) * scale, position = x / scale;
  if (sampling.coordinates == "half_pixel" || sampling.coordinates == "half_pixel_symmetric")
    position = (x + 0.5) / scale - 0.5;
  else if (sampling.coordinates == "pytorch_half_pixel")
    position = length > 1 ? (x + 0.5) / scale - 0.5 : 0;
  else if (sampling.coordinates == "align_corners")
    position = length > 1 ? x * (static_cast<double>(size) - 1) / (length - 1) : 0;
  double index = std::floor(position);
  double fraction = position - index;
  if (sampling.rounding == "ceil")
    index = std::ceil(position);
  else if (sampling.rounding == "round_prefer_floor")
    index += fraction > 0.5 ? 1 : 0;
  else if (sampling.rounding == "round_prefer_ceil")
    index += fraction >= 0.5 ? 1 : 0;
  return std::clamp<int64_t>(static_cast<int64_t>(index), 0, size - 1);
}

/// True if every output pixel is a copy of input pixel i / factor.
bool repeatsPixels(int64_t size, int64_t factor, const Sampling &sampling) {
  for (int64_t i = 0; i < size * factor; ++i)
    if (nearestIndex(i, size, factor, sampling) != i / factor)
      return false;
  return true;
}

/// Whole factors of all dimensions from scales or sizes; empty after an error.
std::vector<int64_t> wholeFactors(NodeImporter &node) {
  Shape shape = node.shape(0);
  std::vector<int64_t> axes(shape.size()), factors(shape.size(), 1);
  std::iota(axes.begin(), axes.end(), 0);
  if (node.hasAttribute("axes"))
    if (std::optional<std::vector<int64_t>> given = node.axes(-1, node.rank(0)))
      axes = *given;
  bool fromSizes = node.has(3) && node.shape(3) != Shape{0};
  if (!fromSizes && !node.has(2)) {
    node.invalid("scales and sizes are missing");
    return {};
  }
  Tensor given = fromSizes ? node.constantInput(3, "sizes") : node.constantInput(2, "scales");
  if (!node.ok())
    return {};
  if (given.size() != static_cast<int64_t>(axes.size())) {
    node.invalid(
        absl::StrCat(given.size(), " scales or sizes are given for ", axes.size(), " dimensions"));
    return {};
  }
  Tensor values = given.converted(ElementType::F64);
  for (size_t i = 0; i < axes.size(); ++i) {
    int64_t dim = shape[axes[i]];
    double factor = values.values<double>()[i] / (fromSizes ? std::max<double>(dim, 1) : 1.0);
    if (!(factor >= 1 && factor <= 1024) || factor != std::floor(factor)) {
      node.unsupported("factors that are not whole numbers");
      return {};
    }
    factors[axes[i]] = static_cast<int64_t>(factor);
  }
  return factors;
}

} // namespace

void convertResize(NodeImporter &node) {
  std::string mode = node.text("mode", "nearest");
  if (mode != "nearest")
    return node.unsupported(absl::StrCat("mode '", mode, "'"));
  if (node.integer("antialias", 0) != 0)
    return node.unsupported("antialias");
  Sampling sampling{node.text("coordinate_transformation_mode", "half_pixel"),
                    node.text("nearest_mode", "round_prefer_floor")};
  if (node.text("keep_aspect_ratio_policy", "stretch") != "stretch")
    return node.unsupported("keep_aspect_ratio_policy other than 'stretch'");
  std::string described = absl::StrCat("nearest neighbour with '", sampling.coordinates, "' and '",
                                       sampling.rounding, "'");
  if (!isKnown(sampling))
    return node.unsupported(described);
  std::vector<int64_t> factors = wholeFactors(node);
  if (!node.ok())
    return;
  if (factors.size() != 4 || factors[0] != 1 || factors[1] != 1)
    return node.unsupported("other dimensions than height and width of a picture");
  Shape shape = node.shape(0);
  for (int axis : {2, 3})
    if (shape[axis] > (int64_t(1) << 30) || !repeatsPixels(shape[axis], factors[axis], sampling))
      return node.unsupported(absl::StrCat(described, ", which does not repeat pixels"));
  if (factors[2] == 1 && factors[3] == 1)
    return node.define(0, node.input(0));
  node.define(0, node.build().create<sd::UpsampleOp>(
                     node.input(0), ArrayRef<int64_t>{factors[2], factors[3]}, sd::Layout::nchw));
}

} // namespace sdopt
