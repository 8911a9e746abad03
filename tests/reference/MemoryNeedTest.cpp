#include "compiler/reference/MemoryNeed.h"
#include "tests/reference/FunctionText.h"

#include <gtest/gtest.h>

namespace sdopt::test {
namespace {

int64_t needOf(const std::string &body) {
  FunctionText function("func.func @main(%x: tensor<10xf32>) -> tensor<10xf32> {\n" + body + "\n}");
  EXPECT_TRUE(function.parsed()) << function.messages();
  return function.parsed() ? leastEvaluationBytes(function.function()) : 0;
}

TEST(MemoryNeed, ValuesDieAfterTheirLastUse) {
  EXPECT_EQ(needOf(R"(
    %a = sd.unary neg %x : (tensor<10xf32>) -> tensor<10xf32>
    %b = sd.unary neg %a : (tensor<10xf32>) -> tensor<10xf32>
    %c = sd.unary neg %b : (tensor<10xf32>) -> tensor<10xf32>
    return %c : tensor<10xf32>)"),
            2 * 40);
}

TEST(MemoryNeed, ValuesThatWaitCount) {
  EXPECT_EQ(needOf(R"(
    %a = sd.unary neg %x : (tensor<10xf32>) -> tensor<10xf32>
    %b = sd.unary neg %a : (tensor<10xf32>) -> tensor<10xf32>
    %c = sd.add %x, %b : (tensor<10xf32>, tensor<10xf32>) -> tensor<10xf32>
    return %c : tensor<10xf32>)"),
            3 * 40);
}

TEST(MemoryNeed, ShapesShareTheirBytes) {
  EXPECT_EQ(needOf(R"(
    %a = sd.reshape %x : tensor<10xf32> -> tensor<2x5xf32>
    %b = sd.unary neg %a : (tensor<2x5xf32>) -> tensor<2x5xf32>
    %c = sd.reshape %b : tensor<2x5xf32> -> tensor<10xf32>
    return %c : tensor<10xf32>)"),
            2 * 40);
}

TEST(MemoryNeed, WeightsOfOneOperation) {
  EXPECT_EQ(needOf(R"(
    %v = sd.weight "v" digest "d" : tensor<7x10xf32>
    %w = sd.weight "w" digest "d" : tensor<10x7xf32>
    %a = sd.reshape %x : tensor<10xf32> -> tensor<1x10xf32>
    %b = sd.linear %a, %v : (tensor<1x10xf32>, tensor<7x10xf32>) -> tensor<1x7xf32>
    %c = sd.linear %b, %w : (tensor<1x7xf32>, tensor<10x7xf32>) -> tensor<1x10xf32>
    %d = sd.reshape %c : tensor<1x10xf32> -> tensor<10xf32>
    return %d : tensor<10xf32>)"),
            40 + 28 + 280);
}

TEST(MemoryNeed, NothingIsNeededForNothing) { EXPECT_EQ(needOf("return %x : tensor<10xf32>"), 40); }

} // namespace
} // namespace sdopt::test
