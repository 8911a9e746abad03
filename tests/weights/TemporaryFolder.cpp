//===- TemporaryFolder.cpp - a folder for one test --------------------------===//

#include "tests/weights/TemporaryFolder.h"

#include "gtest/gtest.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace sdopt {

TemporaryFolder::TemporaryFolder() {
  std::string pattern = testing::TempDir() + "sdopt-weights-XXXXXX";
  root_ = ::mkdtemp(pattern.data());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(root_, ignored);
}

std::string TemporaryFolder::file(const std::string &name, std::string_view bytes) const {
  std::ofstream stream(path(name), std::ios::binary);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path(name);
}

std::vector<std::string> TemporaryFolder::names() const {
  std::vector<std::string> names;
  for (const auto &entry : std::filesystem::directory_iterator(root_))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

std::string littleEndian(unsigned long long value, int width) {
  std::string bytes;
  for (int i = 0; i < width; ++i)
    bytes += i < 8 ? static_cast<char>(value >> (8 * i)) : '\0';
  return bytes;
}

} // namespace sdopt
