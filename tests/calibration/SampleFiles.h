//===- SampleFiles.h - sample files for tests -------------------*- C++ -*-===//

#ifndef SDOPT_TESTS_CALIBRATION_SAMPLEFILES_H
#define SDOPT_TESTS_CALIBRATION_SAMPLEFILES_H

#include "compiler/calibration/Samples.h"
#include "compiler/weights/Safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sdopt::test {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// Writes tensors to a file of the running test and opens it.
inline SampleFile sampleFile(const std::string &name, const NamedTensors &tensors) {
  const auto *test = ::testing::UnitTest::GetInstance()->current_test_info();
  std::string file = std::string(test->test_suite_name()) + "." + test->name() + "." + name;
  std::replace(file.begin(), file.end(), '/', '.'); // names of parameterized tests
  std::string path = ::testing::TempDir() + file + ".safetensors";
  EXPECT_TRUE(writeSafetensors(path, tensors).ok());
  absl::StatusOr<SampleFile> opened = SampleFile::open(path);
  EXPECT_TRUE(opened.ok()) << opened.status();
  return *opened;
}

/// 0, 1, 2, ...
template <typename T> Tensor counting(Shape shape) {
  Tensor tensor(elementTypeOf<T>(), std::move(shape));
  T next = 0;
  for (T &value : tensor.template mutableValues<T>())
    value = next++;
  return tensor;
}

} // namespace sdopt::test

#endif // SDOPT_TESTS_CALIBRATION_SAMPLEFILES_H
