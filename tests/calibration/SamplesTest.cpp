// How a sample file becomes the calls of a function.

#include "tests/calibration/SampleFiles.h"
#include "tests/reference/FunctionText.h"

#include <gmock/gmock.h>

#include <cmath>

namespace sdopt::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A function of a picture [batch, 3] and a timestep of the given type.
std::string diffusion(int batch, const std::string &time) {
  std::string picture = "tensor<" + std::to_string(batch) + "x3xf32>";
  return "func.func @f(%x: " + picture + " {sd.name = \"sample\"}, %t: " + time +
         " {sd.name = \"timestep\"}) -> (" + picture +
         " {sd.name = \"out\"}) { return %x : " + picture + " }";
}

std::string rowFunction(int batch) {
  std::string ids = "tensor<" + std::to_string(batch) + "x2xi64>";
  return "func.func @f(%x: " + ids + " {sd.name = \"ids\"}) -> (" + ids +
         " {sd.name = \"out\"}) { return %x : " + ids + " }";
}

absl::StatusOr<SampleReader> readerFor(FunctionText &function, const SampleFile &file,
                                       int64_t limit = 0) {
  EXPECT_TRUE(function.parsed()) << function.messages();
  return SampleReader::open(function.function(), {file}, limit);
}

std::vector<float> floatsOf(const Tensor &tensor) {
  auto values = tensor.values<float>();
  return {values.begin(), values.end()};
}

NamedTensors trajectory() {
  return {{"sample", counting<float>({4, 2, 3})},
          {"timestep", counting<int64_t>({4})},
          {"out", counting<float>({4, 2, 3})}};
}

TEST(Samples, OneEvaluationPerCall) {
  FunctionText function(diffusion(2, "tensor<1xi64>"));
  auto reader = readerFor(function, sampleFile("a", trajectory()));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->size(), 4);
  EXPECT_THAT(reader->recordedOutputs(), ElementsAre(true));
  auto sample = reader->read(3);
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_THAT(floatsOf(sample->inputs[0]), ElementsAre(18, 19, 20, 21, 22, 23));
  EXPECT_EQ(sample->inputs[1].values<int64_t>()[0], 3);
  EXPECT_THAT(floatsOf(sample->outputs[0]), ElementsAre(18, 19, 20, 21, 22, 23));
  EXPECT_EQ(sample->rows, 2);
}

TEST(Samples, RowsOfACallOneByOne) {
  FunctionText function(diffusion(1, "tensor<i32>"));
  auto reader = readerFor(function, sampleFile("a", trajectory()));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->size(), 8);
  auto sample = reader->read(5);
  EXPECT_THAT(floatsOf(sample->inputs[0]), ElementsAre(15, 16, 17));
  EXPECT_EQ(sample->inputs[1].type(), ElementType::I32);
  EXPECT_EQ(sample->inputs[1].shape(), Shape());
  EXPECT_EQ(sample->inputs[1].values<int32_t>()[0], 2);
}

TEST(Samples, ANumberPerCallFillsTheBatch) {
  FunctionText function(diffusion(2, "tensor<2xi64>"));
  auto reader = readerFor(function, sampleFile("a", trajectory()));
  ASSERT_TRUE(reader.ok()) << reader.status();
  auto times = reader->read(2)->inputs[1];
  EXPECT_THAT(std::vector<int64_t>(times.values<int64_t>().begin(), times.values<int64_t>().end()),
              ElementsAre(2, 2));
}

TEST(Samples, RowsWithoutCalls) {
  FunctionText function(rowFunction(2));
  auto reader = readerFor(function, sampleFile("a", {{"ids", counting<int64_t>({5, 2})}}));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->size(), 3);
  EXPECT_THAT(reader->recordedOutputs(), ElementsAre(false));
  EXPECT_EQ(reader->read(1)->rows, 2);
  // The last group has one row, repeated.
  auto last = reader->read(2);
  EXPECT_EQ(last->rows, 1);
  auto ids = last->inputs[0].values<int64_t>();
  EXPECT_THAT(std::vector<int64_t>(ids.begin(), ids.end()), ElementsAre(8, 9, 8, 9));
  EXPECT_EQ(last->outputs[0].bytes(), nullptr);
}

TEST(Samples, LimitSpreadsEvenly) {
  FunctionText function(diffusion(2, "tensor<1xi64>"));
  auto reader = readerFor(function, sampleFile("a", trajectory()), 2);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->size(), 2);
  EXPECT_EQ(reader->read(1)->inputs[1].values<int64_t>()[0], 2);
}

TEST(Samples, DigestDependsOnInputsOnly) {
  FunctionText function(diffusion(2, "tensor<1xi64>"));
  NamedTensors tensors = trajectory();
  std::string first = *readerFor(function, sampleFile("a", tensors))->digest();
  tensors.pop_back();
  EXPECT_EQ(*readerFor(function, sampleFile("b", tensors))->digest(), first);
  tensors[1].second = Tensor(ElementType::I64, {4});
  EXPECT_NE(*readerFor(function, sampleFile("c", tensors))->digest(), first);
}

