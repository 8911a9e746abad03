//===- NvdlaSheet.h - the published performance rule of NVDLA ---*- C++ -*-===//
//
// The rule of the performance sheet that NVDLA was published with (github.com/nvdla/hw,
// perf/NVDLA_OpenSource_Performance.xlsx), for a machine without a second memory: a layer takes as
// long as its products or its bytes, whichever is longer; layers follow each other. Written anew
// from the formulas of its sheet "ResNet50"; the layers are those of the network's publication (He,
// Zhang, Ren, Sun, CVPR 2016), with the strides where the sheet has them.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TESTS_BENCHMARK_NVDLASHEET_H
#define SDOPT_TESTS_BENCHMARK_NVDLASHEET_H

#include <cstdint>
#include <string>
#include <vector>

namespace sdopt {

/// A square convolution, or a linear layer (size 1), as the sheet has them: additions and pooling
/// are done on the way of the results and cost what they move.
struct SheetLayer {
  std::string name;
  int64_t inputs, size, outputs; ///< channels; height and width of the input
  int64_t kernel = 1, stride = 1;
  int64_t pooled = 0; ///< height and width after pooling; 0: none
  bool adds = false;  ///< another tensor of the output's size
  int64_t outputSize() const { return (size + stride - 1) / stride; }
  bool isLinear() const { return size == 1; }
  /// By F(2x2, 3x3), whatever the size.
  bool isWinograd() const { return kernel == 3 && stride == 1; }
};

/// As published.
std::vector<SheetLayer> resNet50();
/// As the sheet has it: res2a_2a takes 256 channels there, not 64.
std::vector<SheetLayer> sheetResNet50();

struct SheetMachine {
  int64_t multipliers = 2048;
  int64_t kibibytes = 512; ///< convolution buffer
  double gigabytes = 10;   ///< 10^9 bytes per second of DRAM, both ways together
};

/// What the sheet holds to be so; each can be changed to see what it is worth.
struct SheetRule {
  double kibibyte = 1000;      ///< bytes of a KiB where it divides by bytes per second
  int64_t outputGranule = 128; ///< output channels are rounded up to
  bool foldsWeights = true;    ///< a stride becomes channels, and a 1x1 kernel of stride 2 2x2
  bool growsWeights = true;    ///< Winograd: 16 weights for 9 in DRAM
  bool fuses = true;           ///< additions and pooling are done on the way of the results
  bool batchesWeights = false; ///< of a linear layer: once for kLinearBatch pictures
};

/// Pictures of a linear layer at a time. The sheet divides its products by it, not its bytes.
inline constexpr int64_t kLinearBatch = 16;

struct SheetCost {
  bool inputStays = false; ///< in parts, and weights come once for each; else the other way round
  double kibibytes = 0;    ///< of DRAM
  double dramCycles = 0, arrayCycles = 0; ///< at 1 GHz
  double cycles() const { return dramCycles > arrayCycles ? dramCycles : arrayCycles; }
};

SheetCost sheetCost(const SheetLayer &layer, const SheetMachine &machine,
                    const SheetRule &rule = {});

/// Sum of cycles(), in ms.
double sheetMilliseconds(const std::vector<SheetLayer> &layers, const SheetMachine &machine,
                         const SheetRule &rule = {});

/// A row of the table in NVDLA's primer (nvdla.org/primer.html): ResNet-50, int8, 1 GHz.
struct PrimerRow {
  SheetMachine machine;
  double pictures; ///< per second
};
const std::vector<PrimerRow> &primerTable();

/// A GB/s of the sheet, in bytes per second: it divides KiB by GB/s and multiplies with MHz.
inline constexpr double kSheetGigabyte = 1024e6;

/// What the sheet says for SheetMachine().
inline constexpr double kSheetMilliseconds = 7.113691;

} // namespace sdopt

#endif // SDOPT_TESTS_BENCHMARK_NVDLASHEET_H
