//===- Compensation.h - weights that make up for those that go --*- C++ -*-===//
//
// What pruning does to a layer's output, taken back by the weights that stay, as far as the second
// moments H of what the layer reads tell (compiler/quantization/InputMoments.h: the same moments
// and damping as rounding's, the same order of columns).
//
// Sweep: E. Frantar and D. Alistarh, "SparseGPT: Massive Language Models Can Be Accurately Pruned
// in One-Shot", ICML 2023, algorithm 1. Columns go in order, 128 at a time; in each 128 the weights
// with the lowest w^2 / U_jj^2 (H^-1 = U^T U) of all output channels go, or of each run of a
// pattern when its turn comes; the columns behind take over what those in front lose (equation 3).
// Moments may count calls by their timestep, as in OBS-Diff (J. Zhu et al., "OBS-Diff: Accurate
// Pruning for Diffusion Models in One-Shot", ICLR 2026).
//
// Least squares: for a given mask, the weights v that minimize (w - v) H (w - v)^T in each row. The
// normal equations of the kept columns are solved for all rows together by conjugate gradients, so
// that no factor of each row's own submatrix is needed.
//
// Free of MLIR; the result does not depend on the number of threads.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PRUNE_COMPENSATION_H
#define SDOPT_COMPILER_PRUNE_COMPENSATION_H

#include "compiler/prune/Masks.h"
#include "compiler/quantization/InputMoments.h"

#include <optional>

namespace sdopt {

struct PruneRequest {
  /// To be chosen by the sweep; else the mask is given.
  std::optional<Sparsity> sparsity = {};
  bool perRow = false; ///< a fraction of each output channel, not of all
  bool sweep = false, leastSquares = false;
  /// The mean of the error will be taken from the bias, so that only the rest counts.
  bool corrected = false;
};

/// One layer, block by block of its input channels.
class LayerPruning {
public:
  /// F32 weights [outputs][inputs][taps...]; `mask` is empty if the sweep is to choose it.
  LayerPruning(const Tensor &weights, Mask mask, const PruneRequest &request);

  /// Blocks are disjoint; with a pattern each begins at a run of input channels.
  void prune(const InputMoments &moments);

  const Mask &mask() const { return mask_; }
  /// The weights as they are now: 0 where the mask is, once all blocks were pruned.
  const Tensor &weights() const { return updated_; }
  /// What the mean of each output lacks: F32 [outputs].
  Tensor correction() const;
  /// Before: with the kept weights as they were.
  OutputPower power() const;

private:
  struct Block;

  Block blockOf(const InputMoments &moments) const;
  void sweep(Block &block) const;
  void chooseBlock(Block &block, int64_t first, int64_t last) const;
  void sweepRow(Block &block, int64_t output, int64_t first, int64_t last) const;
  void solve(Block &block, const InputMoments &moments) const;
  void keepBetter(const Block &block, const InputMoments &moments);

  Tensor weights_, updated_;
  Mask mask_;
  PruneRequest request_;
  int64_t outputs_, inputs_, taps_;
  OutputPower power_;
  std::vector<double> means_, corrections_; ///< of each output
};

} // namespace sdopt

#endif // SDOPT_COMPILER_PRUNE_COMPENSATION_H
