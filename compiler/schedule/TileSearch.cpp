// Exhaustive search over tile sizes, loop orders and buffers of one layer.

#include "compiler/schedule/TileSearch.h"

#include "compiler/schedule/SramLayout.h"
#include "compiler/schedule/TrafficModel.h"
#include "compiler/schedule/WinogradLayers.h"

#include <tuple>

namespace sdopt {
namespace {

/// Keeps the offers that may still win.
class Selection {
public:
  explicit Selection(const Target &target) : target(target) {}

  bool fits(int64_t sram) {
    least = std::min(least, sram);
    return sram <= target.sram.bytes;
  }
  int64_t limit() const { return best == INT64_MAX ? best : best + best / 16; }

  void offer(const Tiling &tiling, const Estimate &estimate) {
    if (!fits(estimate.cost.sramBytes) || estimate.cycles > limit())
      return;
    best = std::min(best, estimate.cycles);
    offers.push_back({tiling, estimate});
    if (offers.size() >= 4096)
      prune();
  }

  TileChoice choice() {
    prune();
    if (offers.empty())
      return {std::nullopt, least};
    const auto key = [](const Offer &o) {
      return std::make_tuple(o.estimate.cost.dramReadBytes + o.estimate.cost.dramWriteBytes,
                             o.estimate.tiles, o.estimate.cycles);
    };
    const auto first =
        std::min_element(offers.begin(), offers.end(),
                         [&](const Offer &a, const Offer &b) { return key(a) < key(b); });
    return {LayerPlan{first->tiling, first->estimate.cost}, least};
  }

private:
  struct Offer {
    Tiling tiling;
    Estimate estimate;
  };
  void prune() {
    std::erase_if(offers, [&](const Offer &o) { return o.estimate.cycles > limit(); });
  }

  const Target &target;
  int64_t best = INT64_MAX, least = INT64_MAX;
  std::vector<Offer> offers;
};

struct Search {
  const LayerShape &shape;
  const Target &target;
  std::optional<LoopOrder> order;
  Selection selection;

  bool allowed(LoopOrder candidate) const { return !order || *order == candidate; }
  void offer(const Tiling &tiling) { selection.offer(tiling, estimate(shape, tiling, target)); }

  void operator()(const MatrixShape &s);
  void matrixTiles(const MatrixShape &s, Tiling tiling, const std::vector<WindowCut> &rows,
                   const std::vector<WindowCut> &columns);

