//===- AttentionPanels.cpp - queries, keys and values as bytes --------------===//

#include "compiler/kernels/AttentionPanels.h"
#include "compiler/kernels/ByteVectors.h"

#include <cstring>

namespace sdopt {

namespace {

int64_t roundedUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

std::byte *keyScratch(int64_t bytes) {
  thread_local Scratch scratch;
  return scratch.reserve(bytes);
}

std::byte *valueScratch(int64_t bytes) {
  thread_local Scratch scratch;
  return scratch.reserve(bytes);
}

// Codes minus zero point, row by row.
class WideRow {
public:
  WideRow(const DotKernels &kernels, const CodeRows &source)
      : kernels(kernels), source(source), widened(source.columns) {}

  const int16_t *of(int64_t row) {
    const CodeFormat &format = source.codes.format;
    if (format.type == ElementType::I16)
      return static_cast<const int16_t *>(source.codes.data) + row * source.stride;
    kernels.widen(static_cast<const int8_t *>(source.codes.data) + row * source.stride,
                  source.columns, format.zeroPoint, widened.data());
    return widened.data();
  }

private:
  const DotKernels &kernels;
  const CodeRows &source;
  std::vector<int16_t> widened;
};

// The signed high bytes of a row; what becomes of the low ones is of no interest.
void highBytesOf(const int16_t *row, int64_t count, int8_t *high) {
  thread_local std::vector<uint8_t> low;
  low.resize(static_cast<size_t>(count));
  signedBytesOf(row, count, high, low.data());
}

const int8_t *narrowRow(const CodeRows &source, int64_t row) {
  return static_cast<const int8_t *>(source.codes.data) + row * source.stride;
}

} // namespace

KeyPanels::KeyPanels(const DotKernels &kernels, const CodeRows &keys, const ScoreFormat &format)
    : chunkCount((keys.columns + kByteChunk - 1) / kByteChunk), lowBytes(format.isWhole() ? 2 : 1) {
  int64_t count = roundedUp(keys.rows, kKeyStep), planeBytes = count * chunkCount * kByteChunk;
  auto *memory =
      reinterpret_cast<int8_t *>(keyScratch((format.narrow ? 1 : 1 + lowBytes) * planeBytes));
  panels[0] = memory;
  panels[1] = format.narrow ? nullptr : memory + planeBytes;
  keyTerms.resize(format.narrow ? count : 0);
  WideRow wide(kernels, keys);
  const int64_t columns = chunkCount * kByteChunk; // zeros after those that there are
  std::vector<int8_t> high(kByteLanes * columns), low(kByteLanes * columns * lowBytes);
  int32_t sums[kByteLanes];
  for (int64_t first = 0; first < count; first += kByteLanes) {
    BytePanelSource source;
    source.lanes = std::clamp<int64_t>(keys.rows - first, 0, kByteLanes);
    for (int64_t i = 0; i < source.lanes; ++i) {
      int8_t *highRow = high.data() + i * columns, *lowRow = low.data() + i * columns * lowBytes;
      auto *lowUnsigned = reinterpret_cast<uint8_t *>(lowRow);
      if (format.narrow) {
        std::memcpy(highRow, narrowRow(keys, first + i), static_cast<size_t>(keys.columns));
      } else if (!format.isWhole()) {
        signedBytesOf(wide.of(first + i), keys.columns, highRow, lowUnsigned);
      } else { // the low bytes are written over
        const int16_t *row = wide.of(first + i);
        bytesOf(row, keys.columns, reinterpret_cast<uint8_t *>(highRow), lowUnsigned);
        std::memcpy(lowRow, row, static_cast<size_t>(2 * keys.columns));
      }
    }
    int64_t at = first / kByteLanes * panelBytes();
    source.channels = columns;
    source.rows = high.data();
    packBytePanel(source, panels[0] + at, sums);
    if (format.narrow) {
      for (int64_t i = 0; i < kByteLanes; ++i)
        keyTerms[first + i] = -(128 + format.queryZero) * sums[i];
      continue;
    }
    // Pairs of 16-bit codes move as four bytes do.
    source.channels = columns * lowBytes;
    source.rows = low.data();
    packBytePanel(source, panels[1] + at * lowBytes, sums);
  }
}

QueryRows::QueryRows(const DotKernels &kernels, const CodeRows &queries, const ScoreFormat &format)
    : rowBytes(roundedUp(queries.columns, kByteChunk)), bytes((format.narrow      ? 1
                                                               : format.isWhole() ? 3
                                                                                  : 2) *
                                                              kByteGroup * rowBytes) {
  WideRow wide(kernels, queries);
  if (format.isWhole())
    wholeTerms.resize(roundedUp(rowBytes, kWholeDepths) / kWholeDepths * kByteGroup);
  for (int64_t r = 0; r < queries.rows; ++r) {
    uint8_t *first = bytes.data() + r * rowBytes;
    auto *high = reinterpret_cast<int8_t *>(first);
    if (format.isWhole()) {
      const int16_t *row = wide.of(r);
      highBytesOf(row, queries.columns, high);
      std::memcpy(bytes.data() + (kByteGroup + 2 * r) * rowBytes, row,
                  static_cast<size_t>(2 * queries.columns));
      for (int64_t i = 0; i < queries.columns; ++i)
        wholeTerms[i / kWholeDepths * kByteGroup + r] -= 128 * high[i];
      continue;
    }
    if (!format.narrow) {
      signedBytesOf(wide.of(r), queries.columns, high, first + kByteGroup * rowBytes);
      continue;
    }
    const int8_t *row = narrowRow(queries, r);
    bytesOf(row, queries.columns, first);
    int64_t sum = 0;
    for (int64_t i = 0; i < queries.columns; ++i)
      sum += row[i] - format.queryZero;
    queryTerms[r] = -format.keyZero * sum;
  }
}

ValuePanels::ValuePanels(const DotKernels &kernels, const CodeRows &values, WideForm form)
    : narrow(values.codes.format.type == ElementType::I8),
      steps((values.rows + kKeyStep - 1) / kKeyStep),
      lowBytes(!narrow && form == WideForm::WholeCodes ? 2 : 1) {
  int64_t columns = roundedUp(values.columns, kByteLanes), planeBytes = steps * kKeyStep * columns;
  auto *memory = reinterpret_cast<int8_t *>(valueScratch((narrow ? 1 : 1 + lowBytes) * planeBytes));
  panels[0] = memory;
  panels[1] = narrow ? nullptr : memory + planeBytes;
  wholeTerms.resize(isWhole() ? columns * steps : 0);
  WideRow wide(kernels, values);
  std::vector<int8_t> high(kKeyStep * columns), low(isWhole() ? 0 : kKeyStep * columns);
  std::vector<int16_t> whole(isWhole() ? kKeyStep * columns : 0);
  for (int64_t step = 0; step < steps; ++step) {
    int64_t count = std::min(kKeyStep, values.rows - step * kKeyStep);
    for (int64_t i = 0; i < count; ++i) {
      int64_t row = step * kKeyStep + i;
      int8_t *highRow = high.data() + i * columns;
      if (narrow) {
        std::memcpy(highRow, narrowRow(values, row), static_cast<size_t>(values.columns));
      } else if (isWhole()) {
        const int16_t *codes = wide.of(row);
        highBytesOf(codes, values.columns, highRow);
        std::copy_n(codes, values.columns, whole.data() + i * columns);
      } else {
        signedBytesOf(wide.of(row), values.columns, highRow,
                      reinterpret_cast<uint8_t *>(low.data()) + i * columns);
      }
    }
    for (int64_t dim = 0; dim < columns; dim += kByteLanes) {
      const int64_t at = (dim / kByteLanes * steps + step) * kByteChunk * kByteLanes;
      packByteColumns(high.data() + dim, columns, count, panels[0] + at);
      if (isWhole()) {
        packPairColumns(whole.data() + dim, columns, count, panels[1] + 2 * at);
        int32_t *terms = wholeTerms.data() + at / kByteChunk;
        for (int64_t i = 0; i < count; ++i)
          for (int64_t lane = 0; lane < kByteLanes; ++lane)
            terms[lane] += whole[i * columns + dim + lane];
        for (int64_t lane = 0; lane < kByteLanes; ++lane)
          terms[lane] = static_cast<int32_t>(static_cast<uint32_t>(terms[lane]) << 15);
      } else if (!narrow) {
        packByteColumns(low.data() + dim, columns, count, panels[1] + at);
      }
    }
  }
}

} // namespace sdopt
