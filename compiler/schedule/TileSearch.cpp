// Exhaustive search over tile sizes, loop orders and buffers of one layer.

#include "compiler/schedule/TileSearch.h"

#include "compiler/schedule/SramLayout.h"
#include "compiler/schedule/TrafficModel.h"
#include "compiler/schedule/WinogradLayers.h"

#include <limits>
#include <map>
#include <tuple>

namespace sdopt {
namespace {

/// Every tile size that the other sizes of an axis do not beat: the smallest for each number of
/// tiles.
std::vector<int64_t> allSizes(int64_t size) {
  std::vector<int64_t> sizes;
  for (int64_t tile = size; tile > 0; tile = tile > 1 ? ceilDiv(size, ceilDiv(size, tile - 1)) : 0)
    sizes.push_back(tile);
  return {sizes.rbegin(), sizes.rend()};
}

/// The same, and the next multiples of `granule`.
std::vector<int64_t> allSizes(int64_t size, int64_t granule) {
  std::vector<int64_t> sizes = allSizes(size);
  for (size_t i = 0, count = sizes.size(); i < count; ++i)
    if (sizes[i] > granule)
      sizes.push_back(std::min(ceilDiv(sizes[i], granule) * granule, size));
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

std::vector<int64_t> divisors(int64_t size) {
  std::vector<int64_t> all;
  for (int64_t i = 1; i <= size; ++i)
    if (size % i == 0)
      all.push_back(i);
  return all;
}

/// Keeps the offers that may still win.
class Selection {
public:
  Selection(const Target &target, const SearchOptions &options)
      : target(target), objective(options.objective),
        cycleSlack(std::max<int64_t>(options.cycleSlack, 1)) {}

  bool fits(int64_t sram) {
    least = std::min(least, sram);
    return sram <= target.sram.bytes;
  }
  /// Can nothing win that moves so many bytes, or more, in so many cycles, or more?
  bool isBeaten(int64_t bytes, int64_t cycles) const {
    // By traffic, cycles come first among what is left; by time, fewer tiles may.
    const bool byTraffic = objective == Objective::Traffic;
    return cycles > cycleLimit() || bytes > byteLimit() ||
           std::any_of(offers.begin(), offers.end(), [&](const Offer &o) {
             return (o.bytes() < bytes && o.estimate.cycles <= cycles) ||
                    (byTraffic && o.bytes() == bytes && o.estimate.cycles < cycles);
           });
  }
  int64_t cycleLimit() const {
    return objective == Objective::Time ? withSlack(bestCycles, cycleSlack) : INT64_MAX;
  }
  int64_t byteLimit() const {
    return objective == Objective::Traffic ? withSlack(bestBytes, kByteSlack) : INT64_MAX;
  }

  void offer(const Tiling &tiling, const Estimate &estimate) {
    const Offer candidate = {tiling, estimate};
    if (!fits(estimate.cost.sramBytes) || isBeaten(candidate.bytes(), estimate.cycles) ||
        std::any_of(offers.begin(), offers.end(),
                    [&](const Offer &o) { return o.isNoWorse(candidate); }))
      return;
    bestCycles = std::min(bestCycles, estimate.cycles);
    bestBytes = std::min(bestBytes, candidate.bytes());
    std::erase_if(offers, [&](const Offer &o) {
      return o.estimate.cycles > cycleLimit() || o.bytes() > byteLimit() || candidate.isNoWorse(o);
    });
    offers.push_back(candidate);
  }

  TileChoice choice() {
    double best = std::numeric_limits<double>::infinity();
    for (const Offer &o : offers)
      best = std::min(best, timeScore(o.estimate));
    const auto key = [&](const Offer &o) {
      if (objective == Objective::Traffic)
        return std::tuple(static_cast<double>(o.estimate.cycles), o.bytes(), o.estimate.tiles);
      const double score = timeScore(o.estimate);
      return std::tuple(score > best + best / kScoreSlack ? score : 0.0, o.estimate.tiles,
                        o.estimate.cycles);
    };
    const Offer *first = nullptr;
    for (const Offer &o : offers)
      if (!first || key(o) < key(*first))
        first = &o;
    if (!first)
      return {std::nullopt, least};
    return {LayerPlan{first->tiling, first->estimate.cost}, least};
  }

private:
  struct Offer {
    Tiling tiling;
    Estimate estimate;
    int64_t bytes() const { return estimate.cost.dramReadBytes + estimate.cost.dramWriteBytes; }
    bool isNoWorse(const Offer &o) const {
      return bytes() <= o.bytes() && estimate.cycles <= o.estimate.cycles &&
             estimate.tiles <= o.estimate.tiles;
    }
  };
  static constexpr int64_t kByteSlack = 128;

  static int64_t withSlack(int64_t best, int64_t part) {
    return best == INT64_MAX ? best : best + best / part;
  }

  const Target &target;
  const Objective objective;
  const int64_t cycleSlack;
  int64_t bestCycles = INT64_MAX, bestBytes = INT64_MAX, least = INT64_MAX;
  std::vector<Offer> offers; ///< of which none is worse than another in all
};

struct Search {
  const LayerShape &shape;
  const Target &target;
  const SearchOptions &options;
  Selection selection;

  void offer(const Tiling &tiling) {
    if (bufferLevel(tiling) >= std::min(options.leastBuffers, int64_t{2}))
      selection.offer(tiling, estimate(shape, tiling, target));
  }

  /// Sizes of an axis whose tiles bring bytes in anew.
  std::vector<int64_t> sizes(int64_t size, int64_t granule = 1) const {
    return options.objective == Objective::Traffic ? allSizes(size, granule)
                                                   : tileSizes(size, granule);
  }

  /// Sizes of an axis of pixels, those between tiles of Winograd's outputs at best.
  std::vector<int64_t> pixelSizes(int64_t size, WinogradForm form) const {
    const int64_t granule = workOf(form).outputs;
    std::vector<int64_t> all = sizes(size, granule);
    if (workOf(form).isLossy) {
      for (int64_t &tile : all)
        tile = std::min(ceilDiv(tile, granule) * granule, size);
      all.erase(std::unique(all.begin(), all.end()), all.end());
    }
    return all;
  }

  void operator()(const MatrixShape &s);

  void operator()(const RowsShape &s) {
    std::vector<int64_t> channels =
        s.cutChannels ? tileSizes(s.channels, 32) : std::vector<int64_t>{s.channels};
    if (!s.channelTiles.empty())
      channels = s.channelTiles;
    for (int64_t c : channels)
      for (int64_t rows : tileSizes(s.rows))
        for (int64_t buffers : {2, 1})
          offer({.height = rows, .outputChannels = c, .inputChannels = c, .buffers = buffers});
  }
  void operator()(const GroupNormShape &s) {
    std::vector<int64_t> tiles = s.channelTiles;
    if (tiles.empty())
      for (int64_t groups : tileSizes(s.channels / s.channelsPerGroup))
        tiles.push_back(groups * s.channelsPerGroup);
    for (LoopOrder o : {LoopOrder::InputResident, LoopOrder::OutputStationary})
      for (int64_t channels : tiles)
        for (int64_t rows : tileSizes(s.rows))
          for (int64_t buffers : {2, 1}) {
            offer({.order = o,
                   .height = rows,
                   .outputChannels = channels,
                   .inputChannels = channels,
                   .buffers = buffers});
          }
  }
  void operator()(const AttentionShape &s) {
    std::vector<int64_t> queries = sizes(s.queries, 32);
    std::reverse(queries.begin(), queries.end());
    for (int64_t keys : tileSizes(s.keys, 32))
      for (LoopOrder o :
           {LoopOrder::InputResident, LoopOrder::WeightResident, LoopOrder::OutputStationary})
        for (int64_t heads : divisors(s.heads))
          for (int64_t buffers : {4, 3, 2, 1}) {
            if ((keys >= s.keys) != (o == LoopOrder::InputResident))
              continue;
            for (int64_t height : queries) {
              const Tiling t{.order = o,
                             .height = height,
                             .width = keys,
                             .outputChannels = heads * s.headDim,
                             .inputChannels = s.headDim,
                             .buffers = buffers};
              if (headsTogether(s, t) != heads ||
                  !selection.fits(layoutOf(s, t, target.sram.alignment).bytes))
                continue;
              offer(t);
              // Fewer queries read keys and values more often.
              if (options.objective == Objective::Traffic)
                break;
            }
          }
  }
  void operator()(const UpsampleShape &s) {
    for (int64_t columns : s.isInputResident ? std::vector{s.width} : tileSizes(s.width))
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
    const Tiling whole{.height = s.batch, .outputChannels = 2 * s.halfDim, .buffers = 1};
    selection.offer(whole, estimate(shape, whole, target));
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

/// Tile of one axis of pixels; beyond all rows, of several pictures.
struct SpatialCut {
  int64_t size;
  WindowCut window;
};

std::vector<SpatialCut> cuts(const WindowAxis &axis, const std::vector<int64_t> &sizes) {
  std::vector<SpatialCut> result;
  for (int64_t size : sizes)
    result.push_back({size, WindowCut(axis, size)});
  return result;
}

/// The same, and tiles of several pictures.
std::vector<SpatialCut> cuts(const WindowAxis &axis, const std::vector<int64_t> &sizes,
                             int64_t pictures) {
  std::vector<SpatialCut> result = cuts(axis, sizes);
  for (int64_t some : tileSizes(pictures))
    if (some > 1)
      result.push_back({some * axis.output, WindowCut(axis, axis.output)});
  return result;
}

/// Tiles of one axis, shortest first.
struct SpatialCuts : std::vector<SpatialCut> {
  SpatialCut any; ///< what each of them has at least: of tiles, of input positions
  bool isOrdered; ///< longer tiles move no more; not so where windows leave inputs out

  explicit SpatialCuts(std::vector<SpatialCut> all, bool isOrdered = true)
      : vector(std::move(all)), any(back()), isOrdered(isOrdered) {
    for (size_t i = 0; i < size(); ++i) {
      const WindowCut &cut = (*this)[i].window;
      any.window.sumSpan = std::min(any.window.sumSpan, cut.sumSpan);
      any.window.sumNew = std::min(any.window.sumNew, cut.sumNew);
      if (i == 0)
        continue;
      const WindowCut &shorter = (*this)[i - 1].window;
      this->isOrdered =
          this->isOrdered && cut.sumSpan <= shorter.sumSpan && cut.sumNew <= shorter.sumNew;
    }
  }
};

/// May joined layers take tiles of so many channels?
bool canCut(const MatrixShape &s, int64_t outputChannels) {
  if (s.tails.isGated() && s.outputChannels / 2 % outputChannels != 0)
    return false;
  return outputChannels == s.outputChannels ||
         std::none_of(s.tails.layers.begin(), s.tails.layers.end(),
                      [](const TailShape &tail) { return tail.takesRows; });
}

/// The search of a matrix layer.
struct MatrixSearch {
  const MatrixShape &s;
  const Target &target;
  Selection &selection;
  const CycleBound leastCycles;
  /// Rows of channels that joined layers load for each picture, again for each turn of a picture in
  /// tiles of several.
  const bool hasTurns;
  const SpatialCuts rows, columns;
  std::map<int64_t, std::vector<BusShare>> inputShares, resultShares; ///< by tile of channels

  MatrixSearch(const MatrixShape &s, const Target &target, Selection &selection,
               const std::vector<int64_t> &heights, const std::vector<int64_t> &widths)
      : s(s), target(target), selection(selection), leastCycles(s, target),
        hasTurns(s.batch > 1 &&
                 std::any_of(s.tails.layers.begin(), s.tails.layers.end(),
                             [](const TailShape &tail) { return tail.rowBytes > 0; })),
        rows(cuts(s.vertical, heights, s.batch), !hasTurns), columns(cuts(s.horizontal, widths)) {}

  bool hasHalo() const {
    return (s.vertical.kernel - 1) * s.vertical.dilation + 1 > s.vertical.stride &&
           s.vertical.output > 1 && !workOf(s.winograd).isLossy;
  }
  bool fits(const Tiling &t, const MatrixCut &cut, const SpatialCut &row,
            const SpatialCut &column) {
    return selection.fits(layoutBytes(s, t, cut, row.window, column.window, target.sram.alignment));
  }
  void offer(const Tiling &t, const MatrixCut &cut, const SpatialCut &row,
             const SpatialCut &column) {
    const Estimate e =
        estimateMatrix(s, cut, row.window, column.window, t, target, selection.cycleLimit());
    if (e.cycles <= selection.cycleLimit())
      selection.offer(t, e);
  }

  /// Channels cut in one way, with what no tiles of pixels can do without.
  struct Channels {
    MatrixCut cut;
    ArrayBound array;
    const std::vector<BusShare> &input, &results; ///< for each width, then the least of any
  };
  /// Every way to cut them that joined layers allow, the largest tiles first.
  std::vector<Channels> channelsOf(const std::vector<int64_t> &outputs,
                                   const std::vector<int64_t> &inputs) {
    std::vector<Channels> all;
    for (auto ci = inputs.rbegin(); ci != inputs.rend(); ++ci)
      for (auto co = outputs.rbegin(); co != outputs.rend(); ++co)
        if (canCut(s, *co)) {
          const MatrixCut cut(s, {.outputChannels = *co, .inputChannels = *ci});
          all.push_back(
              {cut, leastArrayCycles(s, cut, target),
               sharesOf(inputShares[*ci],
                        [&](const WindowCut &w) { return inputShare(s, cut, w, target); }),
               sharesOf(resultShares[*co],
                        [&](const WindowCut &w) { return resultShare(s, cut, w, target); })});
        }
    return all;
  }
  template <typename Of>
  const std::vector<BusShare> &sharesOf(std::vector<BusShare> &shares, Of shareOf) const {
    if (!shares.empty())
      return shares;
    for (const SpatialCut &column : columns)
      shares.push_back(shareOf(column.window));
    BusShare least = shares.front();
    for (const BusShare &share : shares)
      least = {std::min(least.each, share.each), std::min(least.command, share.command)};
    shares.push_back(least);
    return shares;
  }

  MatrixBytes bytes(Tiling t, const Channels &channels, const SpatialCut &row,
                    const SpatialCut &column) const {
    MatrixBytes bytes = bytesOf(s, channels.cut, row.window, column.window, t);
    if (hasTurns && &row == &rows.any) {
      t.height = s.vertical.output;
      bytes.tails =
          std::min(bytes.tails, bytesOf(s, channels.cut, row.window, column.window, t).tails);
    }
    return bytes;
  }

  /// Is a tiling of so many tiles of pixels, or more, that moves such bytes beaten? `column` is
  /// the place of its width; columns.size(): any.
  bool isBeaten(const Tiling &t, const Channels &channels, const MatrixBytes &bytes, int64_t tiles,
                size_t column) const {
    return bytes.total() > selection.byteLimit() ||
           selection.isBeaten(bytes.total(),
                              leastCycles(t, channels.cut, channels.array, bytes,
                                          channels.input[column], channels.results[column], tiles));
  }
  bool isBeaten(const Tiling &t, const Channels &channels, const SpatialCut &row,
                const SpatialCut &column, size_t place) const {
    return isBeaten(t, channels, bytes(t, channels, row, column),
                    s.batch * row.window.cut.tiles * column.window.cut.tiles, place);
  }

  /// Are all tiles of pixels beaten? Accumulators and weights bound the pixels of a tile, and those
  /// the passes over the weights.
  bool isBeaten(Tiling t, const Channels &channels) const {
    const AxisCut &outputs = channels.cut.outputs, &inputs = channels.cut.inputs;
    t.height = rows.any.size;
    t.width = columns.any.size;
    MatrixBytes least = bytes(t, channels, rows.any, columns.any);
    const bool byWeights = t.order == LoopOrder::WeightResident;
    const int64_t weights = outputs.tile * s.taps() * (byWeights ? s.inputChannels : inputs.tile);
    const int64_t pixels =
        (target.sram.bytes - weights) / (outputs.tile * int64_t(sizeof(int64_t)));
    if (pixels < 1)
      return true;
    const int64_t tiles = ceilDiv(s.batch * s.vertical.output * s.horizontal.output, pixels);
    if (!byWeights && !haveBuffers(t, outputs.tiles * inputs.tiles)) {
      least.weights *= tiles;
      least.weightTimes *= tiles;
    }
    return isBeaten(t, channels, least, tiles, columns.size());
  }

  /// How many of so many cuts come before the first that does not fit.
  template <typename Fits> static size_t fitting(size_t count, Fits fitsAt) {
    size_t low = 0;
    while (low < count) {
      const size_t middle = (low + count) / 2;
      if (fitsAt(middle))
        low = middle + 1;
      else
        count = middle;
    }
    return low;
  }

  /// Of each width the tallest tile that fits, since fewer tiles move fewer bytes; or every tile.
  void pixelTiles(Tiling t, const Channels &channels, bool onlyTallest) {
    t.outputChannels = channels.cut.outputs.tile;
    t.inputChannels = channels.cut.inputs.tile;
    if (isBeaten(t, channels))
      return;
    const auto isTileBeaten = [&](const SpatialCut &row, const SpatialCut &column, size_t place) {
      t.height = row.size;
      t.width = column.size;
      return isBeaten(t, channels, row, column, place);
    };
    const auto tileFits = [&](const SpatialCut &row, const SpatialCut &column) {
      t.height = row.size;
      t.width = column.size;
      return fits(t, channels.cut, row, column);
    };
    // Of one width, as far as `most` rows go; how many fit.
    const auto tilesOf = [&](size_t width, size_t most) {
      const SpatialCut &column = columns[width];
      if (isTileBeaten(rows.isOrdered ? rows[most - 1] : rows.any, column, width))
        return most;
      const auto consider = [&](const SpatialCut &row) {
        const bool wins = !isTileBeaten(row, column, width);
        if (wins)
          offer(t, channels.cut, row, column);
        return wins;
      };
      const size_t count = fitting(most, [&](size_t row) { return tileFits(rows[row], column); });
      if (count < most && column.window.cut.tiles == 1 && tileFits(rows.back(), column))
        consider(rows.back());
      for (size_t row = count; row > 0; --row)
        if (const bool wins = consider(rows[row - 1]); rows.isOrdered && (onlyTallest || !wins))
          break;
      return count;
    };
    // One tile for the whole picture is not doubled, so that it may fit where smaller ones do not.
    const size_t whole = columns.size() - 1;
    const size_t end = fitting(whole, [&](size_t i) { return tileFits(rows.front(), columns[i]); });
    size_t first = 0;
    if (columns.isOrdered)
      first = fitting(end,
                      [&](size_t i) { return isTileBeaten(rows.any, columns[i], columns.size()); });
    // Wider tiles that fit are no taller.
    for (size_t i = first, most = rows.size(); i < end && most > 0; ++i)
      most = tilesOf(i, most);
    tilesOf(whole, rows.size());
  }
};

void Search::operator()(const MatrixShape &s) {
  const bool byTraffic = options.objective == Objective::Traffic;
  const std::vector<int64_t> someOutputs = s.tails.isGated()
                                               ? divisors(s.outputChannels / 2)
                                               : outputTileSizes(s.outputChannels, target.array);
  const std::vector<int64_t> allOutputs = s.tails.isGated() || !byTraffic
                                              ? someOutputs
                                              : allSizes(s.outputChannels, target.array.columns);
  const std::vector<int64_t> inputs =
      s.inputBlock > 0 ? std::vector{s.inputBlock} : tileSizes(s.inputChannels, target.array.rows);
  // Pixels of a tile follow each other in blocks of resident channels: whole rows, or parts of the
  // only one.
  const bool isInRows = (s.inputBlock > 0 || !s.channelTiles.empty()) && !s.hasOneRow();
  MatrixSearch search(s, target, selection, pixelSizes(s.vertical.output, s.winograd),
                      isInRows ? std::vector{s.horizontal.output}
                               : pixelSizes(s.horizontal.output, s.winograd));
  const auto cutsOf = [&](const std::vector<int64_t> &outputs) {
    return search.channelsOf(s.channelTiles.empty() ? outputs : s.channelTiles, inputs);
  };
  const bool isSame = !s.channelTiles.empty() || someOutputs == allOutputs;
  const std::vector<MatrixSearch::Channels> some = cutsOf(someOutputs);
  const std::vector<MatrixSearch::Channels> others =
      isSame ? std::vector<MatrixSearch::Channels>() : cutsOf(allOutputs);
  // The best candidates tend to come late in these lists: an early good one prunes the rest. The
  // fewest bytes come with the fewest buffers.
  const auto cutChannels = [&](int64_t level, int64_t halo, LoopOrder o, bool onlyTallest) {
    if ((options.order && *options.order != o) || level < options.leastBuffers ||
        (o == LoopOrder::OutputStationary && (level == 4 || halo > 0)) ||
        (halo > 0 && (!search.hasHalo() || s.inputBlock > 0)) ||
        (s.tails.isGated() && o == LoopOrder::WeightResident))
      return;
    for (const auto &channels : isSame || o == LoopOrder::InputResident ? some : others)
      if (halo == 0 || o != LoopOrder::WeightResident || channels.cut.inputs.tiles == 1)
        search.pixelTiles({.order = o, .buffers = level + halo}, channels, onlyTallest);
  };
  // An early good candidate prunes the rest: the tallest tiles come first, the fewest bytes with
  // the fewest buffers, the least time with the most.
  for (bool onlyTallest : {true, false})
    for (int64_t step : {4, 3, 2, 1})
      for (int64_t halo : {kHaloKept, int64_t{0}})
        for (LoopOrder o :
             {LoopOrder::InputResident, LoopOrder::WeightResident, LoopOrder::OutputStationary})
          if (onlyTallest || !byTraffic)
            cutChannels(byTraffic ? 5 - step : step, halo, o, onlyTallest);
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

double timeScore(const Estimate &estimate) {
  const auto cycles = static_cast<double>(estimate.cycles);
  return static_cast<double>(estimate.cost.dramReadBytes + estimate.cost.dramWriteBytes) * cycles *
         cycles;
}

std::vector<int64_t> outputTileSizes(int64_t size, const ArrayTarget &array) {
  std::vector<int64_t> sizes = tileSizes(size, array.columns);
  const int64_t round = array.columns * array.count;
  for (int64_t tile = round; tile < size; tile += round)
    sizes.push_back(tile);
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

TileChoice searchTiles(const LayerShape &shape, const Target &target,
                       const SearchOptions &options) {
  Search search{shape, target, options, Selection(target, options)};
  std::visit(search, shape);
  return search.selection.choice();
}

} // namespace sdopt
