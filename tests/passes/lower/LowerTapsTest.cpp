// A convolution by F(4x4, 3x3) has the same bits before and after lowering, in either layout, from
// fast and from naive kernels; its error is that of its shifts.

#include "compiler/kernels/FloatKernels.h"
#include "compiler/reference/NpuModels.h"
#include "dialects/npu/Npu.h"
#include "passes/lower/Passes.h"
#include "tests/reference/FunctionText.h"

#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include <gtest/gtest.h>

#include <cmath>

using namespace mlir;

namespace sdopt::test {
namespace {

std::string numbers(int64_t count, int64_t (*number)(int64_t)) {
  std::string text;
  for (int64_t i = 0; i < count; ++i)
    text += (i > 0 ? ", " : "") + std::to_string(number(i));
  return text;
}

/// A 3-channel picture of 7x6 pixels, two pictures, in `code`; the result has two channels.
std::string functionText(const std::string &code, bool channelsLast, bool withTaps) {
  const std::string x = channelsLast ? "2x7x6x3x" : "2x3x7x6x",
                    y = channelsLast ? "2x7x6x2x" : "2x2x7x6x";
  const std::string weights =
      numbers(54, [](int64_t i) -> int64_t { return (i * 37 + 11) % 255 - 127; });
  const std::string codeShifts = numbers(36, [](int64_t i) -> int64_t { return 4 + i % 2; }),
                    weightShifts = numbers(36, [](int64_t i) -> int64_t { return 2 + i % 2; });
  return "!x = " + code + "\n!y = !quant.uniform<i16:f32, 0.01>\n" + "func.func @f(%arg: tensor<" +
         x + "f32> {sd.name = \"x\"}) -> (tensor<" + y + "f32> {sd.name = \"y\"}) {\n" +
         "%w = sd.constant dense<[" + weights + "]> : tensor<54xi8>\n" +
         "%v = sd.reshape %w : tensor<54xi8> -> tensor<2x3x3x3xi8>\n" +
         "%s = sd.constant dense<[0.01, 0.02]> : tensor<2xf32>\n" +
         "%b = sd.constant dense<[1.5, -3.0]> : tensor<2xf32>\n" +
         "%x = sd.quantize %arg : tensor<" + x + "f32> -> tensor<" + x + "!x>\n" +
         "%y = sd.conv2d %x, %v scales %s bias %b {layout = " + (channelsLast ? "1" : "0") +
         " : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: "
         "1, 1, 1, 1>, groups = 1 : i64" +
         (withTaps ? ", tap_shifts = #sd.tap_shifts<codes = [" + codeShifts + "], weights = [" +
                         weightShifts + "]>"
                   : "") +
         "} : (tensor<" + x + "!x>, tensor<2x3x3x3xi8>, tensor<2xf32>, tensor<2xf32>) -> tensor<" +
         y + "!y>\n" + "%r = sd.dequantize %y : tensor<" + y + "!y> -> tensor<" + y +
         "f32>\nreturn %r : tensor<" + y + "f32>\n}";
}

struct LoweredText {
  explicit LoweredText(const std::string &text) {
    DialectRegistry registry;
    registry.insert<func::FuncDialect, quant::QuantDialect, sd::SdDialect, npu::NpuDialect>();
    registerEvaluationModels(registry);
    registerNpuEvaluationModels(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    sd::resources(&context).evaluation = fastContext();
    module = parseSourceString<ModuleOp>(text, &context);
  }

  std::vector<Tensor> run(const Tensor &x, const EvaluationContext &evaluation) {
    Evaluator evaluator(*module->getOps<func::FuncOp>().begin(), evaluation);
    auto results = evaluator.run({x});
    EXPECT_TRUE(succeeded(results));
    return {results->begin(), results->end()};
  }

  LogicalResult lower() {
    PassManager manager(&context);
    manager.addNestedPass<func::FuncOp>(createLowerToNpu());
    return manager.run(*module);
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

TEST(LowerTaps, KeepsEveryBit) {
  for (const char *code : {"!quant.uniform<i8:f32, 0.02:-7>", "!quant.uniform<i16:f32, 0.0001>"}) {
    SCOPED_TRACE(code);
    const Tensor picture = randomFloats({2, 7, 6, 3}, 2.5F, 1);
    LoweredText taps(functionText(code, true, true)), plain(functionText(code, true, false));
    ASSERT_TRUE(taps.module && plain.module);
    const Tensor before = taps.run(picture, fastContext())[0];
    EXPECT_TRUE(before.sameBits(taps.run(picture, naiveContext())[0]));
    ASSERT_TRUE(succeeded(taps.lower()));
    EXPECT_TRUE(before.sameBits(taps.run(picture, fastContext())[0]));
    EXPECT_TRUE(before.sameBits(taps.run(picture, naiveContext())[0]));
    const Tensor exact = plain.run(picture, fastContext())[0];
    EXPECT_FALSE(before.sameBits(exact));
    double signal = 0, noise = 0;
    for (int64_t i = 0; i < exact.size(); ++i) {
      signal += std::pow(exact.values<float>()[i], 2);
      noise += std::pow(before.values<float>()[i] - exact.values<float>()[i], 2);
    }
    EXPECT_GE(10 * std::log10(signal / noise), 20);
  }
}

TEST(LowerTaps, LayoutsAgree) {
  const char *code = "!quant.uniform<i8:f32, 0.02:-7>";
  LoweredText last(functionText(code, true, true)), second(functionText(code, false, true));
  ASSERT_TRUE(last.module && second.module);
  const Tensor picture = randomFloats({2, 7, 6, 3}, 2.5F, 1);
  const int64_t toSecond[] = {0, 3, 1, 2};
  EXPECT_TRUE(transpose(last.run(picture, fastContext())[0], toSecond)
                  .sameBits(second.run(transpose(picture, toSecond), fastContext())[0]));
}

} // namespace
} // namespace sdopt::test
