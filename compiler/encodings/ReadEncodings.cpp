//===- ReadEncodings.cpp - AIMET encodings files ------------------------------===//

#include "compiler/encodings/Encodings.h"
#include "compiler/files/WholeFile.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

namespace sdopt {

namespace {

using Json = nlohmann::json;

/// A number or a list of them.
std::optional<std::vector<double>> numbers(const Json &value) {
  if (value.is_number())
    return std::vector<double>{value.get<double>()};
  std::vector<double> list;
  if (!value.is_array())
    return std::nullopt;
  for (const Json &entry : value) {
    if (!entry.is_number())
      return std::nullopt;
    list.push_back(entry.get<double>());
  }
  return list;
}

class Reader {
public:
  explicit Reader(const std::string &origin) { formats_.origin = origin; }

  absl::StatusOr<ImposedFormats> read(const Json &file) {
    if (!file.is_object())
      return absl::InvalidArgumentError(absl::StrCat("'", formats_.origin, "' is not JSON"));
    std::string version = "0.4.0";
    if (auto found = file.find("version"); found != file.end() && found->is_string())
      version = found->get<std::string>();
    if (absl::StartsWith(version, "0."))
      readObjects(file);
    else if (version == "1.0.0")
      readLists(file);
    else if (version == "2.0.0")
      readFlatList(file);
    else
      return absl::UnimplementedError(
          absl::StrCat("'", formats_.origin, "': version ", version,
                       " of encodings; 0.4.0 to 0.6.1, 1.0.0 and 2.0.0 are supported"));
    if (!errors_.empty())
      return absl::InvalidArgumentError(absl::StrCat("'", formats_.origin, "': ", errors_));
    return std::move(formats_);
  }

private:
  void error(const std::string &name, const std::string &text) {
    if (++errorCount_ <= 20)
      absl::StrAppend(&errors_, errors_.empty() ? "" : "; ", "'", name, "' ", text);
  }

  void keep(const std::string &name, ImposedFormat format) {
    if (format.bits < 2 || format.bits > 32)
      return error(name, absl::StrCat("has ", format.bits, " bits"));
    if (format.scales.empty() || format.scales.size() != format.zeroPoints.size())
      return error(name, "needs as many offsets as scales, at least one");
    for (double scale : format.scales)
      if (!(scale > 0) || !std::isfinite(static_cast<float>(scale)) ||
          !std::isnormal(static_cast<float>(scale)))
        return error(name, "has a scale that is not a positive number");
    if (!formats_.tensors.try_emplace(name, std::move(format)).second)
      error(name, "is given twice");
  }

  /// `offset` + code from 0 -> zero point of signed codes. Symmetric ones are written with several
  /// offsets.
  std::optional<int64_t> zeroPoint(double offset, int bits, bool symmetric) {
    if (symmetric)
      return 0;
    if (offset != std::floor(offset) || std::fabs(offset) > std::ldexp(1.0, 32))
      return std::nullopt;
    return -static_cast<int64_t>(offset) - (int64_t(1) << (bits - 1));
  }

  static bool isTrue(const Json &value) {
    return value.is_boolean() ? value.get<bool>() : value == "True" || value == "true";
  }

  void readObjects(const Json &file) {
    for (const char *section : {"activation_encodings", "param_encodings"}) {
      auto found = file.find(section);
      if (found == file.end() || !found->is_object()) {
        error(section, "must be an object of tensor names");
        continue;
      }
      for (const auto &[name, list] : found->items())
        readObject(name, list);
    }
  }

  void readObject(const std::string &name, const Json &list) {
    if (!list.is_array() || list.empty())
      return error(name, "must be a list of encodings");
    ImposedFormat format;
    for (const Json &entry : list) {
      if (!entry.is_object())
        return error(name, "must be a list of encodings");
      if (entry.value("dtype", Json("int")) == "float")
        return;
      auto bits = entry.find("bitwidth"), scale = entry.find("scale"),
           offset = entry.find("offset");
      if (bits == entry.end() || !bits->is_number_integer() || scale == entry.end() ||
          !scale->is_number() || offset == entry.end() || !offset->is_number())
        return error(name, "needs bitwidth, scale and offset");
      format.bits = static_cast<int>(std::clamp<int64_t>(bits->get<int64_t>(), 0, 64));
      auto symmetric = entry.find("is_symmetric");
      std::optional<int64_t> zero = zeroPoint(offset->get<double>(), std::clamp(format.bits, 1, 32),
                                              symmetric != entry.end() && isTrue(*symmetric));
      if (!zero)
        return error(name, "has an offset that is no integer");
      format.scales.push_back(scale->get<double>());
      format.zeroPoints.push_back(*zero);
    }
    keep(name, std::move(format));
  }

