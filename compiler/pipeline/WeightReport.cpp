//===- WeightReport.cpp - what the weights of a module take ------------------===//

#include "compiler/pipeline/WeightReport.h"

#include "compiler/package/Package.h"
#include "dialects/sd/FormatNames.h"

#include <cmath>

namespace sdopt {

double bitsPerWeight(int64_t storedBytes, int64_t weights) {
  return weights > 0 ? 8.0 * static_cast<double>(storedBytes) / static_cast<double>(weights) : 0;
}

double storedBitsPerWeight(const ModuleInfo &info, bool rows) {
  int64_t codes = 0, stored = 0;
  for (size_t i = 0; i < info.network.constants.size(); ++i) {
    const ConstantInfo &constant = info.network.constants[i];
    const int64_t bytes = packedBytes(info.network, info.plan, static_cast<ConstantId>(i));
    if (constant.kind == ConstantKind::ChannelParams)
      stored += kScaleBytes * (constant.bytes / static_cast<int64_t>(sizeof(ChannelParams)));
    if (rows && constant.kind == ConstantKind::RowMultipliers)
      stored += constant.bytes;
    if (constant.kind != ConstantKind::Weights && !(rows && constant.kind == ConstantKind::Rows))
      continue;
    if (constant.name.find(kFineSuffix.str() + ".codes") == std::string::npos)
      codes += constant.bytes;
    stored += bytes;
  }
  return bitsPerWeight(stored, codes);
}

void addWeightSizes(const ModuleInfo &info, const std::map<ConstantId, double> &entropies,
                    ModuleReport &report) {
  std::map<std::string, WeightFormReport> forms;
  for (LayerReport &layer : *report.mutable_layers()) {
    const Layer &source = info.network.layers[layer.index()];
    const auto *matrix = std::get_if<MatrixLayer>(&source.spec);
    if (!matrix)
      continue;
    const ConstantInfo &weights = info.network.constants[matrix->weights];
    int64_t streams = 0, plain = 0;
    for (const WeightBlock &block :
         weightBlocks(info.network, source, info.plan.layers[layer.index()].tiling)) {
      streams += block.bytes;
      plain += storedBytes(weights.form, block.extent);
    }
    layer.set_weight_stream_bytes(streams);
    layer.set_plain_weight_bytes(plain);
    if (auto entropy = entropies.find(matrix->weights); entropy != entropies.end())
      layer.set_weight_entropy_bytes(std::llround(entropy->second));
    WeightFormReport &sum = forms[layer.weight_form()];
    sum.set_form(layer.weight_form());
    sum.set_layers(sum.layers() + 1);
    sum.set_weights(sum.weights() + weights.bytes);
    sum.set_stream_bytes(sum.stream_bytes() + streams);
    sum.set_plain_bytes(sum.plain_bytes() + plain);
    sum.set_entropy_bytes(sum.entropy_bytes() + layer.weight_entropy_bytes());
  }
  report.clear_weight_forms();
  for (auto &[form, sum] : forms)
    *report.add_weight_forms() = std::move(sum);
}

} // namespace sdopt
