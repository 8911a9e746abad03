//===- Blake3.h - digests ---------------------------------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_FILES_BLAKE3_H
#define SDOPT_COMPILER_FILES_BLAKE3_H

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace sdopt {

/// BLAKE3 as 64 hex digits (LLVM Support's implementation).
std::string blake3Hex(std::span<const std::byte> bytes);

/// Incremental BLAKE3.
class Blake3 {
public:
  Blake3();
  ~Blake3();
  void update(std::span<const std::byte> bytes);
  std::string hex();

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_FILES_BLAKE3_H