  /// Calls `read` for each named object of a list.
  void each(const Json &file, const char *section,
            const std::function<void(const std::string &, const Json &)> &read) {
    auto found = file.find(section);
    if (found == file.end() || !found->is_array())
      return error(section, "must be a list of encodings");
    for (const Json &entry : *found) {
      auto name = entry.is_object() ? entry.find("name") : entry.end();
      if (!entry.is_object() || name == entry.end() || !name->is_string())
        error(section, "has an entry without a name");
      else
        read(name->get<std::string>(), entry);
    }
  }

  void readLists(const Json &file) {
    for (const char *section : {"activation_encodings", "param_encodings"})
      each(file, section,
           [this](const std::string &name, const Json &entry) { readListed(name, entry); });
  }

  void readListed(const std::string &name, const Json &entry) {
    if (entry.value("dtype", Json("INT")) == "FLOAT")
      return;
    Json type = entry.value("enc_type", Json("PER_TENSOR"));
    if (type != "PER_TENSOR" && type != "PER_CHANNEL")
      return error(name, absl::StrCat("is of type ", type.dump(),
                                      "; PER_TENSOR and PER_CHANNEL are supported"));
    auto bits = entry.find("bw"), scale = entry.find("scale"), offset = entry.find("offset");
    auto symmetric = entry.find("is_sym");
    bool isSymmetric = symmetric != entry.end() && isTrue(*symmetric);
    if (bits == entry.end() || !bits->is_number_integer() || scale == entry.end() ||
        (offset == entry.end() && !isSymmetric))
      return error(name, "needs bw, scale and offset");
    std::optional<std::vector<double>> scales = numbers(*scale);
    std::optional<std::vector<double>> offsets =
        offset == entry.end() ? std::vector<double>(scales ? scales->size() : 0) : numbers(*offset);
    if (!scales || !offsets || scales->size() != offsets->size())
      return error(name, "needs as many offsets as scales, in lists of numbers");
    ImposedFormat format;
    format.bits = static_cast<int>(std::clamp<int64_t>(bits->get<int64_t>(), 0, 64));
    format.scales = *std::move(scales);
    for (double value : *offsets) {
      std::optional<int64_t> zero = zeroPoint(value, std::clamp(format.bits, 1, 32), isSymmetric);
      if (!zero)
        return error(name, "has an offset that is no integer");
      format.zeroPoints.push_back(*zero);
    }
    keep(name, std::move(format));
  }

  void readFlatList(const Json &file) {
    each(file, "encodings",
         [this](const std::string &name, const Json &entry) { readFlat(name, entry); });
  }

  void readFlat(const std::string &name, const Json &entry) {
    Json type = entry.value("output_dtype", Json());
    std::string text = type.is_string() ? type.get<std::string>() : std::string();
    if (absl::StartsWith(text, "float"))
      return;
    bool isSigned = absl::StartsWith(text, "int");
    std::string width = absl::StartsWith(text, "uint") ? text.substr(4)
                        : isSigned                     ? text.substr(3)
                                                       : std::string();
    if (width.empty() || width.size() > 2 ||
        width.find_first_not_of("0123456789") != std::string::npos)
      return error(name, absl::StrCat("has the output_dtype ", type.dump()));
    if (entry.contains("block_size") || entry.contains("per_block_int_scale"))
      return error(name, "has scales of blocks; one scale, or one for each channel is supported");
    auto scale = entry.find("y_scale"), zero = entry.find("y_zero_point");
    std::optional<std::vector<double>> scales =
        scale == entry.end() ? std::nullopt : numbers(*scale);
    if (!scales)
      return error(name, "needs y_scale, a number or a list of numbers");
    std::optional<std::vector<double>> zeros = std::vector<double>(scales->size());
    if (zero != entry.end() && !zero->is_null())
      zeros = numbers(*zero);
    if (!zeros || zeros->size() != scales->size())
      return error(name, "needs as many zero points as scales");
    ImposedFormat format;
    format.bits = std::stoi(width);
    if (auto axis = entry.find("axis"); axis != entry.end() && axis->is_number_integer())
      format.axis = axis->get<int64_t>();
    format.scales = *std::move(scales);
    if (format.bits < 2 || format.bits > 32)
      return error(name, absl::StrCat("has the output_dtype ", type.dump()));
    for (double value : *zeros) {
      if (value != std::floor(value) || std::fabs(value) > std::ldexp(1.0, 32))
        return error(name, "has a zero point that is no integer");
      format.zeroPoints.push_back(static_cast<int64_t>(value) -
                                  (isSigned ? 0 : int64_t(1) << (format.bits - 1)));
    }
    keep(name, std::move(format));
  }

  ImposedFormats formats_;
  std::string errors_;
  int errorCount_ = 0;
};

} // namespace

absl::StatusOr<ImposedFormats> parseEncodings(const std::string &text, const std::string &origin) {
  return Reader(origin).read(Json::parse(text, nullptr, /*allow_exceptions=*/false));
}

absl::StatusOr<ImposedFormats> readEncodings(const std::string &path) {
  absl::StatusOr<std::string> text = readFile(path);
  return text.ok() ? parseEncodings(*text, path) : text.status();
}

} // namespace sdopt