  void operator()(const RowsShape &s) {
    const std::vector<int64_t> channels =
        s.cutChannels ? tileSizes(s.channels, 32) : std::vector<int64_t>{s.channels};
    for (int64_t c : channels)
      for (int64_t rows : tileSizes(s.rows))
        for (int64_t buffers : {2, 1})
          offer({.height = rows, .outputChannels = c, .inputChannels = c, .buffers = buffers});
  }
  void operator()(const GroupNormShape &s) {
    for (LoopOrder o : {LoopOrder::InputResident, LoopOrder::OutputStationary})
      for (int64_t groups : tileSizes(s.channels / s.channelsPerGroup))
        for (int64_t rows : tileSizes(s.rows))
          for (int64_t buffers : {2, 1}) {
            const int64_t channels = groups * s.channelsPerGroup;
            if (allowed(o))
              offer({.order = o,
                     .height = rows,
                     .outputChannels = channels,
                     .inputChannels = channels,
                     .buffers = buffers});
          }
  }
  void operator()(const AttentionShape &s) {
    for (int64_t keys : tileSizes(s.keys, 32)) {
      const LoopOrder o = keys >= s.keys ? LoopOrder::InputResident : LoopOrder::OutputStationary;
      for (int64_t queries : tileSizes(s.queries, 32))
        for (int64_t buffers : {4, 3, 2, 1})
          if (allowed(o))
            offer({.order = o,
                   .height = queries,
                   .width = keys,
                   .outputChannels = s.headDim,
                   .inputChannels = s.headDim,
                   .buffers = buffers});
    }
  }
  void operator()(const UpsampleShape &s) {
    for (int64_t columns : tileSizes(s.width))
      for (int64_t rows : tileSizes(s.height))
        for (int64_t buffers : {2, 1})
          offer({.height = rows, .width = columns, .buffers = buffers});
  }
  void operator()(const PermuteShape &s) {
    for (int64_t a : tileSizes(s.dims[1]))
      for (int64_t b : tileSizes(s.dims[2]))
        for (int64_t c : tileSizes(s.dims[3]))
          for (int64_t buffers : {2, 1})
            offer({.height = a,
                   .width = b,
                   .outputChannels = c,
                   .inputChannels = c,
                   .buffers = buffers});
  }
  void operator()(const EmbeddingShape &s) {
    for (int64_t tokens : tileSizes(s.tokens))
      for (int64_t buffers : {2, 1})
        offer({.width = tokens, .outputChannels = s.channels, .buffers = buffers});
  }
  void operator()(const TimeEmbeddingShape &s) {
    offer({.height = s.batch, .outputChannels = 2 * s.halfDim, .buffers = 1});
  }
  void operator()(const PoolShape &s) {
    for (int64_t channels : tileSizes(s.channels, 32))
      for (int64_t buffers : {2, 1})
        offer({.width = s.tokens,
               .outputChannels = channels,
               .inputChannels = channels,
               .buffers = buffers});
  }
};

std::vector<WindowCut> cuts(const WindowAxis &axis, int64_t granule) {
  std::vector<WindowCut> result;
  for (int64_t tile : tileSizes(axis.output, granule))
    result.emplace_back(axis, tile);
  return result;
}

void Search::matrixTiles(const MatrixShape &s, Tiling tiling, const std::vector<WindowCut> &rows,
                         const std::vector<WindowCut> &columns) {
  for (const WindowCut &column : columns) {
    tiling.width = column.cut.tile;
    for (const WindowCut &row : rows) {
      tiling.height = row.cut.tile;
      // SRAM grows with the tile.
      if (!selection.fits(sramBytes(s, row, column, tiling, target)))
        break;
      const Estimate e = estimateMatrix(s, row, column, tiling, target, selection.limit());
      if (e.cycles <= selection.limit())
        selection.offer(tiling, e);
    }
  }
}

void Search::operator()(const MatrixShape &s) {
  const int64_t granule = s.winograd ? kWinogradOutputs : 1;
  const std::vector<WindowCut> rows = cuts(s.vertical, granule),
                               columns = cuts(s.horizontal, granule);
  const std::vector<int64_t> outputs = tileSizes(s.outputChannels, target.array.columns);
  const std::vector<int64_t> inputs = tileSizes(s.inputChannels, target.array.rows);
  // The best candidates tend to come late in these lists: an early good one prunes the rest.
  for (int64_t buffers : {4, 3, 2, 1})
    for (LoopOrder o :
         {LoopOrder::InputResident, LoopOrder::WeightResident, LoopOrder::OutputStationary}) {
      if (!allowed(o) || (buffers == 4 && o == LoopOrder::OutputStationary))
        continue;
      for (auto ci = inputs.rbegin(); ci != inputs.rend(); ++ci)
        for (auto co = outputs.rbegin(); co != outputs.rend(); ++co)
          matrixTiles(s,
                      {.order = o, .outputChannels = *co, .inputChannels = *ci, .buffers = buffers},
                      rows, columns);
    }
}

} // namespace

std::vector<int64_t> tileSizes(int64_t size, int64_t granule) {
  std::vector<int64_t> sizes = {size};
  while (sizes.back() > 1) {
    const int64_t most = std::max<int64_t>(sizes.back() * 5 / 6, 1);
    int64_t tile = ceilDiv(size, ceilDiv(size, most));
    if (tile > granule)
      tile = ceilDiv(tile, granule) * granule;
    // Rounding up may come back to where we were.
    if (tile >= sizes.back())
      tile = (sizes.back() - 1) / granule * granule;
    if (tile < 1)
      tile = most;
    sizes.push_back(tile);
  }
  return {sizes.rbegin(), sizes.rend()};
}

TileChoice searchTiles(const LayerShape &shape, const Target &target,
                       std::optional<LoopOrder> order) {
  Search search{shape, target, order, Selection(target)};
  std::visit(search, shape);
  return search.selection.choice();
}

} // namespace sdopt
