//===- ModuleRunner.cpp - records through one simulated module ------------===//

#include "tools/sdopt-run/ModuleRunner.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace sdopt {

namespace {

/// How one input is cut.
struct Cut {
  const TensorInfo *info = nullptr;
  Tensor values;
  RowLayout layout = RowLayout::Records;
  bool single = false; ///< one value for each record, or for all
  int64_t records = 0;
};

bool isSingle(const Shape &logical) { return logical.size() <= 1; }

absl::Status inputError(const TensorInfo &info, const Tensor &value, const std::string &needed) {
  return absl::InvalidArgumentError(absl::StrCat("input '", info.name, "' has shape ",
                                                 toString(value.shape()), "; needed: ", needed));
}

absl::StatusOr<Cut> cutInput(const TensorInfo &info, const Tensor &value) {
  const Shape &logical = info.logicalShape, &shape = value.shape();
  Cut cut{.info = &info, .values = value};
  if (shape.size() == logical.size() + 1 &&
      std::equal(logical.begin(), logical.end(), shape.begin() + 1)) {
    cut.records = shape[0];
  } else if (isSingle(logical) && shape.size() <= 1) {
    cut.single = true;
    cut.records = value.size();
  } else if (!logical.empty() && logical[0] > 0 && shape.size() == logical.size() &&
             std::equal(logical.begin() + 1, logical.end(), shape.begin() + 1)) {
    cut.layout = RowLayout::Rows;
    cut.records = (shape[0] + logical[0] - 1) / logical[0];
  } else {
    return inputError(info, value,
                      absl::StrCat("N records of ", toString(logical),
                                   ", or rows of that shape without its batch"));
  }
  if (cut.records == 0)
    return inputError(info, value, "one record or more");
  return cut;
}

absl::StatusOr<std::vector<Cut>> cutInputs(const std::vector<TensorInfo> &tensors,
                                           const TensorMap &inputs) {
  std::vector<Cut> cuts;
  int64_t records = 0;
  for (const TensorInfo &info : tensors) {
    if (info.role != TensorRole::Input)
      continue;
    auto input = inputs.find(info.name);
    if (input == inputs.end())
      return absl::NotFoundError(absl::StrCat("no input '", info.name, "' of shape ",
                                              toString(info.logicalShape), " in the samples"));
    absl::StatusOr<Cut> cut = cutInput(info, input->second);
    if (!cut.ok())
      return cut.status();
    records = std::max(records, cut->records);
    cuts.push_back(*std::move(cut));
  }
  for (const Cut &cut : cuts)
    if (cut.records != records && !(cut.single && cut.records == 1))
      return inputError(*cut.info, cut.values,
                        absl::StrCat(records, " records, as the other inputs have"));
  return cuts;
}

/// Calls whose rows are several batches.
struct Calls {
  int64_t count = 0, parts = 1; ///< records of each

  /// Those of an input [calls, parts * batch, ...].
  static std::optional<Calls> of(const TensorInfo &info, const Tensor &value) {
    const Shape &logical = info.logicalShape, &shape = value.shape();
    if (logical.empty() || logical[0] < 1 || shape.size() != logical.size() + 1 ||
        shape[1] <= logical[0] || shape[1] % logical[0] != 0 ||
        !std::equal(logical.begin() + 1, logical.end(), shape.begin() + 2))
      return std::nullopt;
    return Calls{shape[0], shape[1] / logical[0]};
  }

  /// [calls * parts, ...]; what belongs to a call as a whole is there for each part of it.
  Tensor records(const TensorInfo &info, const Tensor &value) const {
    Shape shape = value.shape();
    if (const std::optional<Calls> own = of(info, value)) {
      shape[0] *= own->parts;
      shape[1] /= own->parts;
      return value.reshaped(shape);
    }
    if (shape.empty() || shape[0] != count)
      return value;
    shape[0] *= parts;
    Tensor repeated(value.type(), shape);
    const int64_t bytes = value.byteSize() / std::max<int64_t>(count, 1);
    for (int64_t i = 0; i < count * parts; ++i)
      std::memcpy(repeated.mutableBytes() + i * bytes, value.bytes() + i / parts * bytes,
                  static_cast<size_t>(bytes));
    return repeated;
  }

