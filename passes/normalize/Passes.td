//===- Passes.td - from exporter idioms to named operations -----*- tablegen -*-===//

#ifndef SDOPT_PASSES_NORMALIZE_PASSES_TD
#define SDOPT_PASSES_NORMALIZE_PASSES_TD

include "mlir/Pass/PassBase.td"

// Every pass here is float-equivalent: each value keeps its name and its numbers up to rounding.
class NormalizePass<string argument> : Pass<argument, "::mlir::func::FuncOp"> {
  let dependentDialects = ["::sdopt::sd::SdDialect"];
}

def FoldIdentities : NormalizePass<"sdopt-fold-identities"> {
  let summary = "Remove operations that change nothing";
  let description = [{
    Multiplication or division by one, addition or subtraction of zero, casts and expansions to the same type, padding
    by nothing. An expansion that only adds dimensions of one becomes `sd.reshape`.
  }];
}

def FoldShapeOps : NormalizePass<"sdopt-fold-shape-ops"> {
  let summary = "Shorten chains of reshapes and transposes";
  let description = [{
    A chain that keeps the elements in order is one `sd.reshape`; one that permutes whole dimensions is one
    `sd.transpose`; a transpose that moves only dimensions of one is an `sd.reshape`.
  }];
}

def FoldPadding : NormalizePass<"sdopt-fold-padding"> {
  let summary = "Move zero padding into the convolution that reads it";
}

def FormLinear : NormalizePass<"sdopt-form-linear"> {
  let summary = "matmul by a constant, and the bias added to it -> sd.linear";
  let description = [{
    x W + b with W [k, n] becomes `sd.linear` with the weights transposed to [n, k] by an expression.
  }];
}

def SplitLinear : NormalizePass<"sdopt-split-linear"> {
  let summary = "a linear layer that is read slice by slice -> one layer for each slice";
  let description = [{
    Shift, scale and gate of an adaptive norm come out of one product. Apart, each has a code of its own range; rows of
    weights are taken by an expression.
  }];
}

def FormActivations : NormalizePass<"sdopt-form-activations"> {
  let summary = "sigmoid, erf and tanh formulas -> sd.silu, sd.gelu, sd.gelu_tanh, sd.quick_gelu, sd.sigmoid";
  let description = [{
    - x * sigmoid(x) -> `sd.silu`
    - x * sigmoid(1.702 x) -> `sd.quick_gelu`
    - x * (1 + erf(x / sqrt 2)) / 2 -> `sd.gelu`, factors in any order and grouping
    - x * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 -> `sd.gelu_tanh`, likewise

    Constants match up to the rounding of half precision.
  }];
}

def FormGeglu : NormalizePass<"sdopt-form-geglu"> {
  let summary = "left half times gelu of the right half -> sd.geglu";
}

def FormGroupNorm : NormalizePass<"sdopt-form-group-norm"> {
  let summary = "instance norm over reshaped groups, scale and shift -> sd.group_norm";
  let description = [{
    ```
    [n, c, ...] -> reshape [n, groups, rest] -> instance norm -> reshape [n, c, ...] -> * gamma -> + beta
    ```
    The instance norm's own scale is one and its shift zero; gamma and beta are one number per channel.
  }];
}

def FormRmsNorm : NormalizePass<"sdopt-form-rms-norm"> {
  let summary = "division by the root of the mean of squares, and a factor for each channel -> sd.rms_norm";
  let description = [{
    x / sqrt(mean(x^2) + epsilon) * gamma over the last dimension; the square may be a product, the quotient a product
    with a reciprocal. A norm of transposed heads is taken before the transpose.
  }];
}

def HoistConcat : NormalizePass<"sdopt-hoist-concat"> {
  let summary = "Join values before they are reshaped and transposed, not after";
  let description = [{
    A concatenation of equal transposes is the transpose of a concatenation; one of reshapes that change only what lies
    inside of its dimension is the reshape of one. Thus heads of two token sequences are those of one longer sequence.
  }];
}

def FormAttention : NormalizePass<"sdopt-form-attention"> {
  let summary = "heads, scores, mask, softmax, values, heads back -> sd.attention";
  let description = [{
    Anchored at a softmax over keys. Heads are found by following reshapes and transposes as strided views, so their
    order does not matter, and channels may come before tokens as in pictures. Constant scales on queries, keys and scores multiply to one. A constant mask must be zero
    where a query may look and -10000 or less elsewhere; only the causal mask (and none) is supported.
  }];
}

def FormTimeEmbedding : NormalizePass<"sdopt-form-time-embedding"> {
  let summary = "sine and cosine of timestep times frequencies -> sd.time_embedding";
  let description = [{
    The frequencies must be max_period^(-i / (half - shift)) within 1e-4 of each. max_period 10000 with shift 0 or 1 is
    tried first; another geometric sequence gets shift 0 and the max_period that makes it. Timesteps are integers or
    floats of any shape, each of them for one row, or one for all.
  }];
}

def FormEmbedding : NormalizePass<"sdopt-form-embedding"> {
  let summary = "rows of a token table plus constant positions -> sd.embedding";
}

def FormPoolToken : NormalizePass<"sdopt-form-pool-token"> {
  let summary = "hidden row at the first occurrence of a token -> sd.pool_token";
  let description = [{
    arg_max(ids == token) selects rows either by `sd.gather_nd` with (batch, position) tuples or by `sd.gather` from the
    flattened hidden states at batch * length + position.
  }];
}

def FormModulate : NormalizePass<"sdopt-form-modulate"> {
  let summary = "x * (constant + scale) + shift with one row for all tokens -> sd.modulate";
  let description = [{
    scale and shift are [b, 1, ..., 1, c] beside [b, ..., c], or [b, c, 1, 1] beside [b, c, h, w]: adaptive norms. The constant
    and the shift may be missing: a gate.
  }];
}

def SplitTranspose : NormalizePass<"sdopt-split-transpose"> {
  let summary = "A transpose of more than four dimensions in steps of up to four";
  let description = [{
    Each step lets two neighbouring blocks of dimensions change places. Patches become pictures this way.
  }];
}

def FormAdd : NormalizePass<"sdopt-form-add"> {
  let summary = "sum of two activations, or of one and a constant -> sd.add";
  let description = [{
    Shapes are equal, or one operand is [b, c, 1, ..., 1] (a time projection): then the sum is taken channels last. A
    constant (positions) may repeat over leading dimensions.
  }];
}

def ConvertLayout : NormalizePass<"sdopt-convert-layout"> {
  let summary = "channels last everywhere";
  let description = [{
    Convolutions, group norms and upsampling become channels last; the transposes around them are pushed through
    elementwise operations, sums, concatenations, slices of pictures and reshapes of the pixels, and cancel. What
    remains stands at the function's inputs and outputs.
  }];
}

def SortOps : NormalizePass<"sdopt-sort-ops"> {
  let summary = "An order that depends on the graph only";
  let description = [{
    Sums get the deeper operand first. Operations are ordered depth first from the results, operands in order, so that
    two exports of one model give the same sequence.
  }];
}

def CheckNormalized : NormalizePass<"sdopt-check-normalized"> {
  let summary = "One error that lists all operations the NPU cannot run";
}

#endif // SDOPT_PASSES_NORMALIZE_PASSES_TD
