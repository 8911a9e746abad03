//===- MemoryLimit.cpp - how much memory the process may have ---------------===//

#include "compiler/kernels/MemoryLimit.h"

#include "compiler/kernels/RecycledTensor.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <string_view>
#if defined(__linux__)
#include <array>
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>
#endif

namespace sdopt {

namespace {

std::atomic<int64_t> limit{0};
std::atomic<int64_t> refused{0};
std::atomic<int64_t> trimmed{0}; ///< anonymous bytes after the last trimming

struct Resident {
  int64_t now = 0, peak = 0, anonymous = 0; ///< bytes
};

#if defined(__linux__)

/// Bytes that no file holds: cheaper than resident().
int64_t anonymousBytes() {
  int file = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return 0;
  std::array<char, 128> buffer;
  ssize_t size = ::read(file, buffer.data(), buffer.size());
  ::close(file);
  // Pages: all that are addressed, resident ones, resident ones of files.
  std::array<int64_t, 3> pages = {0, 0, 0};
  const char *at = buffer.data(), *end = at + std::max<ssize_t>(size, 0);
  for (int64_t &count : pages) {
    at = std::from_chars(at, end, count).ptr;
    at += at != end;
  }
  static const int64_t pageSize = ::sysconf(_SC_PAGESIZE);
  return (pages[1] - pages[2]) * pageSize;
}

/// Of a line "VmRSS:     1234 kB".
int64_t bytesOfLine(std::string_view text, std::string_view name) {
  size_t at = text.find(name);
  if (at == std::string_view::npos)
    return 0;
  at = text.find_first_not_of(" \t", at + name.size());
  int64_t kibibytes = 0;
  if (at != std::string_view::npos)
    std::from_chars(text.data() + at, text.data() + text.size(), kibibytes);
  return kibibytes << 10;
}

Resident resident() {
  int file = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return {};
  std::array<char, 4096> buffer;
  ssize_t size = ::read(file, buffer.data(), buffer.size());
  ::close(file);
  std::string_view text(buffer.data(), static_cast<size_t>(std::max<ssize_t>(size, 0)));
  return {.now = bytesOfLine(text, "VmRSS:"),
          .peak = bytesOfLine(text, "VmHWM:"),
          .anonymous = bytesOfLine(text, "RssAnon:")};
}

void trimHeap() {
#if defined(__GLIBC__)
  ::malloc_trim(0);
#endif
}

#else

int64_t anonymousBytes() { return 0; }
Resident resident() { return {}; }
void trimHeap() {}

#endif

void giveBackKept() {
  releaseRecycled();
  trimHeap();
}

bool refuse(int64_t bytes) {
  int64_t none = 0;
  refused.compare_exchange_strong(none, bytes);
  return false;
}

} // namespace

void setMemoryLimit(int64_t bytes) {
  limit = std::max<int64_t>(bytes, 0);
  refused = 0;
}

int64_t memoryLimit() { return limit; }

int64_t keptBytes(int64_t usual) {
  int64_t most = limit;
  return most > 0 ? std::min(usual, most / 16) : usual;
}

bool fitsMemory(int64_t more) {
  const int64_t most = limit;
  if (most == 0)
    return true;
  Resident found = resident();
  if (found.peak > most)
    return refuse(found.peak);
  if (more <= most - found.now)
    return true;
  giveBackKept();
  found = resident();
  return more <= most - found.now || refuse(found.now + more);
}

int64_t refusedMemory() { return refused; }

void trimMemory() {
  // A heap that large blocks of many sizes come and go in may hold several times what is in use.
  constexpr int64_t kUnused = int64_t(384) << 20;
  const int64_t most = limit, unused = most > 0 ? std::min(kUnused, most / 4) : kUnused;
  const int64_t found = anonymousBytes();
  int64_t last = trimmed;
  if (found < last)
    trimmed.compare_exchange_strong(last, found);
  // Claimed by one thread.
  else if (found - last > unused && trimmed.compare_exchange_strong(last, found)) {
    trimHeap();
    trimmed = anonymousBytes();
  }
}

int64_t privateBytes() {
  giveBackKept();
  return resident().anonymous;
}

int64_t residentBytes() {
  giveBackKept();
  return resident().now;
}

} // namespace sdopt