  /// The other way.
  Tensor joined(const Tensor &value) const {
    Shape shape = value.shape();
    if (shape.size() < 2 || shape[0] != count * parts)
      return value;
    shape[0] = count;
    shape[1] *= parts;
    return value.reshaped(shape);
  }
};

Calls callsOf(const std::vector<TensorInfo> &tensors, const TensorMap &inputs) {
  for (const TensorInfo &info : tensors)
    if (const auto input = inputs.find(info.name);
        info.role == TensorRole::Input && input != inputs.end())
      if (const std::optional<Calls> calls = Calls::of(info, input->second))
        return *calls;
  return {};
}

/// Copies elements [from, from + count) of `values` to position `to` of `target`.
void copyElements(const Tensor &values, int64_t from, int64_t count, Tensor &target, int64_t to) {
  int64_t width = byteWidth(values.type());
  std::memcpy(target.mutableBytes() + to * width, values.bytes() + from * width,
              static_cast<size_t>(count * width));
}

Tensor record(const Cut &cut, int64_t index) {
  const Shape &logical = cut.info->logicalShape;
  Tensor result(cut.values.type(), logical);
  int64_t size = result.size();
  if (cut.single) {
    for (int64_t i = 0; i < size; ++i)
      copyElements(cut.values, cut.records == 1 ? 0 : index, 1, result, i);
  } else if (cut.layout == RowLayout::Records) {
    copyElements(cut.values, index * size, size, result, 0);
  } else {
    int64_t rowSize = size / logical[0];
    for (int64_t row = 0; row < logical[0]; ++row) {
      int64_t from = std::min(index * logical[0] + row, cut.values.dim(0) - 1);
      copyElements(cut.values, from * rowSize, rowSize, result, row * rowSize);
    }
  }
  return result;
}

/// Where a record's outputs go.
class Joiner {
public:
  explicit Joiner(const std::vector<Cut> &cuts) {
    for (const Cut &cut : cuts) {
      records_ = std::max(records_, cut.records);
      if (!cut.single && !rows_ && cut.layout == RowLayout::Rows)
        rows_ = cut.values.dim(0);
      if (!cut.single)
        break;
    }
  }

  absl::Status add(const TensorMap &outputs, int64_t index) {
    for (const auto &[name, value] : outputs) {
      bool byRows = rows_ && value.rank() > 0 && (value.dim(0) * records_ >= *rows_);
      Shape shape = value.shape();
      if (byRows)
        shape[0] = *rows_;
      else
        shape.insert(shape.begin(), records_);
      auto [joined, isNew] = joined_.try_emplace(name);
      if (isNew)
        joined->second = Tensor(value.type(), shape);
      if (joined->second.shape() != shape || joined->second.type() != value.type())
        return absl::InternalError(
            absl::StrCat("output '", name, "' changes its shape between records"));
      int64_t to = index * value.size();
      copyElements(value, 0, std::min(value.size(), joined->second.size() - to), joined->second,
                   to);
    }
    return absl::OkStatus();
  }

  TensorMap take() { return std::move(joined_); }

private:
  int64_t records_ = 0;
  std::optional<int64_t> rows_;
  TensorMap joined_;
};

} // namespace

absl::StatusOr<TensorMap>
runRecords(const std::vector<TensorInfo> &tensors, const TensorMap &inputs,
           const RecordRunner &runner,
           const std::function<void(int64_t done, int64_t records)> &observer) {
  const Calls calls = callsOf(tensors, inputs);
  TensorMap given = inputs;
  if (calls.parts > 1)
    for (const TensorInfo &info : tensors)
      if (const auto input = given.find(info.name);
          info.role == TensorRole::Input && input != given.end())
        input->second = calls.records(info, input->second);
  absl::StatusOr<std::vector<Cut>> cuts = cutInputs(tensors, given);
  if (!cuts.ok())
    return cuts.status();
  int64_t records = 0;
  for (const Cut &cut : *cuts)
    records = std::max(records, cut.records);
  Joiner joiner(*cuts);
  for (int64_t index = 0; index < records; ++index) {
    TensorMap one;
    for (const Cut &cut : *cuts)
      one[cut.info->name] = record(cut, index);
    absl::StatusOr<TensorMap> outputs = runner(one);
    if (!outputs.ok())
      return outputs.status();
    if (absl::Status status = joiner.add(*outputs, index); !status.ok())
      return status;
    if (observer)
      observer(index + 1, records);
  }
  TensorMap outputs = joiner.take();
  if (calls.parts > 1)
    for (auto &[name, value] : outputs)
      value = calls.joined(value);
  return outputs;
}

absl::StatusOr<TensorMap>
ModuleRunner::run(const TensorMap &inputs, std::vector<TraceEvent> *trace,
                  const std::function<void(int64_t done, int64_t records)> &observer) {
  auto runner = [&](const TensorMap &one) {
    RunStatistics statistics;
    absl::StatusOr<TensorMap> outputs = runner_.run(one, trace, statistics);
    trace = nullptr;
    if (outputs.ok()) {
      ++totals_.runs;
      addTo(totals_.sum, statistics);
    }
    return outputs;
  };
  absl::StatusOr<TensorMap> outputs =
      runRecords(module_.info.network.tensors, inputs, runner, observer);
  if (outputs.ok())
    return outputs;
  return absl::Status(outputs.status().code(),
                      absl::StrCat(totals_.name, ": ", outputs.status().message()));
}

} // namespace sdopt
