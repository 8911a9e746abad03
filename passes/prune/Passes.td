//===- Passes.td - pruning passes -------------------------------*- tablegen -*-===//

#ifndef SDOPT_PASSES_PRUNE_PASSES_TD
#define SDOPT_PASSES_PRUNE_PASSES_TD

include "mlir/Pass/PassBase.td"

def Prune : Pass<"sdopt-prune", "::mlir::func::FuncOp"> {
  let summary = "Make weights zero that the output misses least (lossy)";
  let description = [{
    Lossy: the loss of each layer and of the output is measured and reported. For conv2d and linear whose recipe says `prune`, before
    statistics are collected, so that ranges and scales are those of the pruned function:

    - `magnitude`: the smallest weights of the layer (or of each output channel, or of all layers of the module: `prune_scope`).
    - `wanda` (M. Sun et al., "A Simple and Effective Pruning Approach for Large Language Models", ICLR 2024): of each output channel
      the weights with the least |w| * ||x||, x being what a column of the weights multiplies in all recorded inputs; of a convolution
      the columns are what its kernel sees. `prune_scope: layer` compares all scores of the layer,
      `threshold` is its threshold search. `prune_norms: dense` takes x from the model before anything is pruned.
    - `sparsegpt` (E. Frantar and D. Alistarh, "SparseGPT", ICML 2023): columns go in order, and those behind make up for what goes.

    `wanda` and `sparsegpt` need the recorded inputs that the statistics are of. Layers are taken block by block (of names like
    `down_blocks.0.resnets.1`, to the last number behind a plural). A block is run on all recorded inputs, its layers are pruned, and it
    is run again, so that the next block reads what pruned weights give. As many evaluations take part as fit into 3 GB of activations
    between two blocks, evenly spread over the recorded ones; in norms of the dense model all do, once through before.

    The first and the last layer, the time path and shortcuts of residual blocks keep all weights, unless a rule of `names` with `prune`
    fits them. The weights go through `sd.prune_weight`; smoothing later multiplies them, which moves no zero, and leaves Wanda's and
    (but for damping) SparseGPT's choice as it is: the score of a weight that is multiplied by s, with an input divided by s, is the same.
  }];
  let dependentDialects = ["::sdopt::sd::SdDialect"];
}

#endif // SDOPT_PASSES_PRUNE_PASSES_TD
