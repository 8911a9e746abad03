//===- BitStream.h - numbers of few bits, one after the other ---*- C++ -*-===//
//
// From the lowest bit of the first byte upwards.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_BITSTREAM_H
#define SDOPT_COMPILER_KERNELS_BITSTREAM_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sdopt {

class BitAppender {
public:
  explicit BitAppender(std::vector<std::byte> &out) : out_(out) {}

  /// The lowest `bits` of `value`, at most 32.
  void add(uint32_t value, int64_t bits) {
    pending_ |= (static_cast<uint64_t>(value) & ((uint64_t{1} << bits) - 1)) << filled_;
    for (filled_ += bits; filled_ >= 8; filled_ -= 8) {
      out_.push_back(static_cast<std::byte>(pending_ & 255));
      pending_ >>= 8;
    }
  }
  /// Fills the last byte up with zeros.
  void finish() {
    if (filled_ > 0)
      add(0, 8 - filled_);
  }

private:
  std::vector<std::byte> &out_;
  uint64_t pending_ = 0;
  int64_t filled_ = 0;
};

/// Past the end it reads zeros and remembers that it did.
class BitReader {
public:
  explicit BitReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint32_t take(int64_t bits) {
    while (filled_ < bits) {
      uint64_t byte = 0;
      if (next_ < bytes_.size())
        byte = static_cast<uint64_t>(bytes_[next_]);
      else
        overrun_ = true;
      ++next_;
      pending_ |= byte << filled_;
      filled_ += 8;
    }
    const auto value = static_cast<uint32_t>(pending_ & ((uint64_t{1} << bits) - 1));
    pending_ >>= bits;
    filled_ -= bits;
    return value;
  }
  bool overrun() const { return overrun_; }
  /// What fills up the last byte is zero.
  bool restIsZero() const { return pending_ == 0; }
  /// Bytes that were read, the last one whole.
  size_t position() const { return next_; }

private:
  std::span<const std::byte> bytes_;
  uint64_t pending_ = 0;
  int64_t filled_ = 0;
  size_t next_ = 0;
  bool overrun_ = false;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_BITSTREAM_H
