//===- Compiling.h - whole compilations for tests ---------------*- C++ -*-===//

#ifndef SDOPT_TESTS_PIPELINE_COMPILING_H
#define SDOPT_TESTS_PIPELINE_COMPILING_H

#include "compiler/package/Package.h"
#include "compiler/pipeline/Pipeline.h"

#include "gtest/gtest.h"

#include <functional>
#include <string>
#include <vector>

namespace sdopt::test {

/// The recorded pipeline in testdata.
inline constexpr const char *kFloatExport = "opset17-fp32";
inline constexpr const char *kHalfExport = "opset20-fp16";
/// Its modules that compile within a second.
std::vector<std::string> smallModules();

std::string modelFolder(const std::string &exported = kFloatExport);
std::string samplesFolder();

/// Options that read testdata and write `folder`/p.sdnpu and `folder`/report.
CompileOptions optionsFor(const std::string &folder, const std::vector<std::string> &modules);

/// compile() without messages; a failure is a failure of the test and gives an empty result.
CompileResult compiled(const CompileOptions &options);

/// The message as a string that tests can search.
inline std::string textOf(const absl::Status &status) { return std::string(status.message()); }

/// The whole file; a missing one is a failure of the test.
std::string bytesOf(const std::string &file);

/// Expects the same package and report in both folders, to the byte.
void expectSameOutputs(const std::string &folder, const std::string &other);

/// Expects the outputs of `options(place)` whatever the number of threads and the instructions of
/// the processor, and when restarted from what it leaves in `stages` after quantization.
void expectNothingElseDecides(
    const std::string &stages,
    const std::function<CompileOptions(const std::string &place)> &options);

/// Writes the samples of `module` to `folder`, cut to a few calls spread evenly.
void writeFewSamples(const std::string &folder, const std::string &module, int64_t calls);

/// The report of a module; the test fails if there is none.
const ModuleReport &moduleOf(const Report &report, const std::string &name);

} // namespace sdopt::test

#endif // SDOPT_TESTS_PIPELINE_COMPILING_H
