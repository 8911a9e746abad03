// The DRAM arena of a module over its layers, as text and as SVG.

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "compiler/package/Package.h"
#include "compiler/schedule/JoinedLayers.h"

#include <algorithm>

namespace sdopt {
namespace {

constexpr char kSymbols[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

char symbolOf(size_t index) { return kSymbols[index % (sizeof(kSymbols) - 1)]; }

/// The tensor whose bytes `id` views. Alias chains in a checked module end, but not every module
/// here has been checked.
size_t ownerOf(const std::vector<TensorInfo> &tensors, size_t id) {
  for (size_t hops = 0; hops < tensors.size() && tensors[id].aliasOf != kNone; ++hops)
    id = static_cast<size_t>(tensors[id].aliasOf);
  return id;
}

/// i-th of `count` equal cuts of [0, size].
int64_t cut(int64_t size, int64_t i, int64_t count) {
  return static_cast<int64_t>(Int128{size} * i / count);
}

/// The symbol that covers most of the cell, '.' where nothing lives.
char cell(const std::vector<ArenaTensor> &all, int64_t firstByte, int64_t lastByte,
          int64_t firstLayer, int64_t lastLayer) {
  char symbol = '.';
  Int128 most = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const ArenaTensor &r = all[i];
    const int64_t bytes = std::min(lastByte, r.offset + r.bytes) - std::max(firstByte, r.offset);
    const int64_t layers =
        std::min(lastLayer, r.lastLayer + 1) - std::max(firstLayer, r.firstLayer);
    const Int128 area = bytes > 0 && layers > 0 ? Int128{bytes} * layers : 0;
    if (area > most) {
      most = area;
      symbol = symbolOf(i);
    }
  }
  return symbol;
}

std::string escaped(const std::string &text) {
  std::string out;
  for (char c : text) {
    switch (c) {
    case '<':
      out += "&lt;";
      break;
    case '>':
      out += "&gt;";
      break;
    case '&':
      out += "&amp;";
      break;
    default:
      out += static_cast<unsigned char>(c) < 32 ? ' ' : c;
    }
  }
  return out;
}

} // namespace

std::vector<ArenaTensor> arenaTensors(const ModuleInfo &module) {
  const Network &network = module.network;
  const Plan &plan = module.plan;
  const auto last = static_cast<int64_t>(network.layers.size()) - 1;
  std::vector<ArenaTensor> all(network.tensors.size());
  for (size_t id = 0; id < all.size(); ++id)
    all[id] = {.tensor = static_cast<TensorId>(id),
               .offset = plan.offsets[id],
               .bytes = network.tensors[id].bytes(),
               .firstLayer = last + 1};
  auto use = [&](size_t id, int64_t first, int64_t end) {
    ArenaTensor &owner = all[ownerOf(network.tensors, id)];
    owner.firstLayer = std::min(owner.firstLayer, first);
    owner.lastLayer = std::max(owner.lastLayer, end);
  };
  for (size_t id = 0; id < all.size(); ++id) {
    if (network.tensors[id].role == TensorRole::Input)
      use(id, 0, 0);
    if (network.tensors[id].role == TensorRole::Output)
      use(id, std::max<int64_t>(last, 0), last);
  }
  // Layers of a group take turns from its first to its last.
  for (size_t lead = 0; lead < network.layers.size(); lead = groupEnd(plan, lead))
    for (size_t i = lead; i < groupEnd(plan, lead); ++i) {
      const auto end = static_cast<int64_t>(groupEnd(plan, lead)) - 1;
      use(static_cast<size_t>(network.layers[i].output), static_cast<int64_t>(lead), end);
      for (TensorId input : network.layers[i].inputs)
        use(static_cast<size_t>(input), static_cast<int64_t>(lead), end);
    }
  for (Phase phase : {Phase::Prompt, Phase::Schedule})
    for (TensorId id : keptTensors(network, phase))
      use(static_cast<size_t>(id), last, last);
  std::erase_if(all, [&](const ArenaTensor &tensor) {
    return network.tensors[tensor.tensor].aliasOf != kNone ||
           tensor.firstLayer > tensor.lastLayer || tensor.offset == kNowhere;
  });
  std::ranges::stable_sort(all, {}, [](const ArenaTensor &tensor) {
    return std::pair(tensor.offset, tensor.firstLayer);
  });
  return all;
}

std::string memoryMapText(const PackageModule &module) {
  constexpr int64_t kWidth = 65, kHeight = 32; // 80 columns with the addresses
  const ModuleInfo &info = module.info;
  const auto layers = static_cast<int64_t>(info.network.layers.size());
  const std::vector<ArenaTensor> all = arenaTensors(info);
  const int64_t arena = info.program.arenaBytes;
  std::string out = absl::StrFormat("module '%s': dram arena of %d bytes over %d layers\n",
                                    info.network.name, arena, layers);
  if (arena == 0 || layers == 0)
    return out;
  const int64_t columns = std::min(layers, kWidth), rows = std::min(arena, kHeight);
  absl::StrAppendFormat(&out, "%12s +%s+\n", "address", std::string(columns, '-'));
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t first = cut(arena, row, rows), last = cut(arena, row + 1, rows);
    absl::StrAppendFormat(&out, "%12d |", first);
    for (int64_t column = 0; column < columns; ++column)
      out.push_back(
          cell(all, first, last, cut(layers, column, columns), cut(layers, column + 1, columns)));
    out += "|\n";
  }
  absl::StrAppendFormat(&out, "%12d +%s+\n", arena, std::string(columns, '-'));
  absl::StrAppendFormat(&out, "%12s  layers 0 to %d, left to right\n\n", "", layers - 1);
  absl::StrAppendFormat(&out, "  %12s %12s %11s  tensor\n", "address", "bytes", "layers");
  for (size_t i = 0; i < all.size(); ++i)
    absl::StrAppendFormat(&out, "%c %12d %12d %5d..%-4d  %.34s\n", symbolOf(i), all[i].offset,
                          all[i].bytes, all[i].firstLayer, all[i].lastLayer,
                          info.network.tensors[all[i].tensor].name);
  return out;
}

