//===- Samples.cpp - recorded inputs, call by call --------------------------===//

#include "compiler/calibration/Samples.h"

#include "absl/strings/str_cat.h"
#include "compiler/files/Blake3.h"
#include "compiler/reference/Evaluator.h"

#include "llvm/ADT/STLExtras.h"

#include <cmath>
#include <cstring>

using namespace mlir;

namespace sdopt {

namespace {

absl::Status invalid(const SampleFile &file, const std::string &text) {
  return absl::InvalidArgumentError(absl::StrCat("samples '", file.path, "': ", text));
}

bool isNumber(ElementType type) { return type != ElementType::Bool; }

bool isReal(ElementType type) {
  return type == ElementType::F32 || type == ElementType::F16 || type == ElementType::BF16 ||
         type == ElementType::F64;
}

/// Rows [first, first + count) of a tensor in memory.
Tensor rowsOf(const Tensor &tensor, int64_t first, int64_t count) {
  Shape shape = tensor.shape();
  int64_t rowBytes = shape[0] ? tensor.byteSize() / shape[0] : 0;
  shape[0] = count;
  return Tensor(tensor.type(), shape, std::make_shared<Tensor>(tensor),
                tensor.bytes() + first * rowBytes);
}

/// `count` rows, the last repeated as often as needed.
Tensor padded(const Tensor &rows, int64_t count) {
  if (rows.dim(0) == count)
    return rows;
  Shape shape = rows.shape();
  int64_t present = shape[0], rowBytes = rows.byteSize() / present;
  shape[0] = count;
  Tensor result(rows.type(), shape);
  std::memcpy(result.mutableBytes(), rows.bytes(), rows.byteSize());
  for (int64_t row = present; row < count; ++row)
    std::memcpy(result.mutableBytes() + row * rowBytes, rows.bytes() + (present - 1) * rowBytes,
                rowBytes);
  return result;
}

/// One number everywhere.
Tensor filled(const Tensor &number, ElementType type, const Shape &shape) {
  Tensor one = number.converted(type);
  Tensor result(type, shape);
  for (int64_t i = 0; i < result.size(); ++i)
    std::memcpy(result.mutableBytes() + i * byteWidth(type), one.bytes(), byteWidth(type));
  return result;
}

} // namespace

absl::StatusOr<SampleFile> SampleFile::open(const std::string &path) {
  absl::StatusOr<std::unique_ptr<TensorFile>> tensors = TensorFile::open(path);
  if (!tensors.ok())
    return tensors.status();
  return SampleFile{path, std::shared_ptr<const TensorFile>(*std::move(tensors))};
}

absl::StatusOr<SampleReader> SampleReader::open(func::FuncOp function,
                                                std::vector<SampleFile> files, int64_t limit) {
  SampleReader reader;
  reader.files_ = std::move(files);
  if (absl::Status status = reader.describePorts(function); !status.ok())
    return status;
  std::vector<Position> all;
  for (size_t f = 0; f < reader.files_.size(); ++f) {
    absl::StatusOr<Layout> layout = reader.layoutOf(reader.files_[f]);
    if (!layout.ok())
      return layout.status();
    reader.layouts_.push_back(*layout);
    int64_t groups = (layout->rows + reader.batch_ - 1) / reader.batch_;
    if (layout->calls * groups == 0)
      return invalid(reader.files_[f], "there are no samples");
    for (int64_t call = 0; call < layout->calls; ++call)
      for (int64_t group = 0; group < groups; ++group)
        all.push_back({static_cast<int64_t>(f), call, group});
  }
  if (all.empty())
    return absl::InvalidArgumentError("there are no samples");
  int64_t total = all.size(), count = limit > 0 ? std::min(limit, total) : total;
  for (int64_t i = 0; i < count; ++i)
    reader.order_.push_back(all[i * total / count]);
  return reader;
}

absl::Status SampleReader::describePorts(func::FuncOp function) {
  auto describe = [](Type type, StringAttr name, const std::string &what,
                     std::vector<Port> &ports) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor || !tensor.hasStaticShape() || !name)
      return absl::InvalidArgumentError(
          absl::StrCat(what, " of the function has no name or no static shape"));
    ports.push_back({name.str(), evaluatedType(type), tensor.getShape().vec()});
    return absl::OkStatus();
  };
  StringRef attribute = sd::SdDialect::kNameAttr;
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    if (absl::Status status = describe(function.getArgumentTypes()[i],
                                       function.getArgAttrOfType<StringAttr>(i, attribute),
                                       absl::StrCat("input ", i), inputs_);
        !status.ok())
      return status;
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    if (absl::Status status = describe(function.getResultTypes()[i],
                                       function.getResultAttrOfType<StringAttr>(i, attribute),
                                       absl::StrCat("result ", i), outputs_);
        !status.ok())
      return status;
  batch_ = 0;
  for (const Port &port : inputs_)
    if (port.shape.size() >= 2) {
      if (batch_ && port.shape[0] != batch_)
        return absl::InvalidArgumentError(absl::StrCat("input '", port.name, "' has batch ",
                                                       port.shape[0], " but another input has ",
                                                       batch_));
      batch_ = port.shape[0];
    }
  if (batch_ == 0)
    batch_ = inputs_.size() == 1 && inputs_[0].shape.size() == 1 ? inputs_[0].shape[0] : 1;
  return absl::OkStatus();
}

