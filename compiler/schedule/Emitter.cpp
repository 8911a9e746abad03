// Shared steps of expanding a layer.

#include "compiler/schedule/Emitter.h"

namespace sdopt {
namespace {

struct QueueOf {
  Queue operator()(const DmaLoad &) const { return Queue::DmaIn; }
  Queue operator()(const DmaGather &) const { return Queue::DmaIn; }
  Queue operator()(const DmaWeights &) const { return Queue::DmaIn; }
  Queue operator()(const DmaStore &) const { return Queue::DmaOut; }
  Queue operator()(const ConvCommand &) const { return Queue::Array; }
  Queue operator()(const AttentionMaximaCommand &) const { return Queue::Array; }
  Queue operator()(const AttentionAccumulateCommand &) const { return Queue::Array; }
  template <typename Other> Queue operator()(const Other &) const { return Queue::Vector; }
};

} // namespace

int64_t TensorBox::offset() const {
  return (((first[0] * dims[1] + first[1]) * dims[2] + first[2]) * dims[3] + first[3]) *
         elementBytes;
}

DmaShape TensorBox::shape() const {
  std::vector<DmaLoop> loops;
  int64_t dram = dims[3] * elementBytes, sram = extent[3] * elementBytes;
  for (int axis = 2; axis >= 0; --axis) {
    loops.insert(loops.begin(), {extent[axis], dram, sram});
    dram *= dims[axis];
    sram *= extent[axis];
  }
  return joinedShape(loops, extent[3] * elementBytes);
}

DmaShape joinedShape(const std::vector<DmaLoop> &loops, int64_t runBytes) {
  std::vector<DmaLoop> kept; // inner to outer
  for (size_t i = loops.size(); i-- > 0;) {
    const DmaLoop &loop = loops[i];
    if (loop.count == 1)
      continue;
    if (kept.empty() && loop.dramStride == runBytes && loop.sramStride == runBytes) {
      runBytes *= loop.count;
      continue;
    }
    if (!kept.empty() && loop.dramStride == kept.back().dramStride * kept.back().count &&
        loop.sramStride == kept.back().sramStride * kept.back().count) {
      kept.back().count *= loop.count;
      continue;
    }
    kept.push_back(loop);
  }
  DmaShape shape;
  shape.runBytes = runBytes;
  for (size_t i = 0; i < kept.size(); ++i) {
    shape.counts[2 - i] = kept[i].count;
    shape.dramStrides[2 - i] = kept[i].dramStride;
    shape.sramStrides[2 - i] = kept[i].sramStride;
  }
  return shape;
}

void Emitter::run() {
  std::visit([this](const auto &shape) { expand(shape); },
             residents.shape(static_cast<size_t>(layerIndex)));
}

SramOffset Emitter::residentAt(const SramPlace &place, const TensorBox &box) {
  const int64_t pixels = box.dims[0] * box.dims[1] * box.dims[2];
  const int64_t pixel = (box.first[0] * box.dims[1] + box.first[1]) * box.dims[2] + box.first[2];
  const int64_t block = box.first[3] / place.channels, within = box.first[3] % place.channels;
  return place.offset + ((block * pixels + pixel) * place.channels + within) * box.elementBytes;
}

void Emitter::add(CommandArgs args) {
  Command command;
  command.queue = std::visit(QueueOf(), args);
  command.layer = current;
  command.args = std::move(args);
  commands.push_back(std::move(command));
}

void Emitter::load(TensorId tensor, const TensorBox &box, SramOffset to) {
  add(DmaLoad{.region = Region::Arena,
              .dram = dramOf(tensor) + box.offset(),
              .sram = to,
              .shape = box.shape()});
}

void Emitter::store(TensorId tensor, const TensorBox &box, SramOffset from) {
  add(DmaStore{.dram = dramOf(tensor) + box.offset(), .sram = from, .shape = box.shape()});
}

void Emitter::loadConstant(ConstantId constant, int64_t offset, int64_t bytes, SramOffset to) {
  DmaLoad load;
  load.region = Region::Constants;
  load.dram = constantOffsets[constant] + offset;
  load.sram = to;
  load.shape.runBytes = bytes;
  add(load);
}

} // namespace sdopt
