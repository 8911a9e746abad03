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

// Codes minus zero point of one row as two planes.
class RowSplitter {
public:
  RowSplitter(const DotKernels &kernels, const CodeRows &source)
      : kernels(kernels), source(source), widened(source.columns) {}

  void split(int64_t row, int8_t *high, uint8_t *low) {
    const CodeFormat &format = source.codes.format;
    if (format.type == ElementType::I16)
      return signedBytesOf(static_cast<const int16_t *>(source.codes.data) + row * source.stride,
                           source.columns, high, low);
    kernels.widen(static_cast<const int8_t *>(source.codes.data) + row * source.stride,
                  source.columns, format.zeroPoint, widened.data());
    signedBytesOf(widened.data(), source.columns, high, low);
  }

private:
  const DotKernels &kernels;
  const CodeRows &source;
  std::vector<int16_t> widened;
};

const int8_t *narrowRow(const CodeRows &source, int64_t row) {
  return static_cast<const int8_t *>(source.codes.data) + row * source.stride;
}

} // namespace

KeyPanels::KeyPanels(const DotKernels &kernels, const CodeRows &keys, const ScoreFormat &format)
    : chunkCount((keys.columns + kByteChunk - 1) / kByteChunk) {
  int64_t count = roundedUp(keys.rows, kKeyStep), planeBytes = count * chunkCount * kByteChunk;
  auto *memory = reinterpret_cast<int8_t *>(keyScratch((format.narrow ? 1 : 2) * planeBytes));
  panels[0] = memory;
  panels[1] = format.narrow ? nullptr : memory + planeBytes;
  keyTerms.resize(format.narrow ? count : 0);
  RowSplitter splitter(kernels, keys);
  std::vector<int8_t> high(kByteLanes * keys.columns), low(kByteLanes * keys.columns);
  int32_t sums[kByteLanes];
  for (int64_t first = 0; first < count; first += kByteLanes) {
    BytePanelSource source;
    source.lanes = std::clamp<int64_t>(keys.rows - first, 0, kByteLanes);
    source.channels = keys.columns;
    for (int64_t i = 0; i < source.lanes; ++i)
      if (format.narrow)
        std::memcpy(high.data() + i * keys.columns, narrowRow(keys, first + i),
                    static_cast<size_t>(keys.columns));
      else
        splitter.split(first + i, high.data() + i * keys.columns,
                       reinterpret_cast<uint8_t *>(low.data()) + i * keys.columns);
    int64_t at = first / kByteLanes * panelBytes();
    source.rows = high.data();
    packBytePanel(source, panels[0] + at, sums);
    if (format.narrow) {
      for (int64_t i = 0; i < kByteLanes; ++i)
        keyTerms[first + i] = -(128 + format.queryZero) * sums[i];
      continue;
    }
    source.rows = low.data();
    packBytePanel(source, panels[1] + at, sums);
  }
}

QueryRows::QueryRows(const DotKernels &kernels, const CodeRows &queries, const ScoreFormat &format)
    : rowBytes(roundedUp(queries.columns, kByteChunk)),
      bytes((format.narrow ? 1 : 2) * kByteGroup * rowBytes) {
  RowSplitter splitter(kernels, queries);
  for (int64_t r = 0; r < queries.rows; ++r) {
    uint8_t *first = bytes.data() + r * rowBytes;
    if (!format.narrow) {
      splitter.split(r, reinterpret_cast<int8_t *>(first), first + kByteGroup * rowBytes);
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

ValuePanels::ValuePanels(const DotKernels &kernels, const CodeRows &values)
    : narrow(values.codes.format.type == ElementType::I8),
      steps((values.rows + kKeyStep - 1) / kKeyStep) {
  int64_t columns = roundedUp(values.columns, kByteLanes), planeBytes = steps * kKeyStep * columns;
  auto *memory = reinterpret_cast<int8_t *>(valueScratch((narrow ? 1 : 2) * planeBytes));
  panels[0] = memory;
  panels[1] = narrow ? nullptr : memory + planeBytes;
  RowSplitter splitter(kernels, values);
  std::vector<int8_t> rows[2];
  for (auto &plane : rows)
    plane.resize(kKeyStep * columns);
  for (int64_t step = 0; step < steps; ++step) {
    int64_t count = std::min(kKeyStep, values.rows - step * kKeyStep);
    for (int64_t i = 0; i < count; ++i) {
      int64_t row = step * kKeyStep + i;
      if (narrow)
        std::memcpy(rows[0].data() + i * columns, narrowRow(values, row),
                    static_cast<size_t>(values.columns));
      else
        splitter.split(row, rows[0].data() + i * columns,
                       reinterpret_cast<uint8_t *>(rows[1].data()) + i * columns);
    }
    for (int plane = 0; plane < (narrow ? 1 : 2); ++plane)
      for (int64_t dim = 0; dim < columns; dim += kByteLanes)
        packByteColumns(rows[plane].data() + dim, columns, count,
                        panels[plane] +
                            (dim / kByteLanes * steps + step) * kByteChunk * kByteLanes);
  }
}

} // namespace sdopt
