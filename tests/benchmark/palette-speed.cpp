// Time and memory of the best 16 values of a large layer in half precision, on one core.

#include "compiler/share/Clusters.h"
#include "compiler/share/Palette.h"

#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

using namespace sdopt;

namespace {

double secondsNow() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Largest resident memory of the process so far, MB.
double peakMegabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024 / 1e6;
}

/// Rounded to half precision; magnitudes of normal halves only.
float rounded(float number) {
  int exponent = 0;
  const float fraction = std::frexp(number, &exponent);
  return std::ldexp(std::nearbyint(fraction * 2048), exponent - 11);
}

} // namespace

int main(int argc, char **argv) {
  const int64_t channel = 5760;
  const int64_t rows = (argc > 1 ? std::atoll(argv[1]) : 30) * 1000000 / channel;
  std::vector<float> layer(static_cast<size_t>(rows * channel)), importance(channel);
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.02f);
  for (float &weight : layer)
    weight = rounded(normal(random));
  for (float &weight : importance)
    weight = std::fabs(normal(random));
  const double before = peakMegabytes(), start = secondsNow();
  PointCollector collector;
  for (int64_t row = 0; row < rows; ++row)
    collector.add({layer.data() + row * channel, static_cast<size_t>(channel)}, importance);
  const WeightedPoints points = collector.take();
  const Clusters clusters = bestClusters(points, 16);
  std::printf("%.1f M halves, %lld different, 16 centers: %.2f s, %.1f MB beyond the layer\n",
              static_cast<double>(layer.size()) / 1e6, static_cast<long long>(points.size()),
              secondsNow() - start, peakMegabytes() - before);
  const double again = secondsNow();
  const auto scale = static_cast<float>(127 / clusters.centers.back());
  PaletteSums sums;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < channel; ++i)
      sums.add(layer[row * channel + i] * scale, importance[i]);
  const Palette palette = bestPalette(sums, 16, false);
  std::printf("16 int8 entries: %.2f s more; error %.4f of that of real centers\n",
              secondsNow() - again, palette.error / (scale * scale) / clusters.error);
  return 0;
}
