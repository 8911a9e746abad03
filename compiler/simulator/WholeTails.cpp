#include "compiler/simulator/WholeTails.h"

#include "compiler/kernels/KernelThreads.h"
#include "compiler/simulator/WholeResults.h"

#include <optional>

namespace sdopt {
namespace {

/// One tail at work on [pictures][rows][channels] codes.
class TailExecution {
public:
  TailExecution(const WholeTail &tail, int64_t pictures, int64_t rows, const std::byte *input,
                const MemoryImages &memory, const IntegerKernels &kernels, std::byte *output)
      : tail_(tail), pictures_(pictures), rows_(rows), input_(input), memory_(memory),
        kernels_(kernels), output_(output) {}

  void operator()(const CombineCommand &c) {
    const bool isA = tail_.carried == 0;
    if (tail_.operand.offset < 0) {
      kernels_.combine({input_, c.aFormat}, {}, pictures_ * rows_, tail_.channels, c.params,
                       c.outputFormat, output_);
      return;
    }
    const WholeInput operand(tail_.operand, isA ? c.bFormat.type : c.aFormat.type,
                             c.params.broadcastRows ? pictures_ : pictures_ * rows_, tail_.channels,
                             memory_);
    const std::byte *other = operand.codes();
    if (!c.params.broadcastRows) {
      kernels_.combine({isA ? input_ : other, c.aFormat}, {isA ? other : input_, c.bFormat},
                       pictures_ * rows_, tail_.channels, c.params, c.outputFormat, output_);
      return;
    }
    const int64_t elements = rows_ * tail_.channels;
    for (int64_t picture = 0; picture < pictures_; ++picture)
      kernels_.combine({input_ + picture * elements * byteWidth(c.aFormat.type), c.aFormat},
                       {other + picture * tail_.channels * byteWidth(c.bFormat.type), c.bFormat},
                       rows_, tail_.channels, c.params, c.outputFormat,
                       output_ + picture * elements * byteWidth(c.outputFormat.type));
  }

  void operator()(const TableCommand &c) {
    kernels_.table({input_, c.inputFormat}, pictures_ * rows_ * tail_.channels,
                   table(c.inputFormat), c.outputFormat, output_);
  }

  void operator()(const GegluCommand &c) {
    kernels_.geglu({input_, c.inputFormat}, pictures_ * rows_, tail_.channels, table(c.inputFormat),
                   c.params, c.outputFormat, output_);
  }

  void operator()(const NormApplyCommand &c) {
    const auto *params =
        reinterpret_cast<const NormChannel *>(memory_.constants.data() + tail_.constant);
    const int64_t channels = tail_.channels;
    parallelRanges(pictures_ * rows_, 16, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        const Codes x{input_ + row * channels * byteWidth(c.inputFormat.type), c.inputFormat};
        NormSums sums;
        kernels_.normSums(x, 1, channels, channels, {&sums, 1});
        kernels_.normApply(x, 1, channels, channels, {&sums, 1}, c.params, params, c.outputFormat,
                           output_ + row * channels * byteWidth(c.outputFormat.type));
      }
    });
  }

private:
  std::span<const int32_t> table(CodeFormat input) const {
    const auto *entries =
        reinterpret_cast<const int32_t *>(memory_.constants.data() + tail_.constant);
    return {entries,
            static_cast<size_t>(input.type == ElementType::I8 ? kTableEntries8 : kTableKnots16)};
  }

  const WholeTail &tail_;
  const int64_t pictures_, rows_;
  const std::byte *input_;
  const MemoryImages &memory_;
  const IntegerKernels &kernels_;
  std::byte *output_;
};

CodeFormat outputFormat(const WholeTail &tail) {
  return std::visit([](const auto &command) { return command.outputFormat; }, tail.command);
}

} // namespace

void executeTails(const WholeLayer &layer, const std::byte *result, const MemoryImages &memory,
                  const IntegerKernels &kernels) {
  const int64_t pictures = layer.pictures, rows = layer.tile.outputHeight * layer.tile.outputWidth;
  std::optional<WholeOutput> carried;
  for (const WholeTail &tail : layer.tails) {
    WholeOutput made(tail.result, outputFormat(tail).type, pictures * rows, tail.channels, memory);
    std::visit(TailExecution(tail, pictures, rows, result, memory, kernels, made.codes()),
               tail.command);
    made.spread();
    result = made.codes();
    carried.emplace(std::move(made));
  }
}

} // namespace sdopt
