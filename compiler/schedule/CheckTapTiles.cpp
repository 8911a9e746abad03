// Where tiles by F(4x4, 3x3) begin, from where their input comes.

#include "compiler/schedule/CheckTapTiles.h"

#include "absl/strings/str_cat.h"

#include <algorithm>

namespace sdopt {
namespace {

constexpr int64_t kSide = 4, kReach = 2; ///< outputs of a tile; inputs beyond them

TensorId ownerOf(const Network &network, TensorId id) {
  while (network.tensors[id].aliasOf != kNone)
    id = network.tensors[id].aliasOf;
  return id;
}

const MatrixLayer *tapLayer(const Layer &layer) {
  const auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
  return matrix && matrix->winograd == WinogradForm::F4x4 ? matrix : nullptr;
}

/// One axis of a command: outputs [first, first + outputs) of `all`, made of inputs [seen, seen +
/// inputs) of `size`.
std::string axisProblem(const char *what, int64_t first, int64_t outputs, int64_t all, int64_t seen,
                        int64_t inputs, int64_t size, int64_t padding) {
  const int64_t end = first + outputs;
  if (first < 0 || end > all)
    return absl::StrCat("makes ", what, "s ", first, "..", end, " of ", all);
  if (first % kSide != 0)
    return absl::StrCat("begins at ", what, " ", first, " of its layer's result; tiles begin at ",
                        "multiples of ", kSide);
  if (end % kSide != 0 && end != all)
    return absl::StrCat("ends at ", what, " ", end, " of ", all, " of its layer's result; only ",
                        "the last tile may be cut");
  const int64_t begin = std::max<int64_t>(first - padding, 0);
  const int64_t last = std::min(end - padding + kReach, size);
  if (seen != begin || seen + inputs != last)
    return absl::StrCat("sees ", what, "s ", seen, "..", seen + inputs, " of its input; needs ",
                        begin, "..", last, " at once");
  return "";
}

} // namespace

TapTiles::TapTiles(const Network &network, const Plan &plan)
    : network_(network), plan_(plan),
      isNeeded_(std::any_of(network.layers.begin(), network.layers.end(),
                            [](const Layer &layer) { return tapLayer(layer) != nullptr; })) {}

std::string TapTiles::check(const Command &command, std::span<const Footprint> footprints) {
  if (!isNeeded_)
    return "";
  const Layer &layer = network_.layers[command.layer];
  if (const auto *conv = std::get_if<ConvCommand>(&command.args); conv && tapLayer(layer))
    if (std::string problem = tileProblem(layer, *conv); !problem.empty())
      return problem;
  for (const Footprint &f : footprints) {
    if (!f.sram || !f.write)
      continue;
    auto piece = pieces_.upper_bound(f.begin);
    if (piece != pieces_.begin() && std::prev(piece)->second.end > f.begin)
      --piece;
    while (piece != pieces_.end() && piece->first < f.end) {
      const auto [begin, old] = *piece;
      piece = pieces_.erase(piece);
      if (begin < f.begin)
        pieces_[begin] = {f.begin, old.load};
      if (old.end > f.end)
        piece = pieces_.insert_or_assign(f.end, Piece{old.end, old.load}).first;
    }
    if (const auto *load = std::get_if<DmaLoad>(&command.args);
        load && load->region == Region::Arena)
      pieces_[f.begin] = {f.end, *load};
  }
  return "";
}

std::string TapTiles::tileProblem(const Layer &layer, const ConvCommand &c) const {
  const MatrixLayer &spec = *tapLayer(layer);
  const auto &x = network_.tensors[layer.inputs[0]].dims, &y = network_.tensors[layer.output].dims;
  const ConvTile &t = c.tile;
  const std::optional<Pixel> pixel = firstPixel(layer, c.input);
  if (!pixel)
    return absl::StrCat("takes input at ", c.input, ", where nothing of its layer's input lies");
  std::string problem = axisProblem("row", pixel->row + spec.padTop - t.padTop, t.outputHeight,
                                    y[1], pixel->row, t.inputHeight, x[1], spec.padTop);
  if (problem.empty())
    problem = axisProblem("column", pixel->column + spec.padLeft - t.padLeft, t.outputWidth, y[2],
                          pixel->column, t.inputWidth, x[2], spec.padLeft);
  return problem;
}

std::optional<TapTiles::Pixel> TapTiles::firstPixel(const Layer &layer, SramOffset input) const {
  const TensorId id = layer.inputs[0];
  const TensorInfo &x = network_.tensors[id];
  std::optional<int64_t> pixel;
  if (const std::optional<int64_t> byte = dramByte(input)) {
    const int64_t at = *byte - plan_.offsets[id];
    if (plan_.offsets[id] == kNowhere || at < 0 || at >= x.bytes())
      return std::nullopt;
    pixel = at / (x.dims[3] * byteWidth(x.type));
  } else {
    pixel = residentPixel(id, input);
  }
  if (!pixel)
    return std::nullopt;
  return Pixel{*pixel / x.dims[2] % x.dims[1], *pixel % x.dims[2]};
}

/// Of the arena, that a load has left there.
std::optional<int64_t> TapTiles::dramByte(SramOffset at) const {
  auto piece = pieces_.upper_bound(at);
  if (piece == pieces_.begin())
    return std::nullopt;
  --piece;
  if (piece->second.end <= at)
    return std::nullopt;
  const DmaLoad &load = piece->second.load;
  const DmaShape &shape = load.shape;
  // It must lie packed in SRAM.
  int64_t stride = shape.runBytes;
  for (size_t i = 3; i-- > 0;) {
    if (shape.counts[i] > 1 && shape.sramStrides[i] != stride)
      return std::nullopt;
    stride *= shape.counts[i];
  }
  int64_t run = (at - load.sram) / shape.runBytes;
  int64_t byte = load.dram + (at - load.sram) % shape.runBytes;
  for (size_t i = 3; i-- > 0;) {
    byte += run % shape.counts[i] * shape.dramStrides[i];
    run /= shape.counts[i];
  }
  return byte;
}

/// Of a tensor that lies there in blocks of channels.
std::optional<int64_t> TapTiles::residentPixel(TensorId id, SramOffset at) const {
  const TensorInfo &x = network_.tensors[id];
  for (size_t i = 0; i < network_.layers.size(); ++i) {
    const SramPlace &place = plan_.layers[i].resident;
    if (place.channels < 1 ||
        ownerOf(network_, network_.layers[i].output) != ownerOf(network_, id) ||
        at < place.offset || at >= place.offset + x.bytes())
      continue;
    const int64_t pixels = x.dims[0] * x.dims[1] * x.dims[2];
    return (at - place.offset) / (place.channels * byteWidth(x.type)) % pixels;
  }
  return std::nullopt;
}

} // namespace sdopt
