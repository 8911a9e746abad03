//===- CommandFields.h - the one list of every command's fields -*- C++ -*-===//
//
// Opcodes, and for each command its fields in the order in which they are stored. Encoder, decoder,
// range check and disassembler are four archives over visitFields(), so that they cannot disagree;
// docs/isa.md is the same list as a table.
//
// An archive has
//   field<Wire>(name, value)             one integer, stored with the range of Wire
//   list<Wire>(name, value, value, ...)  several, printed as 8x6x4
//   numbers<Wire>(name, array)           several that are no sizes, printed as [8, 6, 4]
//   format(name, CodeFormat)             element type and zero point
//   flag(name, bool)
//   region(name, Region)
//   form(name, WeightForm)               one byte: coding, layout of zeros, whether it is
//                                        entropy-coded; then lanes if it is
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PACKAGE_COMMANDFIELDS_H
#define SDOPT_COMPILER_PACKAGE_COMMANDFIELDS_H

#include "compiler/schedule/Command.h"

#include <optional>

namespace sdopt {

/// First byte of a stored command. The high digit is the kind of queue: 0 DMA, 1 array, 2 vector.
enum class Opcode : uint8_t {
  DmaLoad = 0x01,
  DmaStore = 0x02,
  DmaGather = 0x03,
  DmaWeights = 0x04,
  Conv = 0x10,
  AttentionMaxima = 0x11,
  AttentionAccumulate = 0x12,
  ConvWinograd = 0x13,
  ConvWinograd4 = 0x14,
  Requantize = 0x20,
  Combine = 0x21,
  Table = 0x22,
  Geglu = 0x23,
  NormSums = 0x24,
  NormApply = 0x25,
  AttentionFinish = 0x26,
  TimeEmbedding = 0x27,
  Embed = 0x28,
  PoolToken = 0x29,
  Modulate = 0x2a,
  GegluHalves = 0x2b,
};

Opcode opcodeOf(const CommandArgs &args);
/// Empty arguments of an opcode; nothing for a byte that is none.
std::optional<CommandArgs> argsOf(uint8_t opcode);
/// The only queue that takes the command.
Queue queueOf(const CommandArgs &args);

template <typename Archive> void visitFields(Archive &a, Scaling &scaling) {
  a.template field<int32_t>("multiplier", scaling.multiplier);
  a.template field<uint8_t>("shift", scaling.shift);
}

template <typename Archive> void visitFields(Archive &a, DmaShape &shape) {
  auto &[counts, dram, sram, run] = shape;
  a.template list<uint32_t>("counts", counts[0], counts[1], counts[2]);
  a.template list<uint64_t>("dram_strides", dram[0], dram[1], dram[2]);
  a.template list<uint32_t>("sram_strides", sram[0], sram[1], sram[2]);
  a.template field<uint32_t>("run", run);
}

template <typename Archive> void visitFields(Archive &a, DmaLoad &c) {
  a.region("region", c.region);
  a.template field<uint64_t>("dram", c.dram);
  a.template field<uint32_t>("sram", c.sram);
  visitFields(a, c.shape);
}

template <typename Archive> void visitFields(Archive &a, DmaStore &c) {
  a.template field<uint64_t>("dram", c.dram);
  a.template field<uint32_t>("sram", c.sram);
  visitFields(a, c.shape);
}

template <typename Archive> void visitFields(Archive &a, DmaGather &c) {
  a.template field<uint64_t>("dram", c.dram);
  a.template field<uint32_t>("ids", c.ids);
  a.template field<uint32_t>("sram", c.sram);
  a.template field<uint32_t>("rows", c.rows);
  a.template field<uint32_t>("row_bytes", c.rowBytes);
  a.template field<uint32_t>("table_rows", c.tableRows);
}

template <typename Archive> void visitFields(Archive &a, DmaWeights &c) {
  a.template field<uint64_t>("dram", c.dram);
  a.template field<uint32_t>("bytes", c.bytes);
  a.template field<uint32_t>("sram", c.sram);
  a.form("coding", c.form);
  const bool isGrouped = c.form.coding == WeightCoding::Grouped;
  const bool isPalette = c.form.coding == WeightCoding::Palette;
  const bool isStructured = c.form.zeros == ZeroLayout::Structured;
  if (isStructured)
    a.template list<uint8_t>("kept", c.form.kept, c.form.run);
  if (isGrouped || isPalette)
    a.template field<uint8_t>("bits", c.form.bits);
  if (isGrouped) {
    a.template field<uint16_t>("group", c.form.groupSize);
    a.flag("symmetric", c.form.symmetric);
    a.flag("shared_taps", c.form.sharedTaps);
  }
  if (isPalette)
    a.template field<uint32_t>("palette_outputs", c.form.paletteOutputs);
  a.template list<uint32_t>("block", c.block.outputs, c.block.taps, c.block.inputs);
  if (isGrouped)
    a.template field<uint16_t>("first", c.block.firstInGroup);
  if (isStructured)
    a.template field<uint8_t>("first_in_run", c.block.firstInRun);
  if (isPalette)
    a.template field<uint32_t>("first_output", c.block.firstInPalette);
}

template <typename Archive> void visitFields(Archive &a, ConvTile &t) {
  a.template list<uint32_t>("in", t.inputHeight, t.inputWidth, t.inputChannels);
  a.template list<uint32_t>("out", t.outputHeight, t.outputWidth, t.outputChannels);
  a.template list<uint16_t>("kernel", t.kernelHeight, t.kernelWidth);
  a.template list<uint16_t>("stride", t.strideH, t.strideW);
  a.template list<uint16_t>("dilation", t.dilationH, t.dilationW);
  a.template list<uint16_t>("pad", t.padTop, t.padLeft);
}

template <typename Archive> void visitFields(Archive &a, TapShifts &taps) {
  a.template numbers<uint8_t>("code_shifts", taps.codes);
  a.template numbers<uint8_t>("weight_shifts", taps.weights);
}

template <typename Archive> void visitFields(Archive &a, ConvCommand &c) {
  visitFields(a, c.tile);
  a.format("input_format", c.inputFormat);
  a.template field<uint32_t>("input", c.input);
  a.template field<uint32_t>("weights", c.weights);
  a.template field<uint32_t>("accumulator", c.accumulator);
  a.flag("clear", c.clear);
  if (c.winograd == WinogradForm::F4x4)
    visitFields(a, c.taps);
}

template <typename Archive> void visitFields(Archive &a, RequantizeCommand &c) {
  a.template field<uint32_t>("accumulator", c.accumulator);
  a.template field<uint32_t>("params", c.params);
  a.template field<uint32_t>("output", c.output);
  a.template list<uint32_t>("size", c.rows, c.channels);
  a.format("output_format", c.outputFormat);
}

template <typename Archive> void visitFields(Archive &a, CombineCommand &c) {
  a.template field<uint32_t>("a", c.a);
  a.template field<int32_t>("b", c.b);
  a.template field<uint32_t>("output", c.output);
  a.template list<uint32_t>("size", c.rows, c.channels);
  a.format("a_format", c.aFormat);
  a.format("b_format", c.bFormat);
  a.format("output_format", c.outputFormat);
  a.template field<int32_t>("multiplier_a", c.params.scaling.multiplierA);
  a.template field<int32_t>("multiplier_b", c.params.scaling.multiplierB);
  a.template field<uint8_t>("shift", c.params.scaling.shift);
  a.flag("broadcast", c.params.broadcastRows);
}

template <typename Archive> void visitFields(Archive &a, TableCommand &c) {
  a.template field<uint32_t>("input", c.input);
  a.template field<uint32_t>("table", c.table);
  a.template field<uint32_t>("output", c.output);
  a.template field<uint32_t>("count", c.count);
  a.format("input_format", c.inputFormat);
  a.format("output_format", c.outputFormat);
}

template <typename Archive> void visitFields(Archive &a, GegluCommand &c) {
  a.template field<uint32_t>("input", c.input);
  if (c.gate >= 0)
    a.template field<uint32_t>("gate", c.gate);
  a.template field<uint32_t>("table", c.table);
  a.template field<uint32_t>("output", c.output);
  a.template list<uint32_t>("size", c.rows, c.channels);
  a.format("input_format", c.inputFormat);
  a.format("output_format", c.outputFormat);
  visitFields(a, c.params.scaling);
}

template <typename Archive> void visitFields(Archive &a, NormSumsCommand &c) {
  a.template field<uint32_t>("input", c.input);
  a.template field<uint32_t>("sums", c.sums);
  a.template list<uint32_t>("size", c.rows, c.channels);
  a.template field<uint32_t>("group", c.channelsPerGroup);
  a.format("input_format", c.inputFormat);
  a.flag("clear", c.clear);
}

template <typename Archive> void visitFields(Archive &a, NormApplyCommand &c) {
  a.template field<uint32_t>("input", c.input);
  a.template field<uint32_t>("sums", c.sums);
  a.template field<uint32_t>("params", c.channelParams);
  a.template field<uint32_t>("output", c.output);
  a.template list<uint32_t>("size", c.rows, c.channels);
  a.template field<uint32_t>("group", c.channelsPerGroup);
  a.flag("per_row", c.perRow);
  a.format("input_format", c.inputFormat);
  a.format("output_format", c.outputFormat);
  a.template field<uint64_t>("count", c.params.count);
  a.template field<uint64_t>("epsilon", c.params.epsilon);
  a.template field<uint8_t>("shift", c.params.shift);
  a.flag("centered", c.params.centered);
}

template <typename Archive> void visitFields(Archive &a, AttentionTile &t) {
  a.template list<uint32_t>("size", t.queries, t.keys, t.headDim);
  a.template list<uint32_t>("first", t.firstQuery, t.firstKey);
  a.template list<uint32_t>("row_strides", t.queryStride, t.keyStride);
}

template <typename Archive> void visitFields(Archive &a, AttentionParams &p) {
  a.template field<int32_t>("exponent_multiplier", p.exponent.multiplier);
  a.template field<uint8_t>("exponent_shift", p.exponent.shift);
  a.template field<int32_t>("output_multiplier", p.output.multiplier);
  a.template field<uint8_t>("output_shift", p.output.shift);
  a.flag("causal", p.causal);
}

template <typename Archive> void visitFields(Archive &a, AttentionMaximaCommand &c) {
  visitFields(a, c.tile);
  a.template field<uint32_t>("q", c.q);
  a.template field<uint32_t>("k", c.k);
  a.template field<uint32_t>("row_max", c.rowMax);
  a.format("q_format", c.qFormat);
  a.format("k_format", c.kFormat);
  visitFields(a, c.params);
  a.flag("clear", c.clear);
}

template <typename Archive> void visitFields(Archive &a, AttentionAccumulateCommand &c) {
  visitFields(a, c.tile);
  a.template field<uint32_t>("q", c.q);
  a.template field<uint32_t>("k", c.k);
  a.template field<uint32_t>("v", c.v);
  a.template field<uint32_t>("row_max", c.rowMax);
  a.template field<uint32_t>("row_sum", c.rowSum);
  a.template field<uint32_t>("accumulator", c.accumulator);
  a.format("q_format", c.qFormat);
  a.format("k_format", c.kFormat);
  a.format("v_format", c.vFormat);
  visitFields(a, c.params);
  a.flag("clear", c.clear);
}

template <typename Archive> void visitFields(Archive &a, AttentionFinishCommand &c) {
  a.template list<uint32_t>("size", c.queries, c.headDim);
  a.template field<uint32_t>("row_stride", c.outputStride);
  a.template field<uint32_t>("row_sum", c.rowSum);
  a.template field<uint32_t>("accumulator", c.accumulator);
  a.template field<uint32_t>("output", c.output);
  a.format("output_format", c.outputFormat);
  visitFields(a, c.params);
}

template <typename Archive> void visitFields(Archive &a, TimeEmbeddingCommand &c) {
  a.template field<uint32_t>("input", c.input);
  a.template field<uint32_t>("steps", c.steps);
  a.template field<uint32_t>("sine", c.sine);
  a.template field<uint32_t>("output", c.output);
  a.template field<uint32_t>("batch", c.batch);
  a.template field<uint32_t>("inputs", c.inputs);
  a.format("output_format", c.outputFormat);
  a.template field<uint32_t>("half_dim", c.params.halfDim);
  a.flag("cos_first", c.params.cosFirst);
  a.template field<uint8_t>("fraction_bits", c.params.fractionBits);
}

template <typename Archive> void visitFields(Archive &a, EmbedCommand &c) {
  a.template field<uint32_t>("tokens", c.tokens);
  a.template field<uint32_t>("token_multipliers", c.tokenMultipliers);
  a.template field<uint32_t>("positions", c.positions);
  a.template field<uint32_t>("position_multipliers", c.positionMultipliers);
  a.template field<uint32_t>("output", c.output);
  a.template list<uint32_t>("size", c.rows, c.channels);
  a.template field<uint8_t>("shift", c.shift);
  a.format("output_format", c.outputFormat);
}

template <typename Archive> void visitFields(Archive &a, PoolTokenCommand &c) {
  a.template field<uint32_t>("hidden", c.hidden);
  a.template field<uint32_t>("ids", c.ids);
  a.template field<uint32_t>("output", c.output);
  a.template field<uint32_t>("tokens", c.tokens);
  a.template field<uint32_t>("row_bytes", c.rowBytes);
  a.template field<int32_t>("token", c.token);
}

template <typename Archive> void visitFields(Archive &a, ModulateCommand &c) {
  a.template field<uint32_t>("input", c.input);
  a.template field<uint32_t>("scale", c.scale);
  a.template field<int32_t>("offsets", c.shift);
  a.template field<uint32_t>("output", c.output);
  a.template list<uint32_t>("size", c.rows, c.channels);
  a.format("input_format", c.inputFormat);
  a.format("scale_format", c.scaleFormat);
  a.format("offsets_format", c.shiftFormat);
  a.format("output_format", c.outputFormat);
  a.template field<uint64_t>("scale_multiplier", c.params.scaleMultiplier);
  a.template field<uint64_t>("unit", c.params.unit);
  a.template field<uint64_t>("offsets_multiplier", c.params.shiftMultiplier);
  a.template field<uint8_t>("shift", c.params.shift);
}

/// All arguments of a command.
template <typename Archive> void visitFields(Archive &a, CommandArgs &args) {
  std::visit([&](auto &c) { visitFields(a, c); }, args);
}

} // namespace sdopt

#endif // SDOPT_COMPILER_PACKAGE_COMMANDFIELDS_H
