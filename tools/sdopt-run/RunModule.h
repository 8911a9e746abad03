//===- RunModule.h - recorded samples through one module --------*- C++ -*-===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_RUNMODULE_H
#define SDOPT_TOOLS_SDOPT_RUN_RUNMODULE_H

#include "absl/status/status.h"
#include "compiler/kernels/Tensor.h"

#include <string>

namespace sdopt {

struct RunModuleOptions {
  std::string package;
  std::string module;
  std::string inputs;      ///< .safetensors or .npz
  std::string output;      ///< .safetensors; empty: none
  std::string trace;       ///< Chrome trace of the first record; empty: none
  int threads = 0;         ///< 0: as many as the machine has
  int64_t memoryLimit = 0; ///< bytes that may be resident; 0: any
};

/// Prints cycles, bytes and energy of one run, and the PSNR of each output that the input file has
/// recorded.
absl::Status runModuleCommand(const RunModuleOptions &options);

/// 20 log10(max|reference| / RMSE), dB; infinite if equal. Both F32 of one shape.
double peakSignalToNoise(const Tensor &reference, const Tensor &value);

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_RUNMODULE_H