std::string failureOf(const std::string &text, const NamedTensors &tensors) {
  FunctionText function(text);
  auto reader = readerFor(function, sampleFile("bad", tensors));
  return reader.ok() ? "no failure" : std::string(reader.status().message());
}

TEST(SampleErrors, NameFileTensorAndShapes) {
  std::string text = diffusion(2, "tensor<1xi64>");
  NamedTensors tensors = trajectory();
  tensors[0].second = counting<float>({4, 2, 5});
  EXPECT_THAT(failureOf(text, tensors),
              HasSubstr("tensor 'sample' has shape 4x2x5 but must be 4x2x3"));
  tensors = trajectory();
  tensors[1].second = counting<int64_t>({3});
  EXPECT_THAT(failureOf(text, tensors), HasSubstr("tensor 'timestep' has shape 3 but must be"));
  tensors = trajectory();
  tensors[1].second = counting<float>({4});
  EXPECT_THAT(failureOf(text, tensors), HasSubstr("tensor 'timestep' is f32 but must be i64"));
  tensors.erase(tensors.begin() + 1);
  EXPECT_THAT(failureOf(text, tensors), HasSubstr("there is no tensor for input 'timestep'"));
  EXPECT_THAT(failureOf(text, tensors), HasSubstr("bad.safetensors"));
  EXPECT_THAT(failureOf(rowFunction(2), {{"ids", counting<int64_t>({0, 2})}}),
              HasSubstr("there are no samples"));
}

/// A matrix and one of other rows.
std::string turning(const std::string &output) {
  return "func.func @f(%x: tensor<2x3xf32> {sd.name = \"x\"}) -> (" + output +
         " {sd.name = \"out\"}) { %y = sd.constant dense<0.0> : " + output +
         " return %y : " + output + " }";
}

TEST(Samples, AResultWithoutTheBatchBelongsToTheCall) {
  FunctionText function(turning("tensor<3x2xf32>"));
  NamedTensors tensors = {{"x", counting<float>({4, 2, 3})}, {"out", counting<float>({4, 3, 2})}};
  auto reader = readerFor(function, sampleFile("a", tensors));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->size(), 4);
  auto sample = reader->read(1);
  ASSERT_TRUE(sample.ok()) << sample.status();
  EXPECT_THAT(floatsOf(sample->outputs[0]), ElementsAre(6, 7, 8, 9, 10, 11));
  EXPECT_THAT(sample->outputRows, ElementsAre(3));
  EXPECT_EQ(sample->rows, 2);
}

TEST(SampleErrors, AResultWithoutTheBatch) {
  std::string text = turning("tensor<3x2xf32>");
  EXPECT_THAT(
      failureOf(text, {{"x", counting<float>({4, 2, 3})}, {"out", counting<float>({4, 2, 2})}}),
      HasSubstr("tensor 'out' has shape 4x2x2 but must be 4x3x2"));
  EXPECT_THAT(
      failureOf(text, {{"x", counting<float>({4, 6, 3})}, {"out", counting<float>({4, 3, 2})}}),
      HasSubstr("tensor 'out' has no rows to cut: the function's 3x2 does not have its batch of 2; "
                "record calls of 2 rows instead of 6"));
}

TEST(SampleErrors, NumbersThatTheDeviceDoesNotHold) {
  Tensor ids = counting<int64_t>({5, 2});
  ids.mutableValues<int64_t>()[7] = int64_t(1) << 31;
  FunctionText function(rowFunction(2));
  auto reader = readerFor(function, sampleFile("large", {{"ids", ids}}));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_TRUE(reader->read(0).ok());
  EXPECT_THAT(std::string(reader->read(1).status().message()),
              HasSubstr("tensor 'ids' is 2147483648, which i32 does not hold, in call 0, element 3 "
                        "of the rows from 2"));
  FunctionText timed(diffusion(2, "tensor<1xf32>"));
  NamedTensors tensors = trajectory();
  tensors[1].second = Tensor::of<float>({4}, std::vector<float>{0, 1, std::nanf(""), 3});
  reader = readerFor(timed, sampleFile("nan", tensors));
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_THAT(std::string(reader->read(2).status().message()),
              HasSubstr("tensor 'timestep' is not finite in call 2"));
}

TEST(SampleErrors, FunctionWithoutNames) {
  FunctionText function("func.func @f(%x: tensor<2xf32>) { return }");
  auto reader = SampleReader::open(function.function(), {});
  EXPECT_THAT(std::string(reader.status().message()),
              HasSubstr("input 0 of the function has no name"));
}

} // namespace
} // namespace sdopt::test