std::string memoryMapSvg(const PackageModule &module) {
  constexpr int64_t kWidth = 1200, kHeight = 640, kMargin = 40;
  const ModuleInfo &info = module.info;
  const auto layers = std::max<int64_t>(static_cast<int64_t>(info.network.layers.size()), 1);
  const int64_t arena = std::max<int64_t>(info.program.arenaBytes, 1);
  std::string out = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n",
      kWidth + 2 * kMargin, kHeight + 2 * kMargin);
  absl::StrAppendFormat(&out,
                        "<text x=\"%d\" y=\"24\">%s: DRAM arena, %d bytes (down) over %d "
                        "layers (right)</text>\n",
                        kMargin, escaped(info.network.name), info.program.arenaBytes,
                        info.network.layers.size());
  absl::StrAppendFormat(&out,
                        "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#f4f4f4\" "
                        "stroke=\"#888\"/>\n",
                        kMargin, kMargin, kWidth, kHeight);
  // Hues a golden section apart keep neighbours distinct.
  int64_t hue = 0;
  for (const ArenaTensor &r : arenaTensors(info)) {
    const int64_t x0 = cut(kWidth, r.firstLayer, layers), x1 = cut(kWidth, r.lastLayer + 1, layers);
    const int64_t y0 = cut(kHeight, r.offset, arena), y1 = cut(kHeight, r.offset + r.bytes, arena);
    absl::StrAppendFormat(
        &out,
        "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"hsl(%d,60%%,70%%)\" "
        "stroke=\"#555\" stroke-width=\"0.5\"><title>%s: %d bytes at %d, layers %d to "
        "%d</title></rect>\n",
        kMargin + x0, kMargin + y0, std::max<int64_t>(x1 - x0, 1), std::max<int64_t>(y1 - y0, 1),
        hue, escaped(info.network.tensors[r.tensor].name), r.bytes, r.offset, r.firstLayer,
        r.lastLayer);
    hue = (hue + 222) % 360;
  }
  return out + "</svg>\n";
}

} // namespace sdopt