/// Finds the axes of calls and rows from the input that says most, then checks every tensor.
absl::StatusOr<SampleReader::Layout> SampleReader::layoutOf(const SampleFile &file) const {
  const Port *leading = nullptr;
  for (const Port &port : inputs_)
    if (!leading || port.shape.size() > leading->shape.size())
      leading = &port;
  Layout layout;
  for (const Port &port : inputs_) {
    absl::StatusOr<Tensor> tensor = file.tensors->get(port.name);
    if (!tensor.ok())
      return invalid(file, absl::StrCat("there is no tensor for input '", port.name, "'"));
    if (&port != leading)
      continue;
    int64_t rank = port.shape.size();
    layout.hasCallAxis = tensor->rank() == rank + 1;
    if (layout.hasCallAxis) {
      layout.calls = tensor->dim(0);
      layout.rows = rank == 0 ? 1 : hasRows(port) ? tensor->dim(1) : batch_;
    } else if (tensor->rank() == rank && rank > 0) {
      layout.rows = hasRows(port) ? tensor->dim(0) : batch_;
    }
  }
  for (const std::vector<Port> *ports : {&inputs_, &outputs_})
    for (const Port &port : *ports) {
      if (!file.tensors->contains(port.name))
        continue;
      absl::StatusOr<Tensor> tensor = file.tensors->get(port.name);
      if (!tensor.ok())
        return tensor.status();
      if (absl::Status status = checkTensor(file, layout, port, *tensor, ports == &outputs_);
          !status.ok())
        return status;
    }
  return layout;
}

bool SampleReader::hasRows(const Port &port) const {
  return (port.shape.empty() ? 1 : port.shape[0]) == batch_;
}

bool SampleReader::isScalarPerCall(const Layout &layout, const Port &port,
                                   const Tensor &tensor) const {
  if (port.shape.size() > 1 || tensor.rank() > 1)
    return false;
  int64_t numbers = tensor.size();
  // One number for everything, or one for each call.
  return (numbers == 1 && port.shape.size() <= 1) ||
         (layout.hasCallAxis && numbers == layout.calls);
}

absl::Status SampleReader::checkTensor(const SampleFile &file, const Layout &layout,
                                       const Port &port, const Tensor &tensor,
                                       bool isOutput) const {
  if (!isNumber(tensor.type()) || (isReal(tensor.type()) && !isReal(port.type)))
    return invalid(file, absl::StrCat("tensor '", port.name, "' is ", name(tensor.type()),
                                      " but must be ", name(port.type)));
  if (!isOutput && isScalarPerCall(layout, port, tensor))
    return absl::OkStatus();
  Shape needed;
  if (layout.hasCallAxis)
    needed.push_back(layout.calls);
  if (hasRows(port))
    needed.push_back(layout.rows);
  if (!port.shape.empty())
    needed.insert(needed.end(), port.shape.begin() + (hasRows(port) ? 1 : 0), port.shape.end());
  if (tensor.shape() != needed)
    return invalid(file, absl::StrCat("tensor '", port.name, "' has shape ",
                                      toString(tensor.shape()), " but must be ", toString(needed)));
  if (!hasRows(port) && layout.rows != batch_)
    return invalid(file,
                   absl::StrCat("tensor '", port.name, "' has no rows to cut: the function's ",
                                toString(port.shape), " does not have its batch of ", batch_,
                                "; record calls of ", batch_, " rows instead of ", layout.rows));
  return absl::OkStatus();
}

int64_t SampleReader::groupRows(const Layout &layout, const Position &position) const {
  return std::min(batch_, layout.rows - position.group * batch_);
}

