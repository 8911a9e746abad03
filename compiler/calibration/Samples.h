//===- Samples.h - recorded inputs, call by call ----------------*- C++ -*-===//
//
// A sample file (.safetensors, .npz) holds one tensor per input, by name, and may hold one per
// output. Its tensors are cut into the calls of a function with static shapes:
//
//   calls:  the tensor of the input with the highest rank has one dimension more than the input:
//           [calls, rows, ...].
//   rows:   it has the rank of the input: [rows, ...], one call.
//
// All tensors must agree; only a tensor [calls], or of one number, for an input of rank 0 or 1 is a
// number for the whole call and fills the input.
//
// The rows of a call are grouped into batches of the function's batch size (dimension 0 of its
// inputs); each group is one evaluation. A short last group is filled up by repeating its last row;
// what the function returns for those rows is ignored (Sample::rows).
//
// An input or result whose dimension 0 is not the batch belongs to the call as a whole: [calls,
// shape of the function]. Then a call has as many rows as the batch.
//
//   file: sample [80, 2, 9, 16, 16], timestep [80]; function: sample 1x9x16x16, timestep 1
//   -> 160 evaluations: call 0 row 0, call 0 row 1, call 1 row 0, ...
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_CALIBRATION_SAMPLES_H
#define SDOPT_COMPILER_CALIBRATION_SAMPLES_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/weights/TensorFile.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sdopt {

/// The inputs of one evaluation.
struct Sample {
  std::vector<Tensor> inputs = {}; ///< of the types and shapes of the arguments (floats as F32)
  /// Recorded results, `rows` rows of each; empty tensor (no bytes) for one that was not recorded.
  std::vector<Tensor> outputs = {};
  int64_t rows = 1; ///< rows of dimension 0 that count; the rest is padding
  /// Rows that count of each result: `rows`, or all where dimension 0 is not the batch.
  std::vector<int64_t> outputRows = {};
};

/// A sample file and where its tensors are mapped.
struct SampleFile {
  std::string path;
  std::shared_ptr<const TensorFile> tensors;

  static absl::StatusOr<SampleFile> open(const std::string &path);
};

/// Where an evaluation comes from.
struct SampleOrigin {
  int64_t file = 0, call = 0;
  int64_t firstRow = 0; ///< of the rows of its call
  int64_t rows = 1;     ///< of its call, all evaluations together
};

class SampleReader {
public:
  /// Matches the files' tensors with the arguments (attribute sd.name) of `function`. Errors name
  /// the file, the tensor, the shape found and the one needed. Only `limit` evaluations, if
  /// positive, spread evenly over all.
  static absl::StatusOr<SampleReader> open(mlir::func::FuncOp function,
                                           std::vector<SampleFile> files, int64_t limit = 0);

  /// Number of evaluations.
  int64_t size() const { return static_cast<int64_t>(order_.size()); }
  /// Reads one; safe to call from several threads. Errors are numbers that are not finite, and
  /// integers for an integer input that do not fit the 32 bits of the device.
  absl::StatusOr<Sample> read(int64_t index) const;
  /// One input of an evaluation, as read() gives it.
  absl::StatusOr<Tensor> readInput(int64_t index, int64_t input) const;
  SampleOrigin origin(int64_t index) const;
  /// For each result of the function: do all files hold it?
  std::vector<bool> recordedOutputs() const;
  /// BLAKE3 (hex) over the inputs of all evaluations, in order.
  absl::StatusOr<std::string> digest() const;

private:
  struct Port {
    std::string name;
    ElementType type = ElementType::F32;
    Shape shape;
  };
  struct Layout {
    int64_t calls = 1, rows = 1;
    bool hasCallAxis = false;
  };
  struct Position {
    int64_t file = 0, call = 0, group = 0;
  };

  absl::Status describePorts(mlir::func::FuncOp function);
  absl::StatusOr<Layout> layoutOf(const SampleFile &file) const;
  /// Is dimension 0 the batch?
  bool hasRows(const Port &port) const;
  bool isScalarPerCall(const Layout &layout, const Port &port, const Tensor &tensor) const;
  absl::Status checkTensor(const SampleFile &file, const Layout &layout, const Port &port,
                           const Tensor &tensor, bool isOutput) const;
  absl::StatusOr<Tensor> readPort(const Port &port, const Position &position, bool isOutput) const;
  absl::Status checkNumbers(const SampleFile &file, const Port &port, const Position &position,
                            const Tensor &numbers) const;
  int64_t groupRows(const Layout &layout, const Position &position) const;

  std::vector<SampleFile> files_;
  std::vector<Layout> layouts_;
  std::vector<Port> inputs_, outputs_;
  std::vector<Position> order_;
  int64_t batch_ = 1;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_SAMPLES_H
