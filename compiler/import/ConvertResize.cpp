//===- ConvertResize.cpp - Resize by whole factors, cropped ------------------===//

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

/// One dimension: each pixel `factor` times, of which the first `length` stay. What an upsampled
/// odd picture meets is one pixel short of twice its size.
struct Growth {
  int64_t factor = 1;
  int64_t length = 0;
};

/// The input index that output index i takes, by the formulas of ONNX Resize.
int64_t nearestIndex(int64_t i, int64_t size, const Growth &growth, const Sampling &sampling) {
  double length = static_cast<double>(growth.length), x = static_cast<double>(i);
  double scale = length / static_cast<double>(size), position = x / scale;
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
bool repeatsPixels(int64_t size, const Growth &growth, const Sampling &sampling) {
  for (int64_t i = 0; i < growth.length; ++i)
    if (nearestIndex(i, size, growth, sampling) != i / growth.factor)
      return false;
  return true;
}

/// Of all dimensions, from scales or sizes; empty after an error.
std::vector<Growth> growths(NodeImporter &node) {
  Shape shape = node.shape(0);
  std::vector<int64_t> axes(shape.size());
  std::iota(axes.begin(), axes.end(), 0);
  std::vector<Growth> result;
  for (int64_t dim : shape)
    result.push_back({1, dim});
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
    const int64_t dim = std::max<int64_t>(shape[axes[i]], 1);
    const double value = values.values<double>()[i];
    const double factor = fromSizes ? std::ceil(value / static_cast<double>(dim)) : value;
    if (!(factor >= 1 && factor <= 1024) || factor != std::floor(factor) ||
        (fromSizes && value < static_cast<double>(dim))) {
      node.unsupported("scales that are not whole numbers, or smaller sizes");
      return {};
    }
    const auto whole = static_cast<int64_t>(factor);
    result[axes[i]] = {whole, fromSizes ? static_cast<int64_t>(value) : whole * shape[axes[i]]};
  }
  return result;
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
  std::vector<Growth> growth = growths(node);
  if (!node.ok())
    return;
  Shape shape = node.shape(0);
  if (growth.size() != 4 || growth[0].length != shape[0] || growth[1].length != shape[1])
    return node.unsupported("other dimensions than height and width of a picture");
  for (int axis : {2, 3})
    if (shape[axis] > (int64_t(1) << 30) || !repeatsPixels(shape[axis], growth[axis], sampling))
      return node.unsupported(absl::StrCat(described, " from ", shape[axis], " to ",
                                           growth[axis].length,
                                           " pixels, which does not repeat each as often"));
  if (growth[2].factor == 1 && growth[3].factor == 1)
    return node.define(0, node.input(0));
  Value grown = node.build().create<sd::UpsampleOp>(
      node.input(0), ArrayRef<int64_t>{growth[2].factor, growth[3].factor}, sd::Layout::nchw);
  const Shape ends = {shape[0], shape[1], growth[2].length, growth[3].length};
  if (ends[2] < growth[2].factor * shape[2] || ends[3] < growth[3].factor * shape[3])
    grown =
        node.build().create<sd::SliceOp>(grown, ArrayRef<int64_t>(Shape(4, 0)),
                                         ArrayRef<int64_t>(ends), ArrayRef<int64_t>(Shape(4, 1)));
  node.define(0, grown);
}

} // namespace sdopt
