//===- TensorOps.cpp - layout and indexing -----------------------------------===//

#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/FloatPanels.h"
#include "compiler/kernels/RecycledTensor.h"
#include "compiler/kernels/StridedLoop.h"

#include <cstring>
#include <limits>

namespace sdopt {

namespace {

int64_t normalizedAxis(int64_t axis, int64_t rank) { return axis < 0 ? axis + rank : axis; }

template <typename T>
void copyRun(const std::byte *from, int64_t step, std::byte *to, int64_t count) {
  auto *source = reinterpret_cast<const T *>(from);
  auto *target = reinterpret_cast<T *>(to);
  if (step == 1)
    std::copy_n(source, count, target);
  else
    for (int64_t i = 0; i < count; ++i)
      target[i] = source[i * step];
}

void copyRun(int64_t width, const std::byte *from, int64_t step, std::byte *to, int64_t count) {
  switch (width) {
  case 1:
    return copyRun<uint8_t>(from, step, to, count);
  case 2:
    return copyRun<uint16_t>(from, step, to, count);
  case 4:
    return copyRun<uint32_t>(from, step, to, count);
  default:
    return copyRun<uint64_t>(from, step, to, count);
  }
}

// The axis of a matrix that is dense in memory where the last one is not, or -1.
int64_t denseAxis(const Shape &strides) {
  if (strides.size() < 2 || strides.back() <= 1)
    return -1;
  auto found = std::find(strides.begin(), strides.end() - 1, 1);
  return found == strides.end() - 1 ? -1 : found - strides.begin();
}

// Copies what is a transposed matrix in the last axis and `axis`.
void copyTransposed(const uint32_t *from, const Shape &shape, const Shape &strides, int64_t axis,
                    uint32_t *to) {
  // Stretches of the dense axis take the place of the run.
  constexpr int64_t kRows = 16;
  Shape outer = shape, dense = denseStrides(shape);
  outer[axis] = (shape[axis] + kRows - 1) / kRows;
  outer.pop_back();
  std::array<Shape, 2> outerStrides;
  for (size_t i = 0; i < outer.size(); ++i) {
    int64_t factor = static_cast<int64_t>(i) == axis ? kRows : 1;
    outerStrides[0].push_back(strides[i] * factor);
    outerStrides[1].push_back(dense[i] * factor);
  }
  // The stretch itself varies fastest.
  auto swapLast = [&](Shape &values) { std::swap(values[axis], values.back()); };
  swapLast(outer);
  swapLast(outerStrides[0]);
  swapLast(outerStrides[1]);
  int64_t count = shape.back(), inner = outer.back(), runs = elementCount(outer) / inner;
  parallelRanges(runs * inner, std::max<int64_t>(1, kStretch / (count * kRows)),
                 [&](int64_t first, int64_t last) {
                   for (int64_t item = first; item < last; ++item) {
                     int64_t source = 0, target = 0, rest = item;
                     for (size_t i = outer.size(); i-- > 0; rest /= outer[i]) {
                       source += rest % outer[i] * outerStrides[0][i];
                       target += rest % outer[i] * outerStrides[1][i];
                     }
                     int64_t row = item % inner * kRows;
                     transposeMatrix(from + source, strides.back(), count,
                                     std::min(kRows, shape[axis] - row), to + target, dense[axis]);
                   }
                 });
}

// A dense tensor of `shape` whose elements lie at `strides` (in elements) from `first` in x.
Tensor gatherStrided(const Tensor &x, const Shape &shape, const Shape &strides, int64_t first) {
  Tensor y = recycledTensor(x.type(), shape);
  if (y.size() == 0)
    return y;
  int64_t width = byteWidth(x.type());
  Shape merged = shape;
  std::array<Shape, 1> mergedStrides = {strides};
  mergeAxes<1>(merged, mergedStrides);
  if (int64_t axis = denseAxis(mergedStrides[0]); width == 4 && axis >= 0) {
    copyTransposed(x.values<uint32_t>().data() + first, merged, mergedStrides[0], axis,
                   y.mutableValues<uint32_t>().data());
    return y;
  }
  using One = std::array<int64_t, 1>;
  parallelStridedLoop<1>(merged, mergedStrides,
                         [&](int64_t output, const One &offsets, int64_t count, const One &steps) {
                           copyRun(width, x.bytes() + offsets[0] * width, steps[0],
                                   y.mutableBytes() + output * width, count);
                         },
                         {first});
  return y;
}

// Product of dimensions [first, last).
int64_t countBetween(const Shape &shape, int64_t first, int64_t last) {
  return elementCount(Shape(shape.begin() + first, shape.begin() + last));
}

int64_t clampedIndex(int64_t index, int64_t count) {
  return std::clamp<int64_t>(index < 0 ? index + count : index, 0, std::max<int64_t>(count - 1, 0));
}

} // namespace

Tensor where(const Tensor &condition, const Tensor &a, const Tensor &b) {
  Shape shape = broadcastShape(condition.shape(), broadcastShape(a.shape(), b.shape()));
  Tensor flags = expand(condition, shape).converted(ElementType::Bool);
  Tensor left = expand(a, shape), right = expand(b, shape);
  Tensor y(a.type(), shape);
  int64_t width = byteWidth(a.type());
  for (int64_t i = 0; i < y.size(); ++i)
    std::memcpy(y.mutableBytes() + i * width,
                (flags.values<uint8_t>()[i] ? left : right).bytes() + i * width, width);
  return y;
}

Tensor transpose(const Tensor &x, std::span<const int64_t> permutation) {
  Shape dense = denseStrides(x.shape()), shape, strides;
  for (int64_t axis : permutation) {
    shape.push_back(x.dim(axis));
    strides.push_back(dense[normalizedAxis(axis, x.rank())]);
  }
  return gatherStrided(x, shape, strides, 0);
}

Tensor concat(std::span<const Tensor> parts, int64_t axis) {
  axis = normalizedAxis(axis, parts[0].rank());
  Shape shape = parts[0].shape();
  shape[axis] = 0;
  for (const Tensor &part : parts)
    shape[axis] += part.dim(axis);
  Tensor y = recycledTensor(parts[0].type(), shape);
  if (y.size() == 0)
    return y;
  int64_t outer = countBetween(shape, 0, axis), width = byteWidth(y.type());
  int64_t inner = countBetween(shape, axis + 1, y.rank()) * width, row = shape[axis] * inner;
  parallelRanges(outer, std::max<int64_t>(1, kStretch * 4 / row), [&](int64_t first, int64_t last) {
    std::byte *target = y.mutableBytes() + first * row;
    for (int64_t i = first; i < last; ++i)
      for (const Tensor &part : parts) {
        int64_t bytes = part.dim(axis) * inner;
        if (bytes > 0)
          std::memcpy(target, part.bytes() + i * bytes, bytes);
        target += bytes;
      }
  });
  return y;
}

Tensor slice(const Tensor &x, std::span<const int64_t> starts, std::span<const int64_t> ends,
             std::span<const int64_t> steps) {
  Shape shape, strides = denseStrides(x.shape());
  int64_t first = 0;
  for (int64_t axis = 0; axis < x.rank(); ++axis) {
    int64_t step = steps[axis], length = ends[axis] - starts[axis];
    int64_t count = step > 0 ? (length + step - 1) / step : (length + step + 1) / step;
    shape.push_back(std::max<int64_t>(0, count));
    first += starts[axis] * strides[axis];
    strides[axis] *= step;
  }
  return gatherStrided(x, shape, strides, first);
}

Tensor expand(const Tensor &x, const Shape &shape) {
  Shape full = broadcastShape(x.shape(), shape);
  if (full == x.shape())
    return x;
  return gatherStrided(x, full, broadcastStrides(x.shape(), full), 0);
}

Tensor gather(const Tensor &x, const Tensor &indices, int64_t axis) {
  axis = normalizedAxis(axis, x.rank());
  Tensor wide = indices.converted(ElementType::I64);
  Shape shape(x.shape().begin(), x.shape().begin() + axis);
  shape.insert(shape.end(), indices.shape().begin(), indices.shape().end());
  shape.insert(shape.end(), x.shape().begin() + axis + 1, x.shape().end());
  Tensor y(x.type(), shape);
  if (x.size() == 0)
    return y;
  int64_t outer = countBetween(x.shape(), 0, axis);
  int64_t inner = countBetween(x.shape(), axis + 1, x.rank()) * byteWidth(x.type());
  std::byte *target = y.mutableBytes();
  for (int64_t i = 0; i < outer; ++i)
    for (int64_t index : wide.values<int64_t>()) {
      int64_t row = i * x.dim(axis) + clampedIndex(index, x.dim(axis));
      std::memcpy(target, x.bytes() + row * inner, inner);
      target += inner;
    }
  return y;
}

Tensor gatherNd(const Tensor &x, const Tensor &indices, int64_t batchDims) {
  Tensor wide = indices.converted(ElementType::I64);
  int64_t depth = indices.dim(-1);
  Shape shape(indices.shape().begin(), indices.shape().end() - 1);
  shape.insert(shape.end(), x.shape().begin() + batchDims + depth, x.shape().end());
  Tensor y(x.type(), shape);
  if (x.size() == 0 || y.size() == 0)
    return y;
  int64_t batches = countBetween(x.shape(), 0, batchDims);
  int64_t inner = countBetween(x.shape(), batchDims + depth, x.rank()) * byteWidth(x.type());
  int64_t tuples = countBetween(indices.shape(), 0, indices.rank() - 1);
  for (int64_t i = 0; i < tuples; ++i) {
    int64_t row = i / (tuples / batches);
    for (int64_t j = 0; j < depth; ++j) {
      int64_t count = x.dim(batchDims + j);
      row = row * count + clampedIndex(wide.values<int64_t>()[i * depth + j], count);
    }
    std::memcpy(y.mutableBytes() + i * inner, x.bytes() + row * inner, inner);
  }
  return y;
}

Tensor pad(const Tensor &x, std::span<const int64_t> before, std::span<const int64_t> after,
           double value) {
  Shape shape = x.shape();
  for (int64_t axis = 0; axis < x.rank(); ++axis)
    shape[axis] = std::max<int64_t>(0, shape[axis] + before[axis] + after[axis]);
  Tensor fill = Tensor::scalar(value).converted(x.type());
  Tensor y = gatherStrided(fill, shape, Shape(shape.size(), 0), 0);

  // The part of x that survives cropping, and where it goes.
  Shape inside, source = denseStrides(x.shape()), target = denseStrides(shape);
  int64_t from = 0, to = 0;
  for (int64_t axis = 0; axis < x.rank(); ++axis) {
    int64_t first = std::max<int64_t>(0, -before[axis]);
    int64_t last = std::min(x.dim(axis), x.dim(axis) + after[axis]);
    inside.push_back(std::max<int64_t>(0, last - first));
    from += first * source[axis];
    to += std::max<int64_t>(0, before[axis]) * target[axis];
  }
  int64_t width = byteWidth(x.type());
  stridedLoop<2>(inside, {source, target},
                 [&](int64_t, const std::array<int64_t, 2> &offsets, int64_t count) {
                   std::memcpy(y.mutableBytes() + offsets[1] * width,
                               x.bytes() + offsets[0] * width, count * width);
                 },
                 {from, to});
  return y;
}

Tensor upsampleNearest(const Tensor &x, int64_t factorH, int64_t factorW, PictureLayout layout) {
  bool channelsLast = layout == PictureLayout::NHWC;
  // Repeating is broadcasting along an inserted axis of the view.
  Shape view = channelsLast ? Shape{x.dim(0), x.dim(1), 1, x.dim(2), 1, x.dim(3)}
                            : Shape{x.dim(0) * x.dim(1), x.dim(2), 1, x.dim(3), 1, 1};
  Shape repeated = view;
  repeated[2] = factorH;
  repeated[4] = factorW;
  Tensor y = expand(x.reshaped(view), repeated);
  return y.reshaped(channelsLast
                        ? Shape{x.dim(0), x.dim(1) * factorH, x.dim(2) * factorW, x.dim(3)}
                        : Shape{x.dim(0), x.dim(1), x.dim(2) * factorH, x.dim(3) * factorW});
}

Tensor argMax(const Tensor &x, int64_t axis, bool keepDims, bool selectLast) {
  axis = normalizedAxis(axis, x.rank());
  bool isInteger = x.type() != ElementType::F32 && x.type() != ElementType::F64 &&
                   x.type() != ElementType::F16 && x.type() != ElementType::BF16;
  Tensor wide = x.converted(isInteger ? ElementType::I64 : ElementType::F64);
  Shape shape = x.shape();
  shape[axis] = 1;
  Tensor y(ElementType::I64, shape);
  int64_t count = x.dim(axis), inner = countBetween(x.shape(), axis + 1, x.rank());
  auto search = [&](auto values) {
    for (int64_t line = 0; line < y.size(); ++line) {
      int64_t base = line / inner * count * inner + line % inner, best = 0;
      for (int64_t i = 1; i < count; ++i) {
        auto candidate = values[base + i * inner], current = values[base + best * inner];
        if (candidate > current || (selectLast && candidate == current))
          best = i;
      }
      y.mutableValues<int64_t>()[line] = best;
    }
  };
  if (isInteger)
    search(wide.values<int64_t>());
  else
    search(wide.values<double>());
  if (!keepDims)
    shape.erase(shape.begin() + axis);
  return y.reshaped(shape);
}

namespace {

template <typename T> T initialValue(Reduction reduction) {
  switch (reduction) {
  case Reduction::Max:
    return std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                : std::numeric_limits<T>::lowest();
  case Reduction::Min:
    return std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity()
                                                : std::numeric_limits<T>::max();
  case Reduction::Prod:
    return 1;
  default:
    return 0;
  }
}

template <typename T> T accumulated(Reduction reduction, T total, T value) {
  switch (reduction) {
  case Reduction::Max:
    return value > total || value != value ? value : total;
  case Reduction::Min:
    return value < total || value != value ? value : total;
  case Reduction::Prod:
    if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<uint64_t>(total) * static_cast<uint64_t>(value));
    else
      return total * value;
  default:
    if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<uint64_t>(total) + static_cast<uint64_t>(value));
    else
      return total + value;
  }
}