absl::StatusOr<Tensor> SampleReader::readPort(const Port &port, const Position &position,
                                              bool isOutput) const {
  const SampleFile &file = files_[position.file];
  const Layout &layout = layouts_[position.file];
  absl::StatusOr<Tensor> whole = file.tensors->get(port.name);
  if (!whole.ok())
    return whole.status();
  bool isNumber = !isOutput && isScalarPerCall(layout, port, *whole);
  Tensor part = *whole;
  if (isNumber) {
    part = rowsOf(part.reshaped({part.size()}), part.size() == 1 ? 0 : position.call, 1);
  } else {
    if (layout.hasCallAxis) {
      Shape shape(whole->shape().begin() + 1, whole->shape().end());
      part = rowsOf(part, position.call, 1).reshaped(shape);
    }
    if (hasRows(port))
      part = rowsOf(part, position.group * batch_, groupRows(layout, position));
  }
  if (absl::Status status = checkNumbers(file, port, position, part); !status.ok())
    return status;
  if (isNumber)
    return filled(part, port.type, port.shape);
  part = part.converted(port.type);
  return isOutput || !hasRows(port) ? part : padded(part, batch_).reshaped(port.shape);
}

absl::Status SampleReader::checkNumbers(const SampleFile &file, const Port &port,
                                        const Position &position, const Tensor &numbers) const {
  auto wrong = [&](size_t element, const std::string &what) {
    return invalid(file, absl::StrCat("tensor '", port.name, "' ", what, " in call ", position.call,
                                      ", element ", element, " of the rows from ",
                                      position.group * batch_));
  };
  if (isReal(port.type)) {
    Tensor floats = numbers.converted(ElementType::F32);
    for (auto [i, value] : llvm::enumerate(floats.values<float>()))
      if (!std::isfinite(value))
        return wrong(i, "is not finite");
  } else if (port.type != ElementType::Bool) {
    ElementType device = port.type == ElementType::I64 ? ElementType::I32 : port.type;
    Tensor wide = numbers.converted(ElementType::I64);
    Tensor held = numbers.converted(device).converted(ElementType::I64);
    for (auto [i, value, kept] : llvm::enumerate(wide.values<int64_t>(), held.values<int64_t>()))
      if (value != kept)
        return wrong(i, absl::StrCat("is ", value, ", which ", name(device), " does not hold,"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Sample> SampleReader::read(int64_t index) const {
  const Position &position = order_[index];
  Sample sample{.rows = groupRows(layouts_[position.file], position)};
  for (const Port &port : inputs_) {
    absl::StatusOr<Tensor> tensor = readPort(port, position, /*isOutput=*/false);
    if (!tensor.ok())
      return tensor.status();
    sample.inputs.push_back(*tensor);
  }
  for (const Port &port : outputs_) {
    sample.outputs.emplace_back();
    sample.outputRows.push_back(hasRows(port) ? sample.rows : port.shape[0]);
    if (!files_[position.file].tensors->contains(port.name))
      continue;
    absl::StatusOr<Tensor> tensor = readPort(port, position, /*isOutput=*/true);
    if (!tensor.ok())
      return tensor.status();
    sample.outputs.back() = *tensor;
  }
  return sample;
}

absl::StatusOr<Tensor> SampleReader::readInput(int64_t index, int64_t input) const {
  return readPort(inputs_[input], order_[index], /*isOutput=*/false);
}

SampleOrigin SampleReader::origin(int64_t index) const {
  const Position &position = order_[index];
  return {.file = position.file,
          .call = position.call,
          .firstRow = position.group * batch_,
          .rows = layouts_[position.file].rows};
}

std::vector<bool> SampleReader::recordedOutputs() const {
  std::vector<bool> recorded;
  for (const Port &port : outputs_)
    recorded.push_back(llvm::all_of(
        files_, [&](const SampleFile &file) { return file.tensors->contains(port.name); }));
  return recorded;
}

absl::StatusOr<std::string> SampleReader::digest() const {
  Blake3 hash;
  auto text = [&hash](const std::string &value) {
    hash.update(std::as_bytes(std::span(value.data(), value.size() + 1)));
  };
  for (int64_t i = 0; i < size(); ++i)
    for (size_t p = 0; p < inputs_.size(); ++p) {
      absl::StatusOr<Tensor> tensor = readPort(inputs_[p], order_[i], /*isOutput=*/false);
      if (!tensor.ok())
        return tensor.status();
      text(inputs_[p].name);
      text(absl::StrCat(name(tensor->type()), " ", toString(tensor->shape())));
      hash.update({tensor->bytes(), static_cast<size_t>(tensor->byteSize())});
    }
  return hash.hex();
}

} // namespace sdopt
