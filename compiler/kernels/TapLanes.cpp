#include "compiler/kernels/TapLanes.h"

#include "compiler/kernels/TapMatrices.h"
#include "compiler/kernels/TargetClones.h"
#include "compiler/kernels/VectorLoop.h"

namespace sdopt {

namespace {

constexpr int64_t kSide = kTapInputs;

/// B' d along one axis, `step` apart.
template <typename Lane> SDOPT_INLINE inline void transformAxis(Lane *d, int64_t step) {
  for (int64_t c = 0; c < kWinogradChunk; ++c) {
    Lane *at = d + c;
    const int32_t a = at[0], b = at[step], e = at[2 * step], f = at[3 * step], g = at[4 * step],
                  h = at[5 * step];
    const int32_t even = g - 4 * e, odd = f - 4 * b, evenDifference = g - e,
                  oddDifference = 2 * (f - b);
    at[0] = static_cast<Lane>(4 * (a - e) + evenDifference);
    at[step] = static_cast<Lane>(even + odd);
    at[2 * step] = static_cast<Lane>(even - odd);
    at[3 * step] = static_cast<Lane>(evenDifference + oddDifference);
    at[4 * step] = static_cast<Lane>(evenDifference - oddDifference);
    at[5 * step] = static_cast<Lane>(4 * b - 5 * f + h);
  }
}

template <typename Lane> SDOPT_INLINE inline void transformTile(WinogradLanes<Lane> *d) {
  for (int64_t x = 0; x < kSide; ++x)
    transformAxis(d[x], kSide * kWinogradChunk);
  for (int64_t y = 0; y < kSide; ++y)
    transformAxis(d[kSide * y], kWinogradChunk);
}

/// F w along one axis: three become six.
inline void transformWeights(const WinogradChunk &first, const WinogradChunk &second,
                             const WinogradChunk &third, WinogradChunk *out) {
  for (int64_t c = 0; c < kWinogradChunk; ++c) {
    const int32_t a = first[c], b = second[c], e = third[c];
    const int32_t ends = a + e, far = a + 4 * e;
    out[0][c] = static_cast<int16_t>(3 * a);
    out[1][c] = static_cast<int16_t>(-ends - b);
    out[2][c] = static_cast<int16_t>(b - ends);
    out[3][c] = static_cast<int16_t>(far + 2 * b);
    out[4][c] = static_cast<int16_t>(far - 2 * b);
    out[5][c] = static_cast<int16_t>(3 * e);
  }
}

/// A' m along one axis.
struct FourOutputs {
  int64_t y[kTapOutputs];

  FourOutputs(int64_t m0, int64_t m1, int64_t m2, int64_t m3, int64_t m4, int64_t m5)
      : y{m0 + (m1 + m2) + (m3 + m4), (m1 - m2) + 2 * (m3 - m4), (m1 + m2) + 4 * (m3 + m4),
          (m1 - m2) + 8 * (m3 - m4) + m5} {}
};

} // namespace

SDOPT_CLONES void transformTapCodes(WinogradLanes<int16_t> *d) { transformTile<int16_t>(d); }
SDOPT_CLONES void transformTapCodes(WinogradLanes<int32_t> *d) { transformTile<int32_t>(d); }

SDOPT_CLONES void transformTapWeights(const WinogradChunk *w, WinogradChunk *u) {
  WinogradChunk columns[kTapWindow][kSide];
  for (int64_t x = 0; x < kTapWindow; ++x)
    transformWeights(w[x], w[kTapWindow + x], w[2 * kTapWindow + x], columns[x]);
  for (int64_t y = 0; y < kSide; ++y)
    transformWeights(columns[0][y], columns[1][y], columns[2][y], u + kSide * y);
}

SDOPT_CLONES void roundTaps(const std::array<uint8_t, kTapProducts> &shifts, int64_t bits,
                            WinogradChunk *v) {
  const int32_t most = (1 << (bits - 1)) - 1;
  for (int64_t p = 0; p < kTapProducts; ++p) {
    const int32_t shift = shifts[p], half = (1 << shift) >> 1;
    for (int64_t c = 0; c < kWinogradChunk; ++c)
      v[p][c] = static_cast<int16_t>(std::clamp((v[p][c] + half) >> shift, -most - 1, most));
  }
}

SDOPT_CLONES void roundWideTaps(const std::array<uint8_t, kTapProducts> &shifts,
                                const WinogradLanes<int32_t> *d, WinogradChunk *v) {
  constexpr int32_t kMost = (1 << (kTapCodeBits - 1)) - 1, kPlane = kTapWidePlane;
  for (int64_t p = 0; p < kTapProducts; ++p) {
    const int32_t shift = shifts[p], half = (1 << shift) >> 1;
    for (int64_t c = 0; c < kWinogradChunk; ++c) {
      const int32_t value =
          std::clamp((d[p][c] + half) >> shift, -kPlane * (kMost + 1), kPlane * kMost + kMost);
      const int32_t high = (value + kPlane / 2) >> kTapCodeBits;
      v[p][c] = static_cast<int16_t>(high);
      v[kTapProducts + p][c] = static_cast<int16_t>(value - kPlane * high);
    }
  }
}

SDOPT_CLONES void transformTapSums(const int64_t *sums, int64_t step,
                                   const std::array<int, kTapProducts> &powers,
                                   int64_t (*y)[kDotLanes]) {
  int64_t rows[kTapOutputs][kSide][kDotLanes];
  for (int64_t x = 0; x < kSide; ++x)
    for (int64_t lane = 0; lane < kDotLanes; ++lane) {
      const auto m = [&](int64_t row) {
        const int64_t p = row * kSide + x;
        return sums[p * step + lane] << powers[p];
      };
      const FourOutputs out(m(0), m(1), m(2), m(3), m(4), m(5));
      for (int64_t row = 0; row < kTapOutputs; ++row)
        rows[row][x][lane] = out.y[row];
    }
  for (int64_t row = 0; row < kTapOutputs; ++row)
    for (int64_t lane = 0; lane < kDotLanes; ++lane) {
      const auto &m = rows[row];
      const FourOutputs out(m[0][lane], m[1][lane], m[2][lane], m[3][lane], m[4][lane], m[5][lane]);
      for (int64_t column = 0; column < kTapOutputs; ++column)
        y[row * kTapOutputs + column][lane] = out.y[column];
    }
}

} // namespace sdopt
