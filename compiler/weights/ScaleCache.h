//===- ScaleCache.h - scales that were searched once ------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_WEIGHTS_SCALECACHE_H
#define SDOPT_COMPILER_WEIGHTS_SCALECACHE_H

#include "compiler/kernels/Tensor.h"

#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace sdopt {

/// Scales of quantized weights by what they were computed from. Codes are made again wherever they
/// are needed, since they are as large as a package; the search for the best scales is most of that
/// work and its result is small.
class ScaleCache {
public:
  std::optional<Tensor> find(const std::string &expression) const {
    std::lock_guard lock(mutex_);
    auto found = scales_.find(expression);
    return found == scales_.end() ? std::nullopt : std::optional<Tensor>(found->second);
  }
  void keep(const std::string &expression, const Tensor &scales) {
    std::lock_guard lock(mutex_);
    scales_.try_emplace(expression, scales);
  }

private:
  mutable std::mutex mutex_;
  std::map<std::string, Tensor> scales_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_WEIGHTS_SCALECACHE_H
