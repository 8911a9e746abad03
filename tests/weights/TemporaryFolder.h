//===- TemporaryFolder.h - a folder for one test ----------------*- C++ -*-===//

#ifndef SDOPT_TESTS_WEIGHTS_TEMPORARYFOLDER_H
#define SDOPT_TESTS_WEIGHTS_TEMPORARYFOLDER_H

#include <string>
#include <string_view>
#include <vector>

namespace sdopt {

/// Empty at first, removed with its content at the end.
class TemporaryFolder {
public:
  TemporaryFolder();
  ~TemporaryFolder();
  std::string path(const std::string &file) const { return root_ + "/" + file; }
  /// Writes a file and returns its path.
  std::string file(const std::string &name, std::string_view bytes) const;
  /// Names in the folder, sorted.
  std::vector<std::string> names() const;

private:
  std::string root_;
};

/// `width` bytes of `value`, little endian.
std::string littleEndian(unsigned long long value, int width);

} // namespace sdopt

#endif // SDOPT_TESTS_WEIGHTS_TEMPORARYFOLDER_H
