//===- ValueNames.cpp - stable names of values -----------------------------===//

#include "dialects/sd/Sd.h"

#include <algorithm>

using namespace mlir;

namespace sdopt::sd {

namespace {

using Names = std::vector<std::string>;

void insert(Names &names, llvm::StringRef name) {
  if (std::find(names.begin(), names.end(), name) == names.end())
    names.push_back(name.str());
}

/// Appends the node names inside a location, depth first.
void collectNodes(Location loc, Names &nodes) {
  if (auto name = dyn_cast<NameLoc>(loc))
    insert(nodes, name.getName());
  else if (auto fused = dyn_cast<FusedLoc>(loc))
    for (Location child : fused.getLocations())
      collectNodes(child, nodes);
}

/// The part of a value's location below its name.
void collectChildNodes(Location loc, Names &nodes) {
  if (auto name = dyn_cast<NameLoc>(loc))
    collectNodes(name.getChildLoc(), nodes);
  else if (auto fused = dyn_cast<FusedLoc>(loc))
    for (Location child : fused.getLocations())
      collectChildNodes(child, nodes);
}

/// The first NameLoc, which is the value's name.
NameLoc findName(Location loc) {
  if (auto name = dyn_cast<NameLoc>(loc))
    return name;
  if (auto fused = dyn_cast<FusedLoc>(loc))
    for (Location child : fused.getLocations())
      if (NameLoc name = findName(child))
        return name;
  return nullptr;
}

} // namespace

Location makeValueLoc(MLIRContext *context, llvm::StringRef name,
                      llvm::ArrayRef<std::string> nodes) {
  Location child = UnknownLoc::get(context);
  SmallVector<Location> locs;
  for (const std::string &node : nodes)
    locs.push_back(NameLoc::get(StringAttr::get(context, node)));
  if (!locs.empty())
    child = FusedLoc::get(context, locs);
  return NameLoc::get(StringAttr::get(context, name), child);
}

Location fuseLocs(Operation *root, llvm::ArrayRef<Operation *> others) {
  Names nodes;
  for (Operation *op : others)
    collectChildNodes(op->getLoc(), nodes);
  collectChildNodes(root->getLoc(), nodes);
  NameLoc name = findName(root->getLoc());
  return makeValueLoc(root->getContext(), name ? name.getName().getValue() : llvm::StringRef(),
                      nodes);
}

Location renamedLoc(Location loc, llvm::StringRef suffix) {
  Names nodes;
  collectChildNodes(loc, nodes);
  NameLoc name = findName(loc);
  std::string renamed = (name ? name.getName().str() : std::string()) + suffix.str();
  return makeValueLoc(loc.getContext(), renamed, nodes);
}

std::string valueName(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    auto function = dyn_cast_or_null<func::FuncOp>(argument.getOwner()->getParentOp());
    if (!function)
      return {};
    auto name =
        function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), SdDialect::kNameAttr);
    return name ? name.str() : std::string();
  }
  NameLoc name = findName(value.getLoc());
  if (!name)
    return {};
  unsigned number = cast<OpResult>(value).getResultNumber();
  return number == 0 ? name.getName().str() : name.getName().str() + "#" + std::to_string(number);
}

std::vector<std::string> onnxNodes(Operation *op) {
  Names nodes;
  collectChildNodes(op->getLoc(), nodes);
  return nodes;
}

} // namespace sdopt::sd
