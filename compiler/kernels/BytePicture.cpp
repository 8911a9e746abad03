//===- BytePicture.cpp - the input of a convolution as bytes ----------------===//

#include "compiler/kernels/BytePicture.h"
#include "compiler/kernels/ByteVectors.h"

#include <algorithm>
#include <cstring>

namespace sdopt {

namespace {

int64_t roundedUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// Patches copy the picture once for each tap; padding copies it once but rounds up every tap.
bool paysPadded(const ConvTile &t) {
  if (t.strideH != 1 || t.strideW != 1)
    return false;
  int64_t taps = t.kernelHeight * t.kernelWidth;
  int64_t columns = t.outputWidth + (t.kernelWidth - 1) * t.dilationW;
  int64_t rows = t.outputHeight + (t.kernelHeight - 1) * t.dilationH;
  if (columns > 2 * t.outputWidth || rows > 4 * t.outputHeight)
    return false;
  return 2 * taps * roundedUp(t.inputChannels, kByteChunk) <=
         3 * roundedUp(taps * t.inputChannels, kByteChunk);
}

} // namespace

BytePicture::BytePicture(const ConvTile &tile, Codes x)
    : tile(tile), x(x), wide(x.format.type == ElementType::I16), padded(paysPadded(tile)),
      paddedWidth(tile.outputWidth + (tile.kernelWidth - 1) * tile.dilationW),
      depth(roundedUp(weightChannels(), kByteChunk)), stride(depth) {
  if (!padded) {
    offsets = {0};
    return;
  }
  for (int64_t kh = 0; kh < tile.kernelHeight; ++kh)
    for (int64_t kw = 0; kw < tile.kernelWidth; ++kw)
      offsets.push_back((kh * tile.dilationH * paddedWidth + kw * tile.dilationW) * stride);
}

int64_t BytePicture::weightChannels() const {
  return padded ? tile.inputChannels : tile.kernelHeight * tile.kernelWidth * tile.inputChannels;
}

int64_t BytePicture::planeBytes(int64_t outputRows) const {
  // Two groups of rows may start at the last one.
  return (outputRows * width() + 2 * kByteGroup) * stride + offsets.back();
}

int64_t BytePicture::pieces(int64_t outputRows) const {
  return padded ? outputRows + (tile.kernelHeight - 1) * tile.dilationH : outputRows;
}

void BytePicture::fill(int64_t firstOutputRow, int64_t piece, uint8_t *high, uint8_t *low) const {
  int64_t at = piece * width() * stride;
  if (padded)
    fillRow(firstOutputRow + piece - tile.padTop, high + at, low + at);
  else
    fillPatches(firstOutputRow + piece, high + at, low + at);
}

void BytePicture::copy(int64_t from, int64_t count, uint8_t *high, uint8_t *low) const {
  if (wide)
    bytesOf(static_cast<const int16_t *>(x.data) + from, count, high, low);
  else
    bytesOf(static_cast<const int8_t *>(x.data) + from, count, high);
}

// The zero point.
void BytePicture::pad(int64_t count, uint8_t *high, uint8_t *low) const {
  std::memset(high, 128 + (wide ? 0 : x.format.zeroPoint), static_cast<size_t>(count));
  if (wide)
    std::memset(low, 0, static_cast<size_t>(count));
}

void BytePicture::fillRow(int64_t inputRow, uint8_t *high, uint8_t *low) const {
  int64_t channels = tile.inputChannels;
  bool inside = inputRow >= 0 && inputRow < tile.inputHeight;
  int64_t begin = inside ? std::clamp<int64_t>(tile.padLeft, 0, paddedWidth) : paddedWidth;
  int64_t end = std::clamp<int64_t>(tile.inputWidth + tile.padLeft, begin, paddedWidth);
  pad(begin * stride, high, low);
  int64_t from = (inputRow * tile.inputWidth + begin - tile.padLeft) * channels;
  if (stride == channels)
    copy(from, (end - begin) * channels, high + begin * stride, low + begin * stride);
  else
    for (int64_t column = begin; column < end; ++column, from += channels) {
      int64_t at = column * stride;
      copy(from, channels, high + at, low + at);
      pad(stride - channels, high + at + channels, low + at + channels);
    }
  pad((paddedWidth - end) * stride, high + end * stride, low + end * stride);
}

void BytePicture::fillPatches(int64_t outputRow, uint8_t *high, uint8_t *low) const {
  int64_t channels = tile.inputChannels;
  for (int64_t column = 0; column < tile.outputWidth; ++column) {
    int64_t at = column * stride, left = column * tile.strideW - tile.padLeft;
    for (int64_t kh = 0; kh < tile.kernelHeight; ++kh) {
      int64_t ih = outputRow * tile.strideH + kh * tile.dilationH - tile.padTop;
      bool rowInside = ih >= 0 && ih < tile.inputHeight;
      for (int64_t kw = 0; kw < tile.kernelWidth;) {
        int64_t iw = left + kw * tile.dilationW;
        // Taps that are neighbours in memory are copied at once.
        int64_t taps = 1;
        if (tile.dilationW == 1 && iw >= 0)
          taps = std::max<int64_t>(1, std::min(tile.kernelWidth - kw, tile.inputWidth - iw));
        if (rowInside && iw >= 0 && iw < tile.inputWidth)
          copy((ih * tile.inputWidth + iw) * channels, taps * channels, high + at, low + at);
        else
          pad(taps * channels, high + at, low + at);
        at += taps * channels;
        kw += taps;
      }
    }
    int64_t end = (column + 1) * stride;
    pad(end - at, high + at, low + at);
  }
}

} // namespace sdopt
