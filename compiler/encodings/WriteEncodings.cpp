//===- WriteEncodings.cpp - AIMET encodings files -----------------------------===//

#include "compiler/encodings/Encodings.h"

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

#include <algorithm>

namespace sdopt {

namespace {

using Json = nlohmann::ordered_json;

bool isSymmetric(const ImposedFormat &format) {
  return std::all_of(format.zeroPoints.begin(), format.zeroPoints.end(),
                     [](int64_t zero) { return zero == 0; });
}

/// 8-bit activations are asymmetric, even where their zero point is 0.
bool isSymmetric(const ImposedFormat &format, bool isWeight) {
  return isSymmetric(format) && (isWeight || format.bits == 16);
}

Json listed(const std::string &name, const ImposedFormat &format, bool isWeight) {
  Json offsets = Json::array();
  for (int64_t zero : format.zeroPoints)
    offsets.push_back(-zero - (int64_t(1) << (format.bits - 1)));
  return {{"name", name},
          {"enc_type", isWeight ? "PER_CHANNEL" : "PER_TENSOR"},
          {"dtype", "INT"},
          {"bw", format.bits},
          {"is_sym", isSymmetric(format, isWeight)},
          {"scale", format.scales},
          {"offset", offsets}};
}

Json flat(const std::string &name, const ImposedFormat &format, bool isWeight) {
  Json entry = {{"name", name}, {"output_dtype", absl::StrCat("int", format.bits)}};
  if (isWeight) {
    entry["y_scale"] = format.scales;
    if (format.axis)
      entry["axis"] = *format.axis;
    return entry;
  }
  entry["y_scale"] = format.scales.front();
  if (!isSymmetric(format, isWeight))
    entry["y_zero_point"] = format.zeroPoints.front();
  return entry;
}

} // namespace

std::string encodingsText(const ImposedFormats &formats, const std::set<std::string> &weights,
                          EncodingsVersion version) {
  Json activations = Json::array(), parameters = Json::array(), all = Json::array();
  for (const auto &[name, format] : formats.tensors) {
    bool isWeight = weights.count(name) > 0;
    if (version == EncodingsVersion::V2)
      all.push_back(flat(name, format, isWeight));
    else
      (isWeight ? parameters : activations).push_back(listed(name, format, isWeight));
  }
  Json file = {{"version", "2.0.0"}, {"encodings", all}};
  if (version == EncodingsVersion::V1)
    file = {{"version", "1.0.0"},
            {"activation_encodings", activations},
            {"param_encodings", parameters},
            {"excluded_layers", Json::array()}};
  return file.dump(1) + "\n";
}

} // namespace sdopt
