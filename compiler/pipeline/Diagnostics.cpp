//===- Diagnostics.cpp - from MLIR's messages to a status ---------------------===//

#include "compiler/pipeline/Diagnostics.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Location.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Remarks.h"

using namespace mlir;

namespace sdopt {

namespace {

/// Finds the value's name and the first ONNX node of a location.
void findNames(Location loc, std::string &value, std::string &node) {
  if (auto name = dyn_cast<NameLoc>(loc)) {
    (value.empty() ? value : node) = name.getName().str();
    if (node.empty())
      findNames(name.getChildLoc(), value, node);
  } else if (auto fused = dyn_cast<FusedLoc>(loc)) {
    for (Location child : fused.getLocations())
      if (node.empty())
        findNames(child, value, node);
  }
}

class Collector : public mlir::remark::detail::MLIRRemarkStreamerBase {
public:
  Collector(std::string module, std::vector<Remark> *remarks)
      : module_(std::move(module)), remarks_(remarks) {}

  void streamOptimizationRemark(const mlir::remark::detail::Remark &remark) override {
    Remark &entry = remarks_->emplace_back();
    switch (remark.getRemarkType()) {
    case llvm::remarks::Type::Passed:
      entry.set_kind(Remark::PASSED);
      break;
    case llvm::remarks::Type::Missed:
    case llvm::remarks::Type::Failure:
      entry.set_kind(Remark::MISSED);
      break;
    default:
      entry.set_kind(Remark::ANALYSIS);
    }
    std::string value, node;
    findNames(remark.getLocation(), value, node);
    entry.set_pass(remark.getCategoryName().str());
    entry.set_module(module_);
    entry.set_where(value);
    std::string text;
    for (const auto &arg : remark.getArgs())
      text += (text.empty() ? "" : " ") + (arg.key == "Remark" ? arg.val : arg.key + "=" + arg.val);
    entry.set_what(text);
  }

private:
  std::string module_;
  std::vector<Remark> *remarks_;
};

} // namespace

std::string describe(Location loc) {
  std::string value, node;
  findNames(loc, value, node);
  if (auto place = dyn_cast<FileLineColLoc>(loc); place && value.empty())
    return place.getFilename().str() + ":" + std::to_string(place.getLine()) + ":" +
           std::to_string(place.getColumn());
  if (value.empty())
    return {};
  return "value '" + value + "'" + (node.empty() ? "" : " (ONNX node '" + node + "')");
}

ErrorCollector::ErrorCollector(MLIRContext *context)
    : handler_(context, [this](Diagnostic &diagnostic) {
        if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
          return success();
        std::string where = describe(diagnostic.getLocation());
        std::string text = diagnostic.str();
        // Errors on a whole function: its location and its module have one name.
        if (constexpr std::string_view kFunction = "'func.func' op "; text.starts_with(kFunction)) {
          text.erase(0, kFunction.size());
          if (where.starts_with("value '"))
            where.replace(0, 5, "module");
        }
        bool placed = where.empty() || text.starts_with(where);
        std::string message = placed ? text : where + ": " + text;
        for (Diagnostic &note : diagnostic.getNotes()) {
          std::string noteWhere = describe(note.getLocation());
          message += "\n  note: " + (noteWhere.empty() ? "" : noteWhere + ": ") + note.str();
        }
        messages_.push_back(std::move(message));
        return success();
      }) {}

absl::Status ErrorCollector::take(const std::string &fallback) {
  std::string text;
  for (const std::string &message : messages_)
    text += (text.empty() ? "" : "\n") + message;
  messages_.clear();
  return absl::InvalidArgumentError(text.empty() ? fallback : text);
}

absl::Status ErrorCollector::explain(const absl::Status &status, const std::string &fallback) {
  if (status.message().empty())
    return take(fallback);
  if (messages_.empty())
    return status;
  return {status.code(), std::string(take("").message()) + "\n" + std::string(status.message())};
}

void collectRemarks(MLIRContext *context, const std::string &module, std::vector<Remark> *remarks) {
  mlir::remark::RemarkCategories categories;
  categories.all = categories.passed = categories.missed = categories.analysis = categories.failed =
      ".*";
  auto policy = std::make_unique<mlir::remark::RemarkEmittingPolicyAll>();
  (void)mlir::remark::enableOptimizationRemarks(
      *context, std::make_unique<Collector>(module, remarks), std::move(policy), categories);
}

} // namespace sdopt
