// The matrices that MLIR decomposes linalg.winograd_* into, as its own tool prints them, are those
// of cookToom() up to factors of rows and columns, and convolve as exactly.

#include "compiler/winograd/WinogradMatrices.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <unistd.h>

namespace sdopt {
namespace {

constexpr const char *kModule = R"(
module attributes {transform.with_named_sequence} {
  func.func @filter(%f: tensor<1xRxRx1xf32>, %to: tensor<NxNx1x1xf32>) -> tensor<NxNx1x1xf32> {
    %y = linalg.winograd_filter_transform fmr(F_M_R) ins(%f : tensor<1xRxRx1xf32>) outs(%to : tensor<NxNx1x1xf32>) -> tensor<NxNx1x1xf32>
    return %y : tensor<NxNx1x1xf32>
  }
  func.func @input(%x: tensor<1xNxNx1xf32>, %to: tensor<NxNx1x1x1x1xf32>) -> tensor<NxNx1x1x1x1xf32> {
    %y = linalg.winograd_input_transform fmr(F_M_R) ins(%x : tensor<1xNxNx1xf32>) outs(%to : tensor<NxNx1x1x1x1xf32>) -> tensor<NxNx1x1x1x1xf32>
    return %y : tensor<NxNx1x1x1x1xf32>
  }
  func.func @output(%x: tensor<NxNx1x1x1x1xf32>, %to: tensor<1xMxMx1xf32>) -> tensor<1xMxMx1xf32> {
    %y = linalg.winograd_output_transform fmr(F_M_R) ins(%x : tensor<NxNx1x1x1x1xf32>) outs(%to : tensor<1xMxMx1xf32>) -> tensor<1xMxMx1xf32>
    return %y : tensor<1xMxMx1xf32>
  }
  transform.named_sequence @__transform_main(%module: !transform.any_op {transform.readonly}) {
    %0 = transform.structured.match ops{["linalg.winograd_filter_transform"]} in %module : (!transform.any_op) -> !transform.any_op
    %1 = transform.structured.decompose_winograd_op %0 : (!transform.any_op) -> (!transform.any_op)
    %2 = transform.structured.match ops{["linalg.winograd_input_transform"]} in %module : (!transform.any_op) -> !transform.any_op
    %3 = transform.structured.decompose_winograd_op %2 : (!transform.any_op) -> (!transform.any_op)
    %4 = transform.structured.match ops{["linalg.winograd_output_transform"]} in %module : (!transform.any_op) -> !transform.any_op
    %5 = transform.structured.decompose_winograd_op %4 : (!transform.any_op) -> (!transform.any_op)
    transform.yield
  }
}
)";

/// What the tool makes of the module; empty if it fails.
std::string decomposed(int64_t outputs, int64_t taps) {
  const std::string m = absl::StrCat(outputs), r = absl::StrCat(taps),
                    n = absl::StrCat(outputs + taps - 1);
  const std::string text = absl::StrReplaceAll(kModule, {{"F_M_R", absl::StrCat("F_", m, "_", r)},
                                                         {"xRxR", absl::StrCat("x", r, "x", r)},
                                                         {"xMxM", absl::StrCat("x", m, "x", m)},
                                                         {"1xNxN", absl::StrCat("1x", n, "x", n)},
                                                         {"NxN", absl::StrCat(n, "x", n)}});
  const std::string path = std::filesystem::temp_directory_path() /
                           absl::StrCat("sdopt-linalg-winograd-", getpid(), ".mlir");
  std::ofstream(path) << text;
  const std::string command =
      absl::StrCat(SDOPT_MLIR_OPT, " --transform-interpreter --canonicalize ", path);
  std::unique_ptr<FILE, int (*)(FILE *)> pipe(popen(command.c_str(), "r"), pclose);
  std::string out;
  char part[4096];
  for (size_t size; pipe && (size = fread(part, 1, sizeof(part), pipe.get())) > 0;)
    out.append(part, size);
  std::filesystem::remove(path);
  return out;
}

/// The fraction of a small denominator that a float32 stands for.
Rational fractionOf(double value) {
  for (int64_t denominator = 1; denominator <= 256; ++denominator) {
    const double numerator = value * static_cast<double>(denominator);
    if (std::abs(numerator - std::round(numerator)) < 1e-4)
      return Rational::fraction(std::llround(numerator), denominator);
  }
  return Rational(1) / 0;
}

/// The constant of that shape in a function; infinity times any number is none.
std::optional<Matrix<Rational>> constantOf(const std::string &text, const std::string &function,
                                           int64_t rows, int64_t columns) {
  const size_t begin = text.find("func.func @" + function + "("), end = text.find("\n  }", begin);
  if (begin == std::string::npos || end == std::string::npos)
    return std::nullopt;
  const std::string type = absl::StrCat(" : tensor<", rows, "x", columns, "xf32>\n");
  Matrix<Rational> matrix(rows, columns);
  size_t found = text.find("dense<", begin), stop = 0;
  for (; found < end; found = text.find("dense<", found + 1)) {
    stop = text.find('>', found);
    if (text.compare(stop + 1, type.size(), type) == 0)
      break;
  }
  if (found >= end)
    return std::nullopt;
  const char *at = text.c_str() + found + 6, *last = text.c_str() + stop;
  for (Rational &value : matrix.entries) {
    while (at < last && std::string("[], ").find(*at) != std::string::npos)
      ++at;
    char *next = nullptr;
    value = fractionOf(std::strtod(at, &next));
    if (next == at || next > last)
      return std::nullopt;
    at = next;
  }
  return matrix;
}

/// The factor of two rows, or of two columns; nothing if they are not proportional.
std::optional<Rational> factorOf(const std::vector<Rational> &theirs,
                                 const std::vector<Rational> &ours) {
  std::optional<Rational> factor;
  for (size_t i = 0; i < ours.size(); ++i)
    if (!factor && ours[i] != Rational(0))
      factor = theirs[i] / ours[i];
  for (size_t i = 0; factor && i < ours.size(); ++i)
    if (theirs[i] != *factor * ours[i])
      return std::nullopt;
  return factor;
}

std::vector<Rational> row(const Matrix<Rational> &m, int64_t j) {
  return {m.row(j).begin(), m.row(j).end()};
}
std::vector<Rational> column(const Matrix<Rational> &m, int64_t j) {
  std::vector<Rational> values;
  for (int64_t i = 0; i < m.rows; ++i)
    values.push_back(m.at(i, j));
  return values;
}

struct Size {
  int64_t outputs, taps;
  std::vector<Rational> points; ///< in the order of MLIR's rows
};

class LinalgMatrices : public testing::TestWithParam<Size> {};

TEST_P(LinalgMatrices, AreOurs) {
  const auto &[outputs, taps, points] = GetParam();
  const std::string text = decomposed(outputs, taps);
  ASSERT_FALSE(text.empty()) << SDOPT_MLIR_OPT;
  const auto ours = cookToom(outputs, taps, points);
  ASSERT_TRUE(ours.ok()) << ours.status();
  const int64_t n = ours->products();
  // The first of two square ones is on the left or on the right: they are transposed.
  auto output = constantOf(text, "output", outputs, n),
       filter = constantOf(text, "filter", n, taps), input = constantOf(text, "input", n, n);
  ASSERT_TRUE(output && filter && input) << text;
  RationalTransforms theirs{*output, *filter, *input};
  RationalTransforms transposed = theirs;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      transposed.input.at(i, j) = input->at(j, i);
  // What is missing to 1 is a factor of the last step, squared.
  std::optional<Rational> scale;
  for (RationalTransforms *t : {&theirs, &transposed})
    for (int64_t power = 0; power <= 12 && !scale; ++power)
      if (convolves(*t, Rational::fraction(1, int64_t{1} << power))) {
        scale = Rational::fraction(1, int64_t{1} << power);
        theirs = *t;
      }
  ASSERT_TRUE(scale) << text;
  for (int64_t j = 0; j < n; ++j) {
    const auto a = factorOf(column(theirs.output, j), column(ours->output, j));
    const auto g = factorOf(row(theirs.filter, j), row(ours->filter, j));
    const auto b = factorOf(row(theirs.input, j), row(ours->input, j));
    ASSERT_TRUE(a && g && b) << j;
    EXPECT_EQ(*a * *g * *b, *scale) << j;
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, LinalgMatrices,
                         testing::Values(Size{2, 3, {0, -1, 1}}, Size{4, 3, {0, -1, 1, -2, 2}},
                                         Size{2, 5, {0, -1, 1, Rational::fraction(-1, 2), 2}}));

} // namespace
} // namespace sdopt
