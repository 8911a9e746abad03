//===- FunctionText.h - functions from text, for tests ----------*- C++ -*-===//

#ifndef SDOPT_TESTS_REFERENCE_FUNCTIONTEXT_H
#define SDOPT_TESTS_REFERENCE_FUNCTIONTEXT_H

#include "compiler/reference/Evaluator.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"

#include <optional>
#include <string>
#include <vector>

namespace sdopt::test {

/// A context with the dialects and their models, and a module parsed in it. Diagnostics are
/// collected instead of printed.
class FunctionText {
public:
  explicit FunctionText(const std::string &text);
  ~FunctionText();

  bool parsed() const { return static_cast<bool>(module_); }
  /// The first function.
  mlir::func::FuncOp function() const;
  /// The diagnostics so far, one a line.
  const std::string &messages() const { return messages_; }

  /// Results, or nothing after a failure.
  std::optional<std::vector<Tensor>> run(const std::vector<Tensor> &inputs,
                                         const EvaluationContext &context);

private:
  mlir::MLIRContext context_;
  std::string messages_;
  mutable mlir::OwningOpRef<mlir::ModuleOp> module_;
};

/// Fast or naive kernels, no weights.
EvaluationContext fastContext();
EvaluationContext naiveContext();

Tensor floats(Shape shape, std::vector<float> values);

/// Pseudo-random floats in [-range, range), the same for the same seed.
Tensor randomFloats(Shape shape, float range, uint32_t seed);

} // namespace sdopt::test

#endif // SDOPT_TESTS_REFERENCE_FUNCTIONTEXT_H
