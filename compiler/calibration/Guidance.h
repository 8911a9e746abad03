//===- Guidance.h - what quantization does to guided noise ------*- C++ -*-===//
//
// Classifier-free guidance (Ho and Salimans 2022, eq. 6) runs a diffusion model twice a step, with
// an empty prompt (u) and with the prompt (c), and goes on with u + g (c - u): what the prompt
// adds is small beside both and is made g times larger, with its error. PSNR of the model's own
// output does not see that.
//
// Pairs are found in the recorded calls: the rows of a call are n unconditional ones and then
// their n conditional ones, or, where calls have one row, call 2k is the unconditional partner of
// call 2k + 1. Two rows are a pair only if they agree in the latent (the first input of the
// highest rank) and in the timestep (inputs of rank 0 and 1), and differ in another input.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_CALIBRATION_GUIDANCE_H
#define SDOPT_COMPILER_CALIBRATION_GUIDANCE_H

#include "compiler/calibration/ErrorSums.h"
#include "compiler/calibration/Samples.h"

#include <map>
#include <optional>
#include <tuple>

namespace sdopt {

/// Of one pair of rows.
struct GuidanceErrors {
  ErrorSums guided; ///< u + g (c - u)
  ErrorSums signal; ///< c - u
};

/// Pairs up rows as they come; keeps those whose partner is still to come.
class GuidancePairs {
public:
  explicit GuidancePairs(double scale) : scale_(scale) {}

  /// One evaluation: where it stands in its file, its inputs, and the rows that count of a result
  /// as [rows][elements]. Gives the pairs that it completes.
  std::vector<GuidanceErrors> add(const SampleOrigin &origin, const Sample &sample,
                                  std::span<const float> reference, std::span<const float> actual);

private:
  struct Row {
    std::string latent, others; ///< digests of inputs
    std::vector<float> reference, actual;
  };
  using Key = std::tuple<int64_t, int64_t, int64_t>; ///< file, call, row

  static Row describe(const Sample &sample, int64_t row);
  std::optional<GuidanceErrors> pair(const Row &unconditional, const Row &conditional) const;

  double scale_;
  std::map<Key, Row> waiting_; ///< by the key of the conditional row
};

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_GUIDANCE_H
