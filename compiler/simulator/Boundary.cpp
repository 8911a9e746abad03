// The host's side of a module: real tensors in their ONNX shape to codes and back.

#include "absl/strings/str_cat.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/simulator/Simulator.h"

#include <cmath>
#include <limits>

namespace sdopt {
namespace {

Shape dimsOf(const TensorInfo &info) { return {info.dims.begin(), info.dims.end()}; }

absl::Status error(const TensorInfo &info, const std::string &what) {
  return absl::InvalidArgumentError(absl::StrCat("tensor '", info.name, "': ", what));
}

/// The host only converts numbers: changes of layout are layers of the module, and counted.
absl::Status checkLogicalShape(const TensorInfo &info) {
  if (elementCount(info.logicalShape) == info.elements())
    return absl::OkStatus();
  return error(info,
               absl::StrCat("onnx shape ", toString(info.logicalShape),
                            " has not as many elements as dimensions ", toString(dimsOf(info))));
}

absl::StatusOr<Tensor> integersOf(const TensorInfo &info, const Tensor &value) {
  if (value.type() != ElementType::I64 && value.type() != ElementType::I32)
    return error(info, absl::StrCat("has element type ", name(value.type()), "; needs i64 or i32"));
  if (value.type() == ElementType::I64)
    for (int64_t number : value.values<int64_t>())
      if (number != static_cast<int32_t>(number))
        return error(info, absl::StrCat("value ", number, " does not fit 32 bits"));
  return value.converted(ElementType::I32);
}

absl::Status checkFixedPoint(const TensorInfo &info, std::span<const float> values) {
  const double limit = info.scale * 0x1p31;
  for (float value : values)
    if (!(value >= -limit && value < limit - info.scale))
      return error(info, absl::StrCat("value ", value, " is outside ", -limit, " to ", limit));
  return absl::OkStatus();
}

} // namespace

bool isFixedPoint(const TensorInfo &info) {
  return info.type == ElementType::I32 && info.scale != 1.0f;
}

absl::StatusOr<Tensor> quantizeInput(const TensorInfo &info, const Tensor &value) {
  if (absl::Status status = checkLogicalShape(info); !status.ok())
    return status;
  if (value.shape() != info.logicalShape)
    return error(info, absl::StrCat("has shape ", toString(value.shape()), "; needs ",
                                    toString(info.logicalShape)));
  if (info.type == ElementType::I32 && !isFixedPoint(info)) {
    absl::StatusOr<Tensor> integers = integersOf(info, value);
    if (!integers.ok())
      return integers.status();
    return integers->reshaped(dimsOf(info));
  }
  if (value.type() != ElementType::F32)
    return error(info, absl::StrCat("has element type ", name(value.type()), "; needs f32"));
  const std::span<const float> values = value.values<float>();
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      return error(info, absl::StrCat("element ", i, " is not a finite number"));
  if (isFixedPoint(info))
    if (absl::Status status = checkFixedPoint(info, values); !status.ok())
      return status;
  return quantizeCodes(value.reshaped(dimsOf(info)), info.scale, info.format());
}

absl::StatusOr<Tensor> dequantizeOutput(const TensorInfo &info, const Tensor &codes) {
  if (absl::Status status = checkLogicalShape(info); !status.ok())
    return status;
  if (codes.shape() != dimsOf(info) || codes.type() != info.type)
    return error(info, absl::StrCat("codes are ", toString(codes.shape()), " ", name(codes.type()),
                                    "; needs ", toString(dimsOf(info)), " ", name(info.type)));
  const Tensor values = info.type == ElementType::I32 && !isFixedPoint(info)
                            ? codes.converted(ElementType::I64)
                            : dequantizeCodes(codes, info.scale, info.zeroPoint);
  return values.reshaped(info.logicalShape);
}

absl::StatusOr<std::map<std::string, Tensor>> runModule(Simulator &simulator,
                                                        const PackageModule &module,
                                                        const std::map<std::string, Tensor> &inputs,
                                                        const SimulatorOptions &options,
                                                        RunStatistics *statistics) {
  const std::vector<TensorInfo> &tensors = module.info.network.tensors;
  std::map<std::string, Tensor> codes = inputs;
  for (size_t id = 0; id < tensors.size(); ++id) {
    const TensorInfo &tensor = tensors[id];
    const auto found = codes.find(tensor.name);
    if (tensor.role != TensorRole::Input || found == codes.end())
      continue;
    const bool chooses = !module.info.buckets.empty() &&
                         static_cast<TensorId>(id) == timestepInput(module.info.network);
    if (!chooses &&
        !isRead(module.info.network, static_cast<TensorId>(id), options.first, options.last)) {
      codes.erase(found);
      continue;
    }
    absl::StatusOr<Tensor> quantized = quantizeInput(tensor, found->second);
    if (!quantized.ok())
      return quantized.status();
    found->second = *quantized;
  }
  absl::StatusOr<std::map<std::string, Tensor>> outputs = simulator.run(codes, options, statistics);
  if (!outputs.ok() || options.last != Phase::Step)
    return outputs;
  for (const TensorInfo &tensor : tensors) {
    if (tensor.role != TensorRole::Output)
      continue;
    absl::StatusOr<Tensor> value = dequantizeOutput(tensor, (*outputs)[tensor.name]);
    if (!value.ok())
      return value.status();
    (*outputs)[tensor.name] = *value;
  }
  return outputs;
}

} // namespace sdopt
