//===- Blake3.cpp - digests -------------------------------------------------===//

#include "compiler/files/Blake3.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/BLAKE3.h"

namespace sdopt {

struct Blake3::State {
  llvm::BLAKE3 hasher;
};

Blake3::Blake3() : state_(std::make_unique<State>()) {}
Blake3::~Blake3() = default;

void Blake3::update(std::span<const std::byte> bytes) {
  state_->hasher.update(
      llvm::ArrayRef<uint8_t>(reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size()));
}

std::string Blake3::hex() {
  auto digest = state_->hasher.final<32>();
  return llvm::toHex(llvm::ArrayRef<uint8_t>(digest), /*LowerCase=*/true);
}

std::string blake3Hex(std::span<const std::byte> bytes) {
  Blake3 hasher;
  hasher.update(bytes);
  return hasher.hex();
}

} // namespace sdopt
