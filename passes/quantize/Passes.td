//===- Passes.td - quantization passes --------------------------*- tablegen -*-===//

#ifndef SDOPT_PASSES_QUANTIZE_PASSES_TD
#define SDOPT_PASSES_QUANTIZE_PASSES_TD

include "mlir/Pass/PassBase.td"

def Smooth : Pass<"sdopt-smooth", "::mlir::func::FuncOp"> {
  let summary = "Move scales from the channels of activations into weights (float-equivalent)";
  let description = [{
    For linear layers that read 8-bit codes and whose recipe says `smooth`: the channels of the input are divided by
    s and the weights multiplied by s, s = max|x|^a / max|w|^(1-a) (SmoothQuant, ICML 2023). Where the division goes:

    - behind a layer norm or group norm: into gamma and beta;
    - behind geglu: into the rows of the linear layer before it that make the left half;
    - behind attention: into the rows of the linear layer that makes the values.

    All that reads the input must be linear layers. `smooth: search` takes the exponent a, in sixteenths, of least
    estimated error of activation and weight codes together, and none unless it promises 5 % less than leaving all as
    it is. Ranges after it follow from the statistics of the channels: nothing is calibrated again.

    `smooth: awq` is for the codes of weights alone, whatever width the layer reads (J. Lin et al., "AWQ",
    arXiv 2306.00978): s = E|x|^a with that a of 0, 1/16, ... 1 for which the layers that read the value lose least
    together, E[(d x)^2] added up over their outputs. d is the layer's weights w without code(w s) / s, the nearest codes with
    the scales, groups, zero points and widths of the recipe; 256 rows of each layer's weights, evenly spread, stand for all. The
    error follows from the second moments of what the layers read, which takes one pass through the recorded inputs for each
    256 MB of moments; of layers whose bias is corrected the variance of d x counts. A gain of less than 5 % moves nothing.
    Weights in palettes are no reason to move, those of 16 bits lose nothing. `sdopt-round` goes on from there. A remark gives
    the SQNR of each layer's output with the nearest codes before and after, over all rows.
  }];
  let dependentDialects = ["::sdopt::sd::SdDialect"];
}

def SplitConcatScales : Pass<"sdopt-split-concat-scales", "::mlir::func::FuncOp"> {
  let summary = "Let the parts of a concatenation keep scales of their own (float-equivalent)";
  let description = [{
    A decoder joins what comes from below with what was skipped, and one scale of both leaves the smaller part few codes. With
    `split_concats: true` of a recipe, for concatenations of channels:

    - Convolutions and linear layers that read it: each part counts 2^e times (`exponents` of `sd.concat`), the weights of its
      channels 2^-e times. The exponents are those of least estimated error of activation and weight codes together, if
      that is 1 dB less than with none. Other readers keep the concatenation as it is.
    - A group norm whose groups lie each in one part, if a part reaches at most an eighth of the largest magnitude (half of it at 8 bits): one
      norm for each part, whose results are joined.

    Nothing is calibrated again: the statistics are those of what was joined. A remark tells exponents and the
    estimated gain, another one the norms that keep coarse codes because a group lies across two parts.
  }];
  let dependentDialects = ["::sdopt::sd::SdDialect"];
}

def SplitTimesteps : Pass<"sdopt-split-timesteps", "::mlir::ModuleOp"> {
  let summary = "Make a function for each bucket of timesteps (float-equivalent)";
  let description = [{
    What a diffusion model's values look like drifts over the steps of the schedule. With `timestep_buckets: N` of a recipe, a function with a
    timestep is repeated for each bucket of timesteps that the statistics tell apart, at most N, each with the attribute
    `sdopt.first_timestep`:

    ```mlir
    func.func @unet(...) attributes {sdopt.first_timestep = 1.0}
    func.func @unet.bucket1(...) attributes {sdopt.first_timestep = 401.0}
    ```

    `sdopt-quantize` then gives each its own codes: weights, their codes, widths and the operations stay the same, so that all
    share one schedule and one set of weights. A call runs the last function that does not begin above its timestep.
  }];
  let dependentDialects = ["::sdopt::sd::SdDialect"];
}

def ImposeCodebooks : Pass<"sdopt-impose-codebooks", "::mlir::func::FuncOp"> {
  let summary = "Take shared weights that were decided elsewhere (lossy)";
  let description = [{
    For conv2d and linear of which the file of codebooks has tensors: their weights are in palettes, whatever the recipe says, with these
    entries, scales and indices (scale[o] * codebook[o][index]). Without indices each weight gets the nearest entry. Neighbouring
    output channels with the same entries share a palette. Zeros of pruned weights must stay; the bias is corrected as the recipe says.
    A tensor of the file that fits no layer is an error. Codes are kept as those of `sdopt-round`, which passes these layers over; so does
    smoothing.
  }];
  let dependentDialects = ["::sdopt::sd::SdDialect"];
}

def Round : Pass<"sdopt-round", "::mlir::func::FuncOp"> {
  let summary = "Choose the codes of weights such that their errors make up for each other (lossy)";
  let description = [{
    For conv2d and linear whose recipe says `rounding: gptq` (E. Frantar et al., "GPTQ", arXiv 2210.17323; of a
    convolution the columns are what its kernel sees): needs the recorded inputs that the statistics are of. One pass
    through them collects the second moments of what as many layers read as fit into 256 MB, so that a large model takes
    several. Of more than 4,096 columns those of up to 4,096 are known together.

    Without groups the columns of the largest power come first. Palettes stay as `sd.share_weight` chooses them.

    A channel whose expected error is not less than with nearest codes keeps them. Codes, scales and corrections are
    stored beside the weights; the layer's attribute `sdopt.rounded` has their keys, and `sdopt-quantize` uses them. The
    function itself stays what it is. A remark gives the SQNR of each layer's output before and after, as expected
    from the moments.
  }];
  let dependentDialects = ["::sdopt::sd::SdDialect"];
}

def Quantize : Pass<"sdopt-quantize", "::mlir::func::FuncOp"> {
  let summary = "Give every activation a code and every weight int8 codes (lossy)";
  let description = [{
    Lossy: the loss of each layer and of the output is measured and reported. Reads the recipe and the statistics of
    the function as it is now (a statistic of another function is an error).

    - A value is 8-bit (asymmetric) if every layer that reads it asks for 8 bits, else 16-bit (symmetric); a layer that
      asks for 8 bits of a 16-bit value gets it through `sd.requantize`.
    - Reshapes, transposes, upsampling and token pooling keep the code of their input.
    - Weights of conv2d, linear and embedding become int8 codes with one scale per output channel (or row).
    - Narrower weights are codes in groups, or indices of palettes, which weigh input channels by the variance of what the
      layer reads (the mean square, if its bias is not corrected).
    - A layer's bias is corrected for what the codes of its weights take from the mean of its output.
    - In a function of `sdopt-split-timesteps` the range of what depends on the timestep ends where its bucket's
      elements end, except of results: inputs, results and what depends on the prompt alone have the same codes in all buckets.
    - The function still takes and gives real numbers: `sd.quantize` and `sd.dequantize` stand at its boundary.
  }];
  let dependentDialects = ["::sdopt::sd::SdDialect"];
}

#endif // SDOPT_PASSES_QUANTIZE_PASSES_TD
