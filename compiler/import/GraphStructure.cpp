//===- GraphStructure.cpp - is it a graph, and what of it counts -------------===//

#include "compiler/import/GraphStructure.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <map>

namespace sdopt {

namespace {

constexpr int kOutside = -1; ///< defined by an input or initializer

class StructureChecker {
public:
  explicit StructureChecker(const OnnxFile &file) : file_(file), graph_(file.model.graph()) {}

  absl::StatusOr<GraphStructure> check() {
    for (absl::Status (StructureChecker::*step)() :
         {&StructureChecker::define, &StructureChecker::checkOutputs,
          &StructureChecker::checkOrder})
      if (absl::Status status = (this->*step)(); !status.ok())
        return status;
    return collectLive();
  }

private:
  template <typename... Parts> absl::Status invalid(const Parts &...parts) {
    return absl::InvalidArgumentError(absl::StrCat("'", file_.path, "': ", parts...));
  }

  std::string nodeName(int index) const {
    const onnx::NodeProto &node = graph_.node(index);
    return node.name().empty() ? absl::StrCat(node.op_type(), "#", index) : node.name();
  }

  std::string definer(int index) const {
    return index == kOutside ? "an input or initializer"
                             : absl::StrCat("node '", nodeName(index), "'");
  }

  absl::Status defineAt(const std::string &tensor, int index) {
    auto [place, inserted] = definedBy_.emplace(tensor, index);
    if (inserted)
      return absl::OkStatus();
    return invalid("tensor '", tensor, "' is defined twice, by ", definer(place->second),
                   " and by ", definer(index));
  }

  absl::Status define() {
    for (const Initializer &initializer : file_.initializers) {
      if (initializer.header.name().empty())
        return invalid("an initializer has no name");
      if (absl::Status status = defineAt(initializer.header.name(), kOutside); !status.ok())
        return status;
    }
    std::set<std::string> inputs;
    for (const onnx::ValueInfoProto &input : graph_.input()) {
      if (input.name().empty())
        return invalid("an input has no name");
      // An input with an initializer of its name has a default value.
      if (!inputs.insert(input.name()).second)
        return invalid("two inputs are named '", input.name(), "'");
      definedBy_.emplace(input.name(), kOutside);
    }
    for (int i = 0; i < graph_.node_size(); ++i)
      for (const std::string &output : graph_.node(i).output())
        if (!output.empty())
          if (absl::Status status = defineAt(output, i); !status.ok())
            return status;
    return absl::OkStatus();
  }

  absl::Status checkOutputs() {
    if (graph_.output_size() == 0)
      return invalid("the graph has no outputs");
    std::set<std::string> outputs;
    for (const onnx::ValueInfoProto &output : graph_.output()) {
      if (!definedBy_.count(output.name()))
        return invalid("nothing defines the output '", output.name(), "'");
      if (!outputs.insert(output.name()).second)
        return invalid("two outputs are named '", output.name(), "'");
    }
    return absl::OkStatus();
  }

  absl::Status checkOrder() {
    for (int i = 0; i < graph_.node_size(); ++i)
      for (const std::string &input : graph_.node(i).input()) {
        auto found = definedBy_.find(input);
        if (input.empty())
          continue;
        if (found == definedBy_.end())
          return invalid("node '", nodeName(i), "' reads tensor '", input,
                         "', which nothing defines");
        if (found->second < i)
          continue;
        if (std::string cycle = cycleText(); !cycle.empty())
          return invalid("the graph has a cycle: ", cycle);
        return invalid("node '", nodeName(i), "' reads tensor '", input, "' before node '",
                       nodeName(found->second),
                       "' defines it; nodes must be sorted, each after those it reads");
      }
    return absl::OkStatus();
  }

  /// "a -> b -> a", or nothing. Removes nodes with no open producer until none is left; then each
  /// remaining node has a remaining producer, and walking producers must come back.
  std::string cycleText() const {
    std::vector<int> open(graph_.node_size(), 0);
    std::map<int, std::vector<int>> readers;
    auto forProducers = [&](int node, auto &&visit) {
      for (const std::string &input : graph_.node(node).input())
        if (auto found = definedBy_.find(input);
            found != definedBy_.end() && found->second != kOutside)
          visit(found->second);
    };
    std::vector<int> ready;
    for (int i = 0; i < graph_.node_size(); ++i) {
      forProducers(i, [&](int producer) {
        readers[producer].push_back(i);
        ++open[i];
      });
      if (open[i] == 0)
        ready.push_back(i);
    }
    while (!ready.empty()) {
      int node = ready.back();
      ready.pop_back();
      for (int reader : readers[node])
        if (--open[reader] == 0)
          ready.push_back(reader);
    }
    auto first = std::find_if(open.begin(), open.end(), [](int count) { return count > 0; });
    if (first == open.end())
      return {};
    std::vector<int> path{static_cast<int>(first - open.begin())};
    std::set<int> seen;
    while (seen.insert(path.back()).second) {
      int next = path.back();
      forProducers(path.back(), [&](int producer) {
        if (open[producer] > 0)
          next = producer;
      });
      path.push_back(next);
    }
    // The walk went against the edges: print the loop the way the data goes.
    auto begin = std::find(path.begin(), path.end(), path.back());
    std::reverse(begin, path.end());
    constexpr std::ptrdiff_t kShown = 8;
    std::string text;
    for (auto node = begin; node != path.end(); ++node) {
      if (node - begin == kShown && path.end() - node > 1) {
        absl::StrAppend(&text, " -> (", path.end() - node - 1, " more)");
        node = path.end() - 1;
      }
      absl::StrAppend(&text, text.empty() ? "'" : " -> '", nodeName(*node), "'");
    }
    return text;
  }

  GraphStructure collectLive() {
    GraphStructure structure;
    for (const onnx::ValueInfoProto &output : graph_.output())
      structure.used.insert(output.name());
    for (int i = graph_.node_size() - 1; i >= 0; --i) {
      const onnx::NodeProto &node = graph_.node(i);
      bool live =
          std::any_of(node.output().begin(), node.output().end(),
                      [&](const std::string &name) { return structure.used.count(name) > 0; });
      if (!live)
        continue;
      structure.nodes.push_back({&node, nodeName(i)});
      for (const std::string &input : node.input())
        if (!input.empty())
          structure.used.insert(input);
    }
    std::reverse(structure.nodes.begin(), structure.nodes.end());
    return structure;
  }

  const OnnxFile &file_;
  const onnx::GraphProto &graph_;
  std::map<std::string, int> definedBy_;
};

} // namespace

absl::StatusOr<GraphStructure> graphStructure(const OnnxFile &file) {
  return StructureChecker(file).check();
}

} // namespace sdopt
