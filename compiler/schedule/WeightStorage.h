//===- WeightStorage.h - the form in which weights are smallest -*- C++ -*-===//
//
// Codes can be stored as they are, without those of zero weights, in as many bits as they carry, or
// both. What each takes is measured on the codes, cut into blocks of about kMeasuredBlock weights,
// before anybody knows the tiles.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_WEIGHTSTORAGE_H
#define SDOPT_COMPILER_SCHEDULE_WEIGHTSTORAGE_H

#include "compiler/kernels/TapWinograd.h"
#include "compiler/kernels/WeightStream.h"
#include "compiler/target/Target.h"

#include <optional>
#include <string_view>
#include <vector>

namespace sdopt {

/// Which forms may be chosen.
enum class Storage : uint8_t { Auto, Plain, Entropy, Bitmap, Structured, Runs };
/// "auto", "plain", "entropy", "bitmap", "structured", "runs".
const char *name(Storage storage);
std::optional<Storage> parseStorage(std::string_view name);

inline constexpr int64_t kMeasuredBlock = int64_t{1} << 16;

/// So many that leaving them out can pay.
inline bool hasManyZeros(int64_t zeros, int64_t weights) { return 8 * zeros >= weights; }

/// A form and what the weights are expected to take in it.
struct MeasuredForm {
  WeightForm form;
  int64_t bytes = 0;
  double cycles = 0;  ///< of the layer, at least
  bool isFast = true; ///< no more than with plain weights
};

struct StorageChoice {
  std::vector<MeasuredForm> tried; ///< the plain form first
  size_t chosen = 0;
  int64_t zeros = 0;  ///< weights that are 0
  double entropy = 0; ///< bytes of the codes at their zero-order entropy, for reports

  const MeasuredForm &best() const { return tried[chosen]; }
  /// The choice for `all` weights of which these were `some`.
  void extend(int64_t some, int64_t all);
  /// ConstantInfo::share.
  int64_t share() const;
};

/// What a layer does with its weights.
struct WeightUse {
  double computeCycles = 0; ///< that the arrays need at least, with all weights
  /// Not by plain products: no form that tells zeros will do.
  WinogradForm winograd = WinogradForm::None;
};

/// Of a layer with so many products, of 16-bit inputs or of 8-bit ones.
WeightUse weightUse(double products, bool wideInput, WinogradForm winograd, const Target &target);
/// With so many zeros the array has fewer products than F(2x2, 3x3) leaves.
bool isMostlyZeros(int64_t zeros, int64_t weights);

/// Weights [outputs][taps][inputs] as codes of a plain form; `meant` are the int8 weights of the
/// codes. Auto takes the smallest form with which the layer is not slower than with plain weights,
/// if it saves 1/64 of the bytes (less is not worth decoding); instead of it one that tells the
/// array about zeros, if that is at most 1/32 larger or saves an eighth of the layer's time. Others
/// take the smallest of those that the word fits and that are not slower, the quickest if all are;
/// plain weights if none is smaller.
StorageChoice chooseStorage(const WeightForm &plain, const StoredWeights &weights,
                            std::span<const int8_t> meant, const WeightExtent &layer,
                            Storage storage, const WeightUse &use, const Target &target);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_WEIGHTSTORAGE_H
