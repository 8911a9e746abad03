//===- OrderedWork.h - parallel work, results in order ----------*- C++ -*-===//

#ifndef SDOPT_COMPILER_CALIBRATION_ORDEREDWORK_H
#define SDOPT_COMPILER_CALIBRATION_ORDEREDWORK_H

#include "absl/status/statusor.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace sdopt {

/// Computes work(worker, i) for all i in [0, count) on up to `threads` threads, `worker` telling
/// them apart, and hands the results to finish(i, result) in the order of i, one at a time. Gives
/// the error of the smallest i that failed; indices are handed out in order, so that this is the
/// same for any number of threads.
template <typename Result>
absl::Status runInOrder(int64_t count, int threads,
                        const std::function<absl::StatusOr<Result>(int worker, int64_t i)> &work,
                        const std::function<void(int64_t i, Result result)> &finish) {
  std::atomic<int64_t> next = 0;
  std::atomic<bool> stop = false;
  std::mutex mutex;
  std::map<int64_t, Result> pending;
  int64_t finished = 0, failedAt = count;
  absl::Status error;
  auto serve = [&](int worker) {
    while (!stop) {
      int64_t i = next++;
      if (i >= count)
        return;
      absl::StatusOr<Result> result = work(worker, i);
      std::lock_guard lock(mutex);
      if (!result.ok()) {
        stop = true;
        if (i < failedAt) {
          failedAt = i;
          error = result.status();
        }
        continue;
      }
      pending.emplace(i, *std::move(result));
      for (auto first = pending.begin(); first != pending.end() && first->first == finished;
           first = pending.erase(first))
        finish(finished++, std::move(first->second));
    }
  };
  int workers = static_cast<int>(std::clamp<int64_t>(threads, 1, std::max<int64_t>(count, 1)));
  std::vector<std::thread> pool;
  for (int worker = 1; worker < workers; ++worker)
    pool.emplace_back(serve, worker);
  serve(0);
  for (std::thread &thread : pool)
    thread.join();
  return error;
}

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_ORDEREDWORK_H
