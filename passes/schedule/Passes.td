//===- Passes.td - scheduling -----------------------------------*- tablegen -*-===//

#ifndef SDOPT_PASSES_SCHEDULE_PASSES_TD
#define SDOPT_PASSES_SCHEDULE_PASSES_TD

include "mlir/Pass/PassBase.td"

def Hoist : Pass<"sdopt-hoist", "::mlir::func::FuncOp"> {
  let summary = "Put first what need not run in every denoising step (lossless)";
  let description = [{
    Lossless. In a function with a `timestep`, operations that depend on the prompt's inputs alone (`encoder_hidden_states`,
    `pooled_projections`, `text_embeds`, `time_ids`: keys and values of cross-attention) go first, then those that depend
    on `timestep` alone (the time path), then all else. The attribute `npu.phase` says so: `prompt` runs once per prompt,
    `schedule` once per timestep, everything else in each step. What passes between them stays in DRAM. Off with `hoist: false`
    in the recipe.
  }];
  let dependentDialects = ["::sdopt::npu::NpuDialect"];
}

def Store : Pass<"sdopt-store", "::mlir::func::FuncOp"> {
  let summary = "Choose the form in which the codes of each layer's weights are smallest (lossless)";
  let description = [{
    Lossless. Measures what the codes of each convolution and linear layer take as they are, without those of zero
    weights (a bitmap, so many of each run of input channels, runs of zeros), entropy-coded, and both together; takes the smallest form with which
    the layer waits no longer for its weights than with plain ones on this target, or what `storage` in the recipe says. A form that
    tells the arrays about zeros is taken if it is at most 1/32 larger. The attribute `npu.storage` says it, and a remark what was tried;
    a layer without it stores its codes as they are.
  }];
  let dependentDialects = ["::sdopt::npu::NpuDialect"];
}

def Schedule : Pass<"sdopt-schedule", "::mlir::func::FuncOp"> {
  let summary = "Choose tiles and place tensors (lossless)";
  let description = [{
    Lossless. Searches tile sizes for the target's SRAM under the traffic model (compiler/schedule) and places every
    tensor in the DRAM arena; the result is in the attributes `npu.tiling` and `npu.place`. Element-wise operations, row norms
    and gates follow in the tiles of a convolution, linear layer or group norm where the sum of all estimated times is least
    that way (`npu.joined`; dynamic programming over the order of operations): what nothing else reads then never goes to DRAM. Where
    that pays, a result stays in SRAM until layers to come have read it (`npu.resident`: byte offset, channels of a block, readers; decided
    together with the groups), and tiles get what is left. The
    plan is checked by an independent validator. What does not fit is an error that says how many bytes are short.
  }];
  let options = [Option<"join", "join", "bool", "true", "Let operations follow in the tiles of others">,
                 Option<"resident", "resident", "bool", "true", "Let results stay in SRAM for operations to come">];
  let dependentDialects = ["::sdopt::npu::NpuDialect"];
}

#endif // SDOPT_PASSES_SCHEDULE_PASSES_TD
