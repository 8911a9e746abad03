//===- InputShapes.cpp - symbolic dimensions become numbers ------------------===//

#include "compiler/import/InputShapes.h"

#include "compiler/import/OnnxTensor.h"

#include "absl/strings/str_cat.h"

#include <set>

namespace sdopt {

namespace {

using Dimension = onnx::TensorShapeProto::Dimension;

/// A name's value and who gave it.
struct Binding {
  int64_t value;
  std::string source;
};

class ShapeBinder {
public:
  ShapeBinder(const OnnxFile &file, const ImportOptions &options) : file_(file), options_(options) {
    std::set<std::string> initializers;
    for (const Initializer &initializer : file.initializers)
      initializers.insert(initializer.header.name());
    for (const onnx::ValueInfoProto &input : file.model.graph().input())
      if (!initializers.count(input.name()))
        inputs_.push_back(&input);
  }

  absl::StatusOr<std::vector<std::pair<const onnx::ValueInfoProto *, Shape>>> bind() {
    if (absl::Status status = bindNames(); !status.ok())
      return status;
    std::vector<std::pair<const onnx::ValueInfoProto *, Shape>> shapes;
    for (const onnx::ValueInfoProto *input : inputs_) {
      absl::StatusOr<Shape> shape = bindShape(*input);
      if (!shape.ok())
        return shape.status();
      shapes.emplace_back(input, *shape);
    }
    if (!unbound_.empty())
      return invalid("has symbolic dimensions without a value:", unbound_);
    return shapes;
  }

private:
  template <typename... Parts> absl::Status invalid(const Parts &...parts) {
    return absl::InvalidArgumentError(absl::StrCat("'", file_.path, "' ", parts...));
  }

  const onnx::ValueInfoProto *findInput(const std::string &name) const {
    for (const onnx::ValueInfoProto *input : inputs_)
      if (input->name() == name)
        return input;
    return nullptr;
  }

  /// Collects what options.dimensions and the whole shapes say about names.
  absl::Status bindNames() {
    for (const auto &[name, value] : options_.dimensions) {
      if (value < 1)
        return invalid("dimension '", name, "' cannot be ", value, "; it must be positive");
      names_.emplace(name, Binding{value, "the given dimension"});
    }
    for (const auto &[name, shape] : options_.inputShapes) {
      const onnx::ValueInfoProto *input = findInput(name);
      if (!input) {
        std::string known;
        for (const onnx::ValueInfoProto *other : inputs_)
          absl::StrAppend(&known, known.empty() ? "'" : ", '", other->name(), "'");
        return invalid("has no input '", name, "' to give a shape; its inputs are ", known);
      }
      if (absl::Status status = bindWholeShape(*input, shape); !status.ok())
        return status;
    }
    return absl::OkStatus();
  }

  absl::Status bindWholeShape(const onnx::ValueInfoProto &input, const Shape &shape) {
    if (!checkedElementCount(shape))
      return invalid("input '", input.name(), "' cannot have the shape ", toString(shape));
    if (!input.type().tensor_type().has_shape())
      return absl::OkStatus();
    const onnx::TensorShapeProto &declared = input.type().tensor_type().shape();
    if (declared.dim_size() != static_cast<int>(shape.size()))
      return invalid("input '", input.name(), "' has rank ", declared.dim_size(),
                     " but the shape given is ", toString(shape));
    for (int i = 0; i < declared.dim_size(); ++i) {
      const Dimension &dim = declared.dim(i);
      if (dim.has_dim_value() && dim.dim_value() != shape[i])
        return invalid("dimension ", i, " of input '", input.name(), "' is ", dim.dim_value(),
                       " but the shape given is ", toString(shape));
      if (dim.has_dim_value() || dim.dim_param().empty())
        continue;
      std::string source = absl::StrCat("the shape given for input '", input.name(), "'");
      auto [found, inserted] = names_.emplace(dim.dim_param(), Binding{shape[i], source});
      if (!inserted && found->second.value != shape[i])
        return invalid("dimension '", dim.dim_param(), "' is ", found->second.value, " by ",
                       found->second.source, " but ", shape[i], " by ", source);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Shape> bindShape(const onnx::ValueInfoProto &input) {
    if (auto given = options_.inputShapes.find(input.name()); given != options_.inputShapes.end())
      return given->second;
    if (!input.type().has_tensor_type())
      return Shape(); // refused later, with all other unsupported things
    if (!input.type().tensor_type().has_shape()) {
      absl::StrAppend(&unbound_, "\n  input '", input.name(), "' has no shape; give --input-shape ",
                      input.name(), "=...");
      return Shape();
    }
    const onnx::TensorShapeProto &declared = input.type().tensor_type().shape();
    Shape shape;
    for (int i = 0; i < declared.dim_size(); ++i)
      shape.push_back(bindDimension(input.name(), i, declared.dim(i)));
    if (!checkedElementCount(shape))
      return invalid("input '", input.name(), "' has the impossible shape ", toString(shape),
                     "; dimensions must not be negative and their product at most 2^40");
    return shape;
  }

  int64_t bindDimension(const std::string &input, int i, const Dimension &dim) {
    if (dim.has_dim_value())
      return dim.dim_value();
    if (auto found = names_.find(dim.dim_param());
        !dim.dim_param().empty() && found != names_.end())
      return found->second.value;
    if (i == 0 && options_.batch)
      return *options_.batch;
    if (auto found = options_.defaultDimensions.find(dim.dim_param());
        !dim.dim_param().empty() && found != options_.defaultDimensions.end())
      return found->second;
    bool named = !dim.dim_param().empty();
    absl::StrAppend(&unbound_, "\n  input '", input, "' dimension ", i,
                    named ? absl::StrCat(" '", dim.dim_param(), "'") : " (no name)", "; give ",
                    i == 0 ? "--batch N, " : "",
                    named ? absl::StrCat("--dimension ", dim.dim_param(), "=N or ") : "",
                    "--input-shape ", input, "=...");
    return 1;
  }

  const OnnxFile &file_;
  const ImportOptions &options_;
  std::vector<const onnx::ValueInfoProto *> inputs_;
  std::map<std::string, Binding> names_;
  std::string unbound_;
};

} // namespace

absl::StatusOr<std::vector<std::pair<const onnx::ValueInfoProto *, Shape>>>
bindInputShapes(const OnnxFile &file, const ImportOptions &options) {
  return ShapeBinder(file, options).bind();
}

std::set<std::string> dimensionNames(const OnnxFile &file) {
  std::set<std::string> names;
  for (const onnx::ValueInfoProto &input : file.model.graph().input())
    for (const Dimension &dim : input.type().tensor_type().shape().dim())
      if (!dim.dim_param().empty())
        names.insert(dim.dim_param());
  return names;
}

} // namespace sdopt
