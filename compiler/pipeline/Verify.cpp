//===- Verify.cpp - one meaning, to the bit -----------------------------------===//

#include "compiler/pipeline/Verify.h"

#include "compiler/files/Blake3.h"
#include "compiler/pipeline/CompareCodes.h"
#include "passes/schedule/NpuNetwork.h"

#include <algorithm>
#include <optional>
#include <set>

using namespace mlir;

namespace sdopt {

namespace {

/// Bytes of a package's constants: a run reads each of them once.
constexpr int64_t kResidentConstants = int64_t(32) << 20;

bool isCodes(const Tensor &tensor) {
  return tensor.type() == ElementType::I8 || tensor.type() == ElementType::I16;
}

std::string opName(Value value) {
  Operation *op = value.getDefiningOp();
  return op ? op->getName().getStringRef().str() : "argument";
}

std::string digestOf(const Tensor &codes) {
  return blake3Hex({codes.bytes(), static_cast<size_t>(codes.byteSize())}) + " " +
         name(codes.type());
}

/// The codes of one value of a run that can be repeated.
absl::StatusOr<Tensor> codesOf(const std::string &wanted, const CodeRun &run) {
  std::optional<Tensor> found;
  absl::Status status = run([&](const std::string &name, const std::string &, const Tensor &codes) {
    if (name == wanted && !found)
      found = codes;
  });
  if (!status.ok())
    return status;
  if (!found)
    return absl::InternalError("verify: value '" + wanted + "' did not come again");
  return *std::move(found);
}

/// The value that differs earliest in the reference's order.
struct Difference {
  size_t position = 0;
  std::string op;
  Tensor codes;
};

} // namespace

CodeRun functionRun(Evaluator &evaluator, const std::vector<Tensor> &inputs) {
  return [&evaluator, &inputs](const CodeObserver &observe) -> absl::Status {
    FailureOr<SmallVector<Tensor>> results =
        evaluator.run(inputs, [&](Value value, const Tensor &tensor) {
          if (isCodes(tensor) && isQuantized(value.getType()))
            observe(sd::valueName(value), opName(value), tensor);
        });
    if (failed(results))
      return absl::InternalError("evaluation of '" + evaluator.function().getName().str() +
                                 "' failed");
    return absl::OkStatus();
  };
}

namespace {

/// What the package has of the schedule is what the phase left in this run, if it has this
/// timestep.
absl::Status checkScheduleRow(const Simulator &simulator, const PackageModule &module,
                              const std::map<std::string, Tensor> &inputs) {
  const std::vector<int32_t> &timesteps = module.info.scheduleTimesteps;
  if (timesteps.empty())
    return absl::OkStatus();
  const TensorInfo &info = module.info.network.tensors[scheduleInput(module.info.network)];
  const absl::StatusOr<Tensor> given = quantizeInput(info, inputs.at(info.name));
  if (!given.ok())
    return given.status();
  const auto found = std::ranges::find(timesteps, given->values<int32_t>()[0]);
  if (found == timesteps.end())
    return absl::OkStatus();
  const std::vector<std::byte> left = simulator.kept(Phase::Schedule);
  const auto index = static_cast<size_t>(found - timesteps.begin());
  if (std::ranges::equal(left, module.schedule.subspan(index * left.size(), left.size())))
    return absl::OkStatus();
  return absl::InternalError("row " + std::to_string(index) + " of the schedule of module '" +
                             module.info.network.name + "' is not what its phase leaves");
}

/// The next step finds what the phases before it left, whatever this one did.
absl::Status runStepAgain(Simulator &simulator, const PackageModule &module,
                          const std::map<std::string, Tensor> &inputs, SimulatorOptions options,
                          const std::map<std::string, Tensor> &outputs) {
  if (keptTensors(module.info.network, Phase::Prompt).empty() &&
      keptTensors(module.info.network, Phase::Schedule).empty())
    return absl::OkStatus();
  options.first = Phase::Step;
  options.observer = nullptr;
  absl::StatusOr<std::map<std::string, Tensor>> again =
      runModule(simulator, module, inputs, options);
  if (!again.ok())
    return again.status();
  for (const auto &[name, value] : outputs)
    if (!std::equal(value.bytes(), value.bytes() + value.byteSize(), (*again)[name].bytes()))
      return absl::InternalError("output '" + name + "' of module '" + module.info.network.name +
                                 "' changes when its step runs again");
  return absl::OkStatus();
}

} // namespace

CodeRun simulatorRun(const PackageModule &module, const Target &target,
                     std::map<std::string, Tensor> inputs, const IntegerKernels *kernels) {
  const Network &network = module.info.network;
  std::vector<size_t> lastWriter(network.tensors.size());
  for (size_t i = 0; i < network.layers.size(); ++i)
    lastWriter[network.layers[i].output] = i;
  auto simulator = std::make_shared<Simulator>(module, target);
  return [=, &module, &network,
          inputs = std::move(inputs)](const CodeObserver &observe) -> absl::Status {
    SimulatorOptions options;
    options.kernels = kernels;
    options.timing = false;
    options.runSchedule = true;
    options.residentConstants = kResidentConstants;
    options.observer = [&](int32_t index, const Tensor &codes) {
      // The slices of a concatenation fill one tensor: look when the last has come.
      const Layer &layer = network.layers[index];
      if (lastWriter[layer.output] == static_cast<size_t>(index) && isCodes(codes))
        observe(layer.name, kindName(layer), codes);
    };
    absl::StatusOr<std::map<std::string, Tensor>> outputs =
        runModule(*simulator, module, inputs, options);
    if (!outputs.ok())
      return outputs.status();
    absl::Status status = checkScheduleRow(*simulator, module, inputs);
    return status.ok() ? runStepAgain(*simulator, module, inputs, options, *outputs) : status;
  };
}

absl::StatusOr<RunDigests> digestsOf(const CodeRun &run) {
  RunDigests digests;
  std::set<std::string> seen;
  absl::Status status = run([&](const std::string &name, const std::string &, const Tensor &codes) {
    if (seen.insert(name).second)
      digests.values.push_back({name, codes.size(), digestOf(codes)});
  });
  if (!status.ok())
    return status;
  return digests;
}

absl::Status compareRuns(const RunDigests &digests, const CodeRun &reference, const CodeRun &actual,
                         const std::vector<std::string> &results, const std::string &step,
                         VerifyCounts &counts) {
  std::map<std::string, size_t> waiting;
  for (size_t i = 0; i < digests.values.size(); ++i)
    waiting[digests.values[i].name] = i;
  std::optional<Difference> first;
  absl::Status status =
      actual([&](const std::string &name, const std::string &op, const Tensor &codes) {
        auto found = waiting.find(name);
        if (found == waiting.end())
          return;
        size_t position = found->second;
        waiting.erase(found);
        counts.values += 1;
        counts.elements += codes.size();
        if (digests.values[position].digest != digestOf(codes) &&
            (!first || position < first->position))
          first = {.position = position, .op = op, .codes = codes};
      });
  if (!status.ok())
    return status;
  if (first) {
    const std::string &name = digests.values[first->position].name;
    absl::StatusOr<Tensor> before = codesOf(name, reference);
    if (!before.ok())
      return before.status();
    VerifyCounts again;
    status = compareCodes(name, first->op, *before, first->codes, step, again);
    return status.ok() ? absl::InternalError("verify: value '" + name + "' of the earlier form " +
                                             "differs from run to run")
                       : status;
  }
  for (const std::string &name : results)
    if (waiting.count(name))
      return absl::DataLossError("verify: '" + step + "' lost value '" + name +
                                 "', a result of the module");
  counts.uncompared += static_cast<int64_t>(waiting.size());
  return absl::OkStatus();
}

std::vector<std::string> resultNames(func::FuncOp function) {
  std::vector<std::string> names;
  for (Value value : function.getBody().front().getTerminator()->getOperands()) {
    while (!isQuantized(value.getType()) && value.getDefiningOp() &&
           value.getDefiningOp()->getNumOperands() == 1)
      value = value.getDefiningOp()->getOperand(0);
    // The package has no layer for another shape of the same codes.
    while (auto reshape = value.getDefiningOp<sd::ReshapeOp>())
      value = reshape.getInput();
    if (isQuantized(value.getType()))
      names.push_back(sd::valueName(value));
  }
  return names;
}

} // namespace sdopt
