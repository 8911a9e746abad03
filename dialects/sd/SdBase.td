//===- SdBase.td - the sd dialect -------------------------------*- tablegen -*-===//

#ifndef SDOPT_DIALECTS_SD_SDBASE_TD
#define SDOPT_DIALECTS_SD_SDBASE_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/EnumAttr.td"

def Sd_Dialect : Dialect {
  let name = "sd";
  let cppNamespace = "::sdopt::sd";
  let summary = "diffusion models, from ONNX operators to integer programs";
  let description = [{
    One dialect from import to quantization. Three families of operations:

    - *weights*: `sd.weight` names a tensor of the weight store by key and digest; `sd.constant` holds a few
      numbers; `sd.quantize_weight`, `sd.transpose`, ... on them are expressions, evaluated when the package is
      emitted. Bytes of weights never appear in the IR.
    - *plain operators*, one for each operator (or group of operators) of ONNX;
    - *named operators* that normalization makes of exporter idioms: `sd.attention`, `sd.group_norm`, `sd.geglu`, ...

    A value is float (`tensor<1x8x6x4xf32>`) or quantized (`!quant.uniform<i16:f32, scale>` or
    `!quant.uniform<i8:f32, scale:zeropoint>`); the arithmetic of both is defined in docs/spec.md. All shapes are
    static. The location of an operation names its first result (`NameLoc`), with the ONNX nodes it stands for
    inside; passes keep it for as long as the value is the same.
  }];
  let dependentDialects = ["::mlir::quant::QuantDialect", "::mlir::func::FuncDialect"];
  let hasConstantMaterializer = 0;
  let useDefaultAttributePrinterParser = 1;
  let extraClassDeclaration = [{
    /// Attribute on function arguments and results: the name of the ONNX input or output.
    static constexpr ::llvm::StringLiteral kNameAttr = "sd.name";
    void registerOps();
    void registerAttrs();
    /// What passes may read besides the IR (dialects/sd/Resources.h).
    ::sdopt::Resources resources;
  }];
}

def Sd_Layout : I32EnumAttr<"Layout", "order of a picture's dimensions",
    [I32EnumAttrCase<"nchw", 0>, I32EnumAttrCase<"nhwc", 1>]> {
  let cppNamespace = "::sdopt::sd";
}

// The cases have the numbers of sdopt::UnaryFunction (compiler/kernels/FloatKernels.h).
def Sd_UnaryFunction : I32EnumAttr<"UnaryKind", "function of one tensor",
    [I32EnumAttrCase<"neg", 0>, I32EnumAttrCase<"abs", 1>, I32EnumAttrCase<"sqrt", 2>,
     I32EnumAttrCase<"exp", 3>, I32EnumAttrCase<"log", 4>, I32EnumAttrCase<"reciprocal", 5>,
     I32EnumAttrCase<"erf", 6>, I32EnumAttrCase<"sin", 7>, I32EnumAttrCase<"cos", 8>,
     I32EnumAttrCase<"tanh", 9>, I32EnumAttrCase<"sigmoid", 10>, I32EnumAttrCase<"relu", 11>,
     I32EnumAttrCase<"silu", 12>, I32EnumAttrCase<"gelu", 13>, I32EnumAttrCase<"gelu_tanh", 14>,
     I32EnumAttrCase<"quick_gelu", 15>, I32EnumAttrCase<"floor", 16>, I32EnumAttrCase<"ceil", 17>,
     I32EnumAttrCase<"round", 18>, I32EnumAttrCase<"logical_not", 19, "not">]> {
  let cppNamespace = "::sdopt::sd";
}

// The cases have the numbers of sdopt::BinaryFunction.
def Sd_BinaryFunction : I32EnumAttr<"BinaryKind", "function of two tensors",
    [I32EnumAttrCase<"add", 0>, I32EnumAttrCase<"sub", 1>, I32EnumAttrCase<"mul", 2>,
     I32EnumAttrCase<"div", 3>, I32EnumAttrCase<"pow", 4>, I32EnumAttrCase<"min", 5>,
     I32EnumAttrCase<"max", 6>, I32EnumAttrCase<"mod", 7>, I32EnumAttrCase<"equal", 8>,
     I32EnumAttrCase<"less", 9>, I32EnumAttrCase<"less_or_equal", 10>,
     I32EnumAttrCase<"greater", 11>, I32EnumAttrCase<"greater_or_equal", 12>,
     I32EnumAttrCase<"logical_and", 13, "and">, I32EnumAttrCase<"logical_or", 14, "or">]> {
  let cppNamespace = "::sdopt::sd";
}

// The cases have the numbers of sdopt::Reduction.
def Sd_Reduction : I32EnumAttr<"ReductionKind", "function of the elements along some dimensions",
    [I32EnumAttrCase<"sum", 0>, I32EnumAttrCase<"mean", 1>, I32EnumAttrCase<"maximum", 2, "max">,
     I32EnumAttrCase<"minimum", 3, "min">, I32EnumAttrCase<"prod", 4>]> {
  let cppNamespace = "::sdopt::sd";
}

// How a clipping range is chosen; the cases have the numbers of sdopt::RangeEstimator.
def Sd_RangeEstimator : I32EnumAttr<"Range", "choice of a clipping range",
    [I32EnumAttrCase<"minmax", 0>, I32EnumAttrCase<"mse", 1>]> {
  let cppNamespace = "::sdopt::sd";
}

def Sd_TapShiftsAttr : AttrDef<Sd_Dialect, "TapShifts"> {
  let mnemonic = "tap_shifts";
  let summary = "a power of two for each product of F(4x4, 3x3)";
  let description = [{
    Bits to the right of the 36 transformed codes and weights of a 6x6 tile, row by row: compiler/kernels/TapWinograd.h, TapShifts. Each is
    0 to 15.

    ```mlir
    #sd.tap_shifts<codes = [1, 2, 2, 2, 2, 1, 2, ...], weights = [0, 0, 0, 1, 1, 0, 0, ...]>
    ```
  }];
  let parameters = (ins AttrParameter<"::sdopt::TapShifts", "", "const ::sdopt::TapShifts &">:$value);
  let hasCustomAssemblyFormat = 1;
}

#endif // SDOPT_DIALECTS_SD_SDBASE_TD
