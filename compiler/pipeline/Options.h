//===- Options.h - everything a compilation is asked ------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_OPTIONS_H
#define SDOPT_COMPILER_PIPELINE_OPTIONS_H

#include "absl/status/status.h"
#include "compiler/encodings/Encodings.h"
#include "compiler/kernels/Tensor.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sdopt {

/// Named points of the pipeline; after each one a module can be stopped and restarted. What they
/// run, in order:
///   import      ONNX to sd
///   normalize   the pipeline sdopt-normalize
///   calibrate   sdopt-prune if the recipe asks for it, then statistics of the samples
///   quantize    split-concat-scales, smooth, impose-codebooks, widths, round, quantize; measured
///   lower       lower-to-npu
///   schedule    hoist, winograd, store, schedule
///   emit        the package; then the simulator on it, and --verify
enum class Stage : uint8_t { Import, Normalize, Calibrate, Quantize, Lower, Schedule, Emit };
const char *name(Stage stage);
/// "import", "normalize", ... or an error that lists them.
absl::Status parseStage(const std::string &text, Stage &stage);

/// How the lossless part is checked.
enum class VerifyMode : uint8_t {
  Off,
  Fast, ///< evaluator with the fast kernels against each later stage and the simulator
  Spec, ///< the same with the naive kernels of docs/spec.md
};

/// Options of one compilation. Plain data: `validate` rejects contradictions.
inline constexpr int kUsualSteps = 50;

struct CompileOptions {
  std::string model;  ///< folder in diffusers/optimum layout, or one .onnx file
  std::string output; ///< .sdnpu
  std::string target = "mobile";
  std::string recipe = "w8a16";
  std::string samples;                 ///< folder with <module>_calibration and <module>_test
  std::vector<std::string> statistics; ///< <module>.pb files to use instead of calibrating
  std::string statisticsOut;           ///< folder that gets <module>.pb
  std::vector<std::string> masks;      ///< <module>.safetensors: zeros of weights, not chosen here
  std::string masksOut;                ///< folder that gets <module>.safetensors
  std::vector<std::string> codebooks;  ///< <module>.safetensors: shared weights, not chosen here
  std::string codebooksOut;            ///< folder that gets <module>.safetensors
  std::string reportFolder;            ///< gets report.html and report.json
  std::string stageFolder;             ///< snapshots for stop and restart
  std::optional<Stage> stopAfter, startFrom;
  std::vector<std::string> modules; ///< compile only these
  /// "unet.sample" -> shape.
  std::map<std::string, Shape> inputShapes;
  std::map<std::string, int64_t> dimensions; ///< of symbolic dimensions, for all modules
  std::optional<int64_t> batch;              ///< of text encoder and UNet; default 2 (guidance)
  VerifyMode verify = VerifyMode::Off;
  int64_t verifySamples = 2;
  std::optional<int> threads; ///< default: as many as the machine has
  int64_t memoryLimit = 0;    ///< bytes that the process may have resident; 0: any
  /// Denoising steps of a picture: their schedule is in the package, the reported rates are for
  /// them. Without, any schedule runs, and rates are for kUsualSteps.
  std::optional<int> steps;
  std::string gates;
  std::string baseline; ///< report.json to compare with
  std::string depfile;
  std::vector<std::string> encodings; ///< MODULE.encodings files whose formats are imposed
  std::string encodingsFolder;        ///< gets MODULE.encodings
  EncodingsVersion encodingsVersion = EncodingsVersion::V2;
  std::string exportFolder; ///< gets MODULE/model.onnx with QuantizeLinear, DequantizeLinear
  bool printInputs = false;
  std::string budget;             ///< "4.5bit", "40dB": instead of the recipe's
  std::string sensitivityFolder;  ///< gets and gives <module>-*.sensitivity.pb
  int64_t sensitivitySamples = 4; ///< calibration samples that each layer's error is measured on
  /// "sram=512KiB..8MiB": what other targets would cost, instead of a package (Sweep.h).
  std::string sweep;
  std::string explain; ///< pattern of layers whose settings are wanted, and nothing else
  bool quiet = false;
};

/// INVALID_ARGUMENT naming both flags of a contradiction.
absl::Status validate(const CompileOptions &options);

/// Where messages for people go. Called from one thread.
struct Messages {
  std::function<void(std::string_view)> progress; ///< one line, may replace the last one
  std::function<void(std::string_view)> line;     ///< stays
  std::function<void(std::string_view)> warning;  ///< not to be missed
};

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_OPTIONS_H
