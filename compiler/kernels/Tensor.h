//===- Tensor.h - a typed, shaped block of memory ---------------*- C++ -*-===//
//
// The one plain tensor type of the MLIR-free libraries: samples, weights on their way through an
// expression, evaluator and simulator values. Elements are dense, row-major (last dimension
// innermost). Storage is shared and immutable by convention once handed on: copying a Tensor copies
// a handle, never the elements; a Tensor may view a memory-mapped file.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_TENSOR_H
#define SDOPT_COMPILER_KERNELS_TENSOR_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace sdopt {

/// Element types that cross a library boundary. Values are stable: they are written to files.
enum class ElementType : uint8_t {
  F32 = 0,
  F16 = 1,
  BF16 = 2,
  F64 = 3,
  I8 = 4,
  U8 = 5,
  I16 = 6,
  U16 = 7,
  I32 = 8,
  I64 = 9,
  Bool = 10, ///< one byte, 0 or 1
};

/// Bytes of one element.
int64_t byteWidth(ElementType type);

/// "f32", "f16", "bf16", "f64", "i8", "u8", "i16", "u16", "i32", "i64", "bool".
const char *name(ElementType type);

using Shape = std::vector<int64_t>;

/// Product of the dimensions; 1 for a scalar. Dimensions must be non-negative.
int64_t elementCount(const Shape &shape);

/// "2x9x16x16"; "scalar" for rank 0.
std::string toString(const Shape &shape);

class Tensor {
public:
  Tensor() = default;

  /// Allocates zeroed storage, 64-byte aligned.
  Tensor(ElementType type, Shape shape);

  /// Views `bytes` without copying; `owner` keeps them alive.
  Tensor(ElementType type, Shape shape, std::shared_ptr<const void> owner, const std::byte *bytes);

  /// Copies `values` into a new tensor.
  template <typename T> static Tensor of(Shape shape, std::span<const T> values);
  /// A scalar or one-value tensor.
  template <typename T> static Tensor scalar(T value);

  ElementType type() const { return type_; }
  const Shape &shape() const { return shape_; }
  int64_t rank() const { return static_cast<int64_t>(shape_.size()); }
  int64_t dim(int64_t axis) const { return shape_[axis < 0 ? axis + rank() : axis]; }
  int64_t size() const { return elementCount(shape_); }
  int64_t byteSize() const { return size() * byteWidth(type_); }

  const std::byte *bytes() const { return bytes_; }
  /// Only for the one who allocated the tensor, before handing it on.
  std::byte *mutableBytes() { return const_cast<std::byte *>(bytes_); }

  /// Elements as T; sizeof(T) must be the byte width of the type.
  template <typename T> std::span<const T> values() const {
    return {reinterpret_cast<const T *>(bytes_), static_cast<size_t>(size())};
  }
  template <typename T> std::span<T> mutableValues() {
    return {reinterpret_cast<T *>(mutableBytes()), static_cast<size_t>(size())};
  }

  /// Same elements, other shape of equal size; shares the storage.
  Tensor reshaped(Shape shape) const;

  /// Converts element by element: floats round to nearest even, integers wrap, float to integer
  /// truncates towards zero (ONNX Cast; out of range saturates, NaN gives 0), anything to Bool is
  /// "!= 0". Returns *this if already there.
  Tensor converted(ElementType type) const;

  /// True if type, shape and every byte are equal.
  bool sameBits(const Tensor &other) const;

private:
  ElementType type_ = ElementType::F32;
  Shape shape_;
  std::shared_ptr<const void> owner_;
  const std::byte *bytes_ = nullptr;
};

/// The ElementType of a C++ type (float, int8_t, uint8_t, int16_t, uint16_t, int32_t, int64_t,
/// double).
template <typename T> constexpr ElementType elementTypeOf();
template <> constexpr ElementType elementTypeOf<float>() { return ElementType::F32; }
template <> constexpr ElementType elementTypeOf<double>() { return ElementType::F64; }
template <> constexpr ElementType elementTypeOf<int8_t>() { return ElementType::I8; }
template <> constexpr ElementType elementTypeOf<uint8_t>() { return ElementType::U8; }
template <> constexpr ElementType elementTypeOf<int16_t>() { return ElementType::I16; }
template <> constexpr ElementType elementTypeOf<uint16_t>() { return ElementType::U16; }
template <> constexpr ElementType elementTypeOf<int32_t>() { return ElementType::I32; }
template <> constexpr ElementType elementTypeOf<int64_t>() { return ElementType::I64; }

template <typename T> Tensor Tensor::of(Shape shape, std::span<const T> values) {
  Tensor tensor(elementTypeOf<T>(), std::move(shape));
  std::copy(values.begin(), values.end(), tensor.mutableValues<T>().begin());
  return tensor;
}

template <typename T> Tensor Tensor::scalar(T value) {
  return of<T>({}, std::span<const T>(&value, 1));
}

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_TENSOR_H
