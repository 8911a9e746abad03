//===- WorkSharing.cpp - items of work for several threads ------------------===//

#include "compiler/kernels/WorkSharing.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace sdopt {

namespace {

// Waking a thread takes some 50 us of the one that wakes it: helpers stay awake for some times
// that.
constexpr int kSpins = 1000, kHelperSpins = 8 * kSpins;

void pauseBriefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

template <typename Condition> void spinUntil(Condition condition, int spins) {
  for (int i = 0; i < spins && !condition(); ++i)
    pauseBriefly();
}

struct Job {
  const std::function<void(int64_t)> &work;
  int64_t items, chunk;
  std::atomic<int64_t> next = 0;
  std::atomic<int> active = 0; ///< helpers at work; grows only under the lock of the pool
  int wanted = 0;              ///< helpers that may still come, under the lock

  void run() {
    for (int64_t first = next.fetch_add(chunk); first < items; first = next.fetch_add(chunk))
      for (int64_t item = first; item < std::min(items, first + chunk); ++item)
        work(item);
  }
};

class Pool {
public:
  static Pool &instance() {
    static Pool pool;
    return pool;
  }

  ~Pool() {
    {
      std::lock_guard guard(lock);
      stopping = true;
    }
    wake.notify_all();
    for (std::thread &thread : threads)
      thread.join();
  }

  void run(Job &job, int helpers) {
    {
      std::lock_guard guard(lock);
      while (static_cast<int>(threads.size()) < helpers)
        threads.emplace_back([this] { help(); });
      job.wanted = helpers;
      open.push_back(&job);
      ++openJobs;
    }
    wake.notify_all();
    job.run();
    {
      std::lock_guard guard(lock);
      std::erase(open, &job);
      --openJobs;
    }
    // Nobody comes any more.
    spinUntil([&] { return job.active == 0; }, kSpins);
    std::unique_lock guard(lock);
    done.wait(guard, [&] { return job.active == 0; });
  }

private:
  // Under the lock.
  Job *takeJob() {
    auto found = std::find_if(open.begin(), open.end(),
                              [](Job *job) { return job->wanted > 0 && job->next < job->items; });
    if (found == open.end())
      return nullptr;
    --(*found)->wanted;
    ++(*found)->active;
    return *found;
  }

  void help() {
    for (;;) {
      spinUntil([&] { return openJobs > 0; }, kHelperSpins);
      std::unique_lock guard(lock);
      Job *job = nullptr;
      wake.wait(guard, [&] { return stopping || (job = takeJob()); });
      if (!job)
        return;
      guard.unlock();
      job->run();
      guard.lock();
      --job->active;
      done.notify_all();
    }
  }

  std::mutex lock;
  std::condition_variable wake, done;
  std::vector<Job *> open;
  std::atomic<int> openJobs = 0;
  std::vector<std::thread> threads;
  bool stopping = false;
};

} // namespace

void shareItems(int64_t items, int threads, const std::function<void(int64_t)> &work) {
  if (threads <= 1 || items <= 1) {
    for (int64_t item = 0; item < items; ++item)
      work(item);
    return;
  }
  // Some chunks for each thread even out their speeds.
  constexpr int64_t kChunks = 8;
  Job job{work, items, std::max<int64_t>(1, items / (threads * kChunks))};
  Pool::instance().run(job, static_cast<int>(std::min<int64_t>(threads - 1, items - 1)));
}

} // namespace sdopt
