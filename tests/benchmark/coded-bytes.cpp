// What int8 weights take when they are entropy-coded, for weight-coding.sh:
//   coded-bytes LANES BLOCK < LIST
// LIST has lines "FILE OUTPUTS WEIGHTS_OF_AN_OUTPUT"; a file holds the weights, output by output.
// Prints for each: bytes of the streams with their padding, zero-order entropy in bytes, and
// megabytes of weights encoded and decoded in a second of one core. Blocks hold about BLOCK
// weights, as tiles do. Fails if a stream does not decode to its weights.

#include "compiler/kernels/EntropyCoder.h"
#include "compiler/kernels/WeightStream.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

using namespace sdopt;

namespace {

/// Of this process on a processor.
double seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

struct Sizes {
  int64_t stored = 0;
  double encoding = 0, decoding = 0; ///< s
  bool isLossless = true;
};

Sizes code(const std::vector<int8_t> &weights, int64_t outputs, int64_t row, int64_t lanes,
           int64_t blockWeights) {
  const WeightForm form{.lanes = lanes};
  const int64_t tile = std::max<int64_t>(1, blockWeights / row);
  Sizes sizes;
  for (int64_t first = 0; first < outputs; first += tile) {
    const WeightExtent block{.outputs = std::min(tile, outputs - first), .taps = 1, .inputs = row};
    std::vector<std::byte> stream(static_cast<size_t>(storedBytes(form, block)));
    std::vector<int8_t> back(static_cast<size_t>(block.weights()));
    const double begin = seconds();
    const int64_t bytes =
        encodeWeights(form, {weights, {}, {}}, {outputs, 1, row, first, 0}, block, stream.data());
    const double middle = seconds();
    const auto used = std::span(stream).first(static_cast<size_t>(bytes));
    sizes.isLossless &= decodeWeights(form, block, used, back.data()) &&
                        std::equal(back.begin(), back.end(), weights.begin() + first * row);
    sizes.encoding += middle - begin;
    sizes.decoding += seconds() - middle;
    sizes.stored += (bytes + 15) / 16 * 16;
  }
  return sizes;
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: coded-bytes LANES BLOCK < LIST\n");
    return 2;
  }
  const int64_t lanes = std::atoll(argv[1]), block = std::atoll(argv[2]);
  std::string path;
  int64_t outputs = 0, row = 0;
  while (std::cin >> path >> outputs >> row) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    const std::vector<int8_t> weights(bytes.begin(), bytes.end());
    if (static_cast<int64_t>(weights.size()) != outputs * row) {
      std::fprintf(stderr, "coded-bytes: %s has %zu weights\n", path.c_str(), weights.size());
      return 1;
    }
    SymbolCounts counts = {};
    countSymbols(weights, {}, counts);
    const Sizes sizes = code(weights, outputs, row, lanes, block);
    if (!sizes.isLossless) {
      std::fprintf(stderr, "coded-bytes: %s does not decode to its weights\n", path.c_str());
      return 1;
    }
    const double megabytes = static_cast<double>(weights.size()) / 1e6;
    std::printf("%lld %.0f %.0f %.0f\n", static_cast<long long>(sizes.stored),
                zeroOrderEntropy(counts) / 8, megabytes / sizes.encoding,
                megabytes / sizes.decoding);
  }
  return 0;
}
