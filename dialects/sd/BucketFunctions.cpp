//===- BucketFunctions.cpp - a function for each bucket of timesteps ----------===//

#include "dialects/sd/BucketFunctions.h"

#include "mlir/IR/BuiltinOps.h"

#include <cmath>

using namespace mlir;

namespace sdopt::sd {

namespace {

constexpr llvm::StringLiteral kBucket = ".bucket";

llvm::StringRef moduleName(func::FuncOp function) {
  llvm::StringRef name = function.getName();
  return name.take_front(name.rfind(kBucket));
}

} // namespace

std::string bucketName(llvm::StringRef module, size_t bucket) {
  return module.str() + (bucket > 0 ? kBucket.str() + std::to_string(bucket) : "");
}

double firstTimestep(func::FuncOp function) {
  auto first = function->getAttrOfType<FloatAttr>(kFirstTimestepAttribute);
  return first ? first.getValueAsDouble() : 0;
}

llvm::SmallVector<func::FuncOp> bucketFunctions(func::FuncOp function) {
  auto module = function->getParentOfType<ModuleOp>();
  if (!module || !function->hasAttr(kFirstTimestepAttribute))
    return {function};
  return llvm::filter_to_vector(module.getOps<func::FuncOp>(), [&](func::FuncOp other) {
    return other->hasAttr(kFirstTimestepAttribute) && moduleName(other) == moduleName(function);
  });
}

bool isLaterBucket(func::FuncOp function) { return bucketFunctions(function).front() != function; }

size_t bucketOf(llvm::ArrayRef<func::FuncOp> functions, double timestep) {
  auto code = [](double value) { return std::floor(std::ldexp(value, 16) + 0.5); };
  size_t bucket = 0;
  while (bucket + 1 < functions.size() &&
         code(firstTimestep(functions[bucket + 1])) <= code(timestep))
    ++bucket;
  return bucket;
}

} // namespace sdopt::sd
