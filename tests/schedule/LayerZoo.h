//===- LayerZoo.h - networks of one layer of each kind ----------*- C++ -*-===//

#ifndef SDOPT_TESTS_SCHEDULE_LAYERZOO_H
#define SDOPT_TESTS_SCHEDULE_LAYERZOO_H

#include "compiler/schedule/Plan.h"

#include <random>

namespace sdopt {

/// Adds tensors, constants and layers with sizes that fit together.
class NetworkBuilder {
public:
  Network network;

  TensorId tensor(std::array<int64_t, 4> dims, ElementType type,
                  TensorRole role = TensorRole::Intermediate);
  ConstantId constant(ConstantKind kind, int64_t bytes);
  TensorId layer(std::vector<TensorId> inputs, TensorId output, LayerSpec spec);

  TensorId conv(TensorId x, int64_t outputs, int64_t kernel, int64_t stride = 1,
                ElementType type = ElementType::I16, int64_t dilation = 1);
  /// 3x3 of stride 1 by F(2x2, 3x3), with padding where `padding` (top, left, bottom, right) is 1.
  TensorId winograd(TensorId x, int64_t outputs, std::array<int64_t, 4> padding = {1, 1, 1, 1},
                    ElementType type = ElementType::I16);
  /// The same by F(4x4, 3x3), with shifts from 0 on.
  TensorId tapWise(TensorId x, int64_t outputs, std::array<int64_t, 4> padding = {1, 1, 1, 1},
                   ElementType type = ElementType::I16);
  TensorId linear(TensorId x, int64_t outputs, ElementType type = ElementType::I16);
  TensorId combine(TensorId a, TensorId b, ElementType type = ElementType::I16);
  TensorId table(TensorId x, ElementType type = ElementType::I16);
  TensorId geglu(TensorId x, ElementType type = ElementType::I16);
  TensorId groupNorm(TensorId x, int64_t groups, ElementType type = ElementType::I16);
  TensorId layerNorm(TensorId x, ElementType type = ElementType::I16);
  TensorId attention(TensorId q, TensorId k, TensorId v, int64_t heads, bool causal = false);
  TensorId upsample(TensorId x, int64_t factorH, int64_t factorW);
  TensorId permute(TensorId x, std::array<int32_t, 4> permutation);
  TensorId embedding(TensorId ids, int64_t vocabulary, int64_t channels);
  TensorId timeEmbedding(TensorId t, int64_t batch, int64_t halfDim);
  TensorId pool(TensorId hidden, TensorId ids);
  /// shift may be kNone.
  TensorId modulate(TensorId x, TensorId scale, TensorId shift,
                    ElementType type = ElementType::I16);
  TensorId slice(TensorId x, std::array<int64_t, 4> starts, std::array<int64_t, 4> dims);
  TensorId codes(std::array<int64_t, 4> dims, ElementType type);

  const std::array<int64_t, 4> &dims(TensorId id) const { return network.tensors[id].dims; }
};

/// A network with one layer of a random kind and odd sizes; `kind` in [0, kZooKinds).
inline constexpr int kZooKinds = 19;
inline constexpr int kZooWinograd = 16, kZooTapWise = 17;
Network randomLayer(int kind, std::mt19937 &random);
/// Any way to store weights.
WeightForm randomForm(std::mt19937 &random);

/// The nearest tiling that the form of a matrix layer allows.
void fitForm(const Network &network, const Layer &layer, Tiling &tiling);

/// A small target with `sram` bytes.
Target smallTarget(int64_t sram);

/// Packed constants one after the other, 64-byte aligned.
std::vector<int64_t> constantOffsets(const Network &network, const Plan &plan, int64_t &total);

} // namespace sdopt

#endif // SDOPT_TESTS_SCHEDULE_LAYERZOO_H