template <typename T>
Tensor reduceWide(Reduction reduction, const Tensor &x, const std::vector<bool> &reduced,
                  const Shape &shape) {
  Tensor y(x.type(), shape);
  std::span<T> output = y.mutableValues<T>();
  std::fill(output.begin(), output.end(), initialValue<T>(reduction));
  Shape strides = denseStrides(shape);
  for (size_t axis = 0; axis < strides.size(); ++axis)
    if (reduced[axis])
      strides[axis] = 0;
  int64_t step = strides.empty() ? 0 : strides.back();
  stridedLoop<1>(x.shape(), {strides},
                 [&](int64_t input, const std::array<int64_t, 1> &offsets, int64_t count) {
                   for (int64_t i = 0; i < count; ++i) {
                     T &total = output[offsets[0] + i * step];
                     total = accumulated(reduction, total, x.values<T>()[input + i]);
                   }
                 });
  if (reduction == Reduction::Mean && !output.empty()) {
    int64_t count = x.size() / y.size();
    for (T &value : output)
      value = count ? value / static_cast<T>(count) : value;
  }
  return y;
}

} // namespace

Tensor reduce(Reduction reduction, const Tensor &x, std::span<const int64_t> axes, bool keepDims) {
  std::vector<bool> reduced(x.rank(), axes.empty());
  for (int64_t axis : axes)
    reduced[normalizedAxis(axis, x.rank())] = true;
  Shape shape = x.shape(), squeezed;
  for (int64_t axis = 0; axis < x.rank(); ++axis) {
    if (reduced[axis])
      shape[axis] = 1;
    else
      squeezed.push_back(shape[axis]);
  }
  bool isFloat = x.type() == ElementType::F32 || x.type() == ElementType::F64 ||
                 x.type() == ElementType::F16 || x.type() == ElementType::BF16;
  Tensor y = isFloat
                 ? reduceWide<double>(reduction, x.converted(ElementType::F64), reduced, shape)
                 : reduceWide<int64_t>(reduction, x.converted(ElementType::I64), reduced, shape);
  return y.converted(x.type()).reshaped(keepDims ? shape : squeezed);
}

} // namespace sdopt
