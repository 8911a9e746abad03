#include "compiler/package/Manifest.h"

#include "absl/strings/str_cat.h"
#include "compiler/package/manifest.pb.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

namespace sdopt {
namespace {

// Structs to messages.

void put(manifest::Scaling *out, const Scaling &scaling) {
  out->set_multiplier(scaling.multiplier);
  out->set_shift(scaling.shift);
}

void put(manifest::PairScaling *out, const PairScaling &scaling) {
  out->set_multiplier_a(scaling.multiplierA);
  out->set_multiplier_b(scaling.multiplierB);
  out->set_shift(scaling.shift);
}

struct SpecWriter {
  manifest::Layer &out;

  void operator()(const MatrixLayer &spec) {
    auto *m = out.mutable_matrix();
    m->set_kernel_height(spec.kernelHeight);
    m->set_kernel_width(spec.kernelWidth);
    m->set_stride_h(spec.strideH);
    m->set_stride_w(spec.strideW);
    m->set_dilation_h(spec.dilationH);
    m->set_dilation_w(spec.dilationW);
    m->set_pad_top(spec.padTop);
    m->set_pad_left(spec.padLeft);
    m->set_pad_bottom(spec.padBottom);
    m->set_pad_right(spec.padRight);
    m->set_weights(spec.weights);
    m->set_params(spec.params);
    m->set_winograd(spec.winograd == WinogradForm::F2x2);
    if (spec.winograd == WinogradForm::F4x4)
      for (const auto &shifts : {spec.taps.codes, spec.taps.weights})
        m->mutable_tap_shifts()->append(shifts.begin(), shifts.end());
  }
  void operator()(const CombineLayer &spec) {
    auto *m = out.mutable_combine();
    put(m->mutable_scaling(), spec.params.scaling);
    m->set_broadcast_rows(spec.params.broadcastRows);
    m->set_channel_offset(spec.channelOffset);
  }
  void operator()(const TableLayer &spec) { out.mutable_table()->set_table(spec.table); }
  void operator()(const GegluLayer &spec) {
    put(out.mutable_geglu()->mutable_scaling(), spec.params.scaling);
    out.mutable_geglu()->set_table(spec.table);
  }
  void operator()(const NormLayer &spec) {
    auto *m = out.mutable_norm();
    m->set_count(spec.params.count);
    m->set_epsilon(spec.params.epsilon);
    m->set_shift(spec.params.shift);
    m->set_groups(spec.groups);
    m->set_per_row(spec.perRow);
    m->set_uncentered(!spec.params.centered);
    m->set_channels(spec.channels);
  }
  void operator()(const AttentionLayer &spec) {
    auto *m = out.mutable_attention();
    put(m->mutable_exponent(), spec.params.exponent);
    put(m->mutable_output(), spec.params.output);
    m->set_causal(spec.params.causal);
    m->set_heads(spec.heads);
  }
  void operator()(const UpsampleLayer &spec) {
    out.mutable_upsample()->set_factor_h(spec.factorH);
    out.mutable_upsample()->set_factor_w(spec.factorW);
  }
  void operator()(const PermuteLayer &spec) {
    for (int32_t axis : spec.permutation)
      out.mutable_permute()->add_permutation(axis);
  }
  void operator()(const EmbeddingLayer &spec) {
    auto *m = out.mutable_embedding();
    m->set_shift(spec.shift);
    m->set_vocabulary(spec.vocabulary);
    m->set_tokens(spec.tokens);
    m->set_token_multipliers(spec.tokenMultipliers);
    m->set_positions(spec.positions);
    m->set_position_multipliers(spec.positionMultipliers);
  }
  void operator()(const TimeEmbeddingLayer &spec) {
    auto *m = out.mutable_time_embedding();
    m->set_half_dim(spec.params.halfDim);
    m->set_cos_first(spec.params.cosFirst);
    m->set_steps(spec.steps);
    m->set_sine(spec.sine);
    m->set_fraction_bits(spec.params.fractionBits);
  }
  void operator()(const PoolTokenLayer &spec) { out.mutable_pool_token()->set_token(spec.token); }
  void operator()(const ModulateLayer &spec) {
    auto *m = out.mutable_modulate();
    m->set_scale_multiplier(spec.params.scaleMultiplier);
    m->set_unit(spec.params.unit);
    m->set_shift_multiplier(spec.params.shiftMultiplier);
    m->set_shift(spec.params.shift);
  }
  void operator()(const SliceLayer &spec) {
    for (int64_t start : spec.starts)
      out.mutable_slice()->add_starts(start);
  }
  void operator()(const ConstantLayer &spec) { out.mutable_constant()->set_codes(spec.codes); }
};

manifest::WeightForm toProto(const WeightForm &form) {
  manifest::WeightForm out;
  out.set_coding(static_cast<uint32_t>(form.coding));
  out.set_bits(static_cast<uint32_t>(form.bits));
  out.set_group_size(static_cast<uint32_t>(form.groupSize));
  out.set_zero_points(!form.symmetric);
  out.set_shared_taps(form.sharedTaps);
  out.set_palette_outputs(static_cast<uint32_t>(form.paletteOutputs));
  out.set_zeros(static_cast<uint32_t>(form.zeros));
  out.set_kept(static_cast<uint32_t>(form.kept));
  out.set_run(static_cast<uint32_t>(form.run));
  out.set_lanes(static_cast<uint32_t>(form.lanes));
  return out;
}

/// Checked by checkModule(); a coding or layout beyond a byte is one that nobody knows.
WeightForm fromProto(const manifest::WeightForm &in) {
  return {.coding = static_cast<WeightCoding>(std::min<uint32_t>(in.coding(), 255)),
          .bits = in.bits(),
          .groupSize = in.group_size(),
          .symmetric = !in.zero_points(),
          .sharedTaps = in.shared_taps(),
          .paletteOutputs = in.palette_outputs(),
          .zeros = static_cast<ZeroLayout>(std::min<uint32_t>(in.zeros(), 255)),
          .kept = in.kept(),
          .run = in.run(),
          .lanes = in.lanes()};
}

void put(manifest::Tensor &out, const TensorInfo &tensor, int64_t offset) {
  out.set_name(tensor.name);
  for (int64_t dim : tensor.dims)
    out.add_dims(dim);
  out.set_type(static_cast<uint32_t>(tensor.type));
  out.set_role(static_cast<uint32_t>(tensor.role));
  out.set_alias_of_plus_one(tensor.aliasOf + 1);
  out.set_scale(tensor.scale);
  out.set_zero_point(tensor.zeroPoint);
  for (int64_t dim : tensor.logicalShape)
    out.add_logical_shape(dim);
  out.set_offset(offset);
}

void put(manifest::Layer &out, const Layer &layer, const LayerPlan &plan) {
  out.set_name(layer.name);
  for (const std::string &node : layer.onnxNodes)
    out.add_onnx_nodes(node);
  for (TensorId input : layer.inputs)
    out.add_inputs(input);
  out.set_output(layer.output);
  out.set_phase(static_cast<uint32_t>(layer.phase));
  std::visit(SpecWriter{out}, layer.spec);
  auto *tiling = out.mutable_tiling();
  tiling->set_order(static_cast<uint32_t>(plan.tiling.order));
  tiling->set_height(plan.tiling.height);
  tiling->set_width(plan.tiling.width);
  tiling->set_output_channels(plan.tiling.outputChannels);
  tiling->set_input_channels(plan.tiling.inputChannels);
  tiling->set_buffers(plan.tiling.buffers);
  out.set_joined(plan.joined);
  if (plan.resident.channels > 0) {
    manifest::SramPlace *place = out.mutable_resident();
    place->set_offset(plan.resident.offset);
    place->set_channels(plan.resident.channels);
    place->set_readers(plan.resident.readers);
  }
  auto *cost = out.mutable_cost();
  cost->set_dram_read_bytes(plan.cost.dramReadBytes);
  cost->set_dram_write_bytes(plan.cost.dramWriteBytes);
  cost->set_sram_bytes(plan.cost.sramBytes);
  cost->set_lower_bound_bytes(plan.cost.lowerBoundBytes);
  cost->set_compute_cycles(plan.cost.computeCycles);
  cost->set_dram_cycles(plan.cost.dramCycles);
}

void put(manifest::Module &out, const ModuleInfo &module) {
  out.set_name(module.network.name);
  for (size_t i = 0; i < module.network.tensors.size(); ++i)
    put(*out.add_tensors(), module.network.tensors[i], module.plan.offsets[i]);
  for (size_t i = 0; i < module.network.constants.size(); ++i) {
    const ConstantInfo &constant = module.network.constants[i];
    auto *entry = out.add_constants();
    entry->set_name(constant.name);
    entry->set_kind(static_cast<uint32_t>(constant.kind));
    entry->set_bytes(constant.bytes);
    entry->set_offset(module.constantOffsets[i]);
    if (!constant.form.isPlainInt8())
      *entry->mutable_form() = toProto(constant.form);
    for (int64_t bytes : constant.blockBytes)
      entry->add_block_bytes(bytes);
  }
  for (size_t i = 0; i < module.network.layers.size(); ++i)
    put(*out.add_layers(), module.network.layers[i], module.plan.layers[i]);
  out.set_arena_bytes(module.program.arenaBytes);
  out.set_arena_lower_bound(module.plan.arenaLowerBound);
  out.set_constants_bytes(module.program.constantsBytes);
  out.set_sram_bytes(module.program.sramBytes);
  out.set_plan_arena_bytes(module.plan.arenaBytes);
  for (int32_t timestep : module.scheduleTimesteps)
    out.add_schedule_timesteps(timestep);
  for (const ModuleInfo &bucket : module.buckets) {
    manifest::Bucket &entry = *out.add_buckets();
    entry.set_first_timestep(bucket.firstTimestep);
    for (const TensorInfo &tensor : bucket.network.tensors) {
      entry.add_scales(tensor.scale);
      entry.add_zero_points(tensor.zeroPoint);
    }
    for (const Layer &layer : bucket.network.layers)
      std::visit(SpecWriter{*entry.add_layers()}, layer.spec);
  }
}

// Messages to structs.

Scaling take(const manifest::Scaling &in) { return {in.multiplier(), in.shift()}; }
PairScaling take(const manifest::PairScaling &in) {
  return {in.multiplier_a(), in.multiplier_b(), in.shift()};
}

absl::StatusOr<MatrixLayer> take(const manifest::MatrixSpec &in) {
  const std::string &shifts = in.tap_shifts();
  if (!shifts.empty() && (shifts.size() != 2 * kTapProducts || in.winograd()))
    return absl::DataLossError(in.winograd() ? "has shifts of F(4x4, 3x3) and is by F(2x2, 3x3)"
                                             : absl::StrCat("has ", shifts.size(),
                                                            " shifts of F(4x4, 3x3); needs ",
                                                            2 * kTapProducts));
  WinogradForm form = in.winograd() ? WinogradForm::F2x2 : WinogradForm::None;
  TapShifts taps;
  if (!shifts.empty()) {
    form = WinogradForm::F4x4;
    std::copy_n(shifts.begin(), kTapProducts, taps.codes.begin());
    std::copy_n(shifts.begin() + kTapProducts, kTapProducts, taps.weights.begin());
  }
  return MatrixLayer{.kernelHeight = in.kernel_height(),
                     .kernelWidth = in.kernel_width(),
                     .strideH = in.stride_h(),
                     .strideW = in.stride_w(),
                     .dilationH = in.dilation_h(),
                     .dilationW = in.dilation_w(),
                     .padTop = in.pad_top(),
                     .padLeft = in.pad_left(),
                     .padBottom = in.pad_bottom(),
                     .padRight = in.pad_right(),
                     .weights = in.weights(),
                     .params = in.params(),
                     .winograd = form,
                     .taps = taps};
}

NormLayer take(const manifest::NormSpec &in) {
  return {.params = {in.count(), in.epsilon(), in.shift(), !in.uncentered()},
          .groups = in.groups(),
          .perRow = in.per_row(),
          .channels = in.channels()};
}

EmbeddingLayer take(const manifest::EmbeddingSpec &in) {
  return {.shift = in.shift(),
          .vocabulary = in.vocabulary(),
          .tokens = in.tokens(),
          .tokenMultipliers = in.token_multipliers(),
          .positions = in.positions(),
          .positionMultipliers = in.position_multipliers()};
}

absl::StatusOr<PermuteLayer> take(const manifest::PermuteSpec &in) {
  PermuteLayer spec;
  if (in.permutation_size() != 4)
    return absl::DataLossError(
        absl::StrCat("permutation of ", in.permutation_size(), " axes; needs 4"));
  std::copy(in.permutation().begin(), in.permutation().end(), spec.permutation.begin());
  return spec;
}

absl::StatusOr<LayerSpec> takeSpec(const manifest::Layer &in) {
  switch (in.spec_case()) {
  case manifest::Layer::kMatrix: {
    absl::StatusOr<MatrixLayer> spec = take(in.matrix());
    if (!spec.ok())
      return spec.status();
    return *spec;
  }
  case manifest::Layer::kCombine:
    return CombineLayer{{take(in.combine().scaling()), in.combine().broadcast_rows()},
                        in.combine().channel_offset()};
  case manifest::Layer::kTable:
    return TableLayer{in.table().table()};
  case manifest::Layer::kGeglu:
    return GegluLayer{{take(in.geglu().scaling())}, in.geglu().table()};
  case manifest::Layer::kNorm:
    return take(in.norm());
  case manifest::Layer::kAttention:
    return AttentionLayer{
        {take(in.attention().exponent()), take(in.attention().output()), in.attention().causal()},
        in.attention().heads()};
  case manifest::Layer::kUpsample:
    return UpsampleLayer{in.upsample().factor_h(), in.upsample().factor_w()};
  case manifest::Layer::kPermute: {
    absl::StatusOr<PermuteLayer> spec = take(in.permute());
    if (!spec.ok())
      return spec.status();
    return *spec;
  }
  case manifest::Layer::kEmbedding:
    return take(in.embedding());
  case manifest::Layer::kTimeEmbedding:
    return TimeEmbeddingLayer{{in.time_embedding().half_dim(), in.time_embedding().cos_first(),
                               in.time_embedding().fraction_bits()},
                              in.time_embedding().steps(),
                              in.time_embedding().sine()};
  case manifest::Layer::kPoolToken:
    return PoolTokenLayer{in.pool_token().token()};
  case manifest::Layer::kModulate:
    return ModulateLayer{{in.modulate().scale_multiplier(), in.modulate().unit(),
                          in.modulate().shift_multiplier(), in.modulate().shift()}};
  case manifest::Layer::kSlice: {
    SliceLayer spec;
    if (in.slice().starts_size() != 4)
      return absl::DataLossError(
          absl::StrCat("slice of ", in.slice().starts_size(), " starts; needs 4"));
    std::copy(in.slice().starts().begin(), in.slice().starts().end(), spec.starts.begin());
    return spec;
  }
  case manifest::Layer::kConstant:
    return ConstantLayer{in.constant().codes()};
  case manifest::Layer::SPEC_NOT_SET:
    break;
  }
  return absl::DataLossError("has no specification");
}

absl::Status take(const manifest::Tensor &in, TensorInfo &tensor) {
  tensor.name = in.name();
  if (in.dims_size() != 4)
    return absl::DataLossError(absl::StrCat("has ", in.dims_size(), " dimensions; needs 4"));
  std::copy(in.dims().begin(), in.dims().end(), tensor.dims.begin());
  if (in.type() > static_cast<uint32_t>(ElementType::Bool))
    return absl::DataLossError(absl::StrCat("has unknown element type ", in.type()));
  if (in.role() > static_cast<uint32_t>(TensorRole::Output))
    return absl::DataLossError(absl::StrCat("has unknown role ", in.role()));
  if (in.alias_of_plus_one() < 0)
    return absl::DataLossError("is an alias of a negative index");
  tensor.type = static_cast<ElementType>(in.type());
  tensor.role = static_cast<TensorRole>(in.role());
  tensor.aliasOf = in.alias_of_plus_one() - 1;
  tensor.scale = in.scale();
  tensor.zeroPoint = in.zero_point();
  tensor.logicalShape.assign(in.logical_shape().begin(), in.logical_shape().end());
  return absl::OkStatus();
}

absl::Status take(const manifest::Layer &in, Layer &layer, LayerPlan &plan) {
  layer.name = in.name();
  layer.onnxNodes.assign(in.onnx_nodes().begin(), in.onnx_nodes().end());
  layer.inputs.assign(in.inputs().begin(), in.inputs().end());
  layer.output = in.output();
  if (in.phase() >= kPhases)
    return absl::DataLossError(absl::StrCat("has unknown phase ", in.phase()));
  layer.phase = static_cast<Phase>(in.phase());
  absl::StatusOr<LayerSpec> spec = takeSpec(in);
  if (!spec.ok())
    return spec.status();
  layer.spec = *spec;
  if (in.tiling().order() > static_cast<uint32_t>(LoopOrder::OutputStationary))
    return absl::DataLossError(absl::StrCat("has unknown loop order ", in.tiling().order()));
  plan.tiling = {static_cast<LoopOrder>(in.tiling().order()),
                 in.tiling().height(),
                 in.tiling().width(),
                 in.tiling().output_channels(),
                 in.tiling().input_channels(),
                 in.tiling().buffers()};
  plan.cost = {in.cost().dram_read_bytes(), in.cost().dram_write_bytes(),
               in.cost().sram_bytes(),      in.cost().lower_bound_bytes(),
               in.cost().compute_cycles(),  in.cost().dram_cycles()};
  plan.joined = in.joined();
  if (in.has_resident())
    plan.resident = {in.resident().offset(), in.resident().channels(), in.resident().readers()};
  return absl::OkStatus();
}

absl::Status within(const std::string &place, const absl::Status &status) {
  if (status.ok())
    return status;
  return absl::Status(status.code(), absl::StrCat(place, " ", status.message()));
}

absl::Status take(const manifest::Bucket &in, ModuleInfo &bucket) {
  Network &network = bucket.network;
  if (static_cast<size_t>(in.scales_size()) != network.tensors.size() ||
      in.zero_points_size() != in.scales_size() ||
      static_cast<size_t>(in.layers_size()) != network.layers.size())
    return absl::DataLossError("tells of another number of tensors or layers than there are");
  bucket.firstTimestep = in.first_timestep();
  for (int i = 0; i < in.scales_size(); ++i) {
    network.tensors[i].scale = in.scales(i);
    network.tensors[i].zeroPoint = in.zero_points(i);
  }
  for (int i = 0; i < in.layers_size(); ++i) {
    absl::StatusOr<LayerSpec> spec = takeSpec(in.layers(i));
    if (!spec.ok())
      return within(absl::StrCat("layer ", i), spec.status());
    network.layers[i].spec = *std::move(spec);
  }
  return absl::OkStatus();
}

absl::Status take(const manifest::Module &in, ModuleInfo &module) {
  Network &network = module.network;
  network.name = in.name();
  for (const auto &entry : in.tensors()) {
    const std::string place = absl::StrCat("tensor ", network.tensors.size());
    absl::Status status = take(entry, network.tensors.emplace_back());
    if (!status.ok())
      return within(place, status);
    module.plan.offsets.push_back(entry.offset());
  }
  for (const auto &entry : in.constants()) {
    if (entry.kind() > static_cast<uint32_t>(ConstantKind::Codes))
      return absl::DataLossError(
          absl::StrCat("constant ", network.constants.size(), " has unknown kind ", entry.kind()));
    network.constants.push_back({entry.name(), static_cast<ConstantKind>(entry.kind()),
                                 entry.bytes(),
                                 entry.has_form() ? fromProto(entry.form()) : WeightForm()});
    network.constants.back().blockBytes.assign(entry.block_bytes().begin(),
                                               entry.block_bytes().end());
    module.constantOffsets.push_back(entry.offset());
  }
  for (const auto &entry : in.layers()) {
    const std::string place = absl::StrCat("layer ", network.layers.size());
    absl::Status status =
        take(entry, network.layers.emplace_back(), module.plan.layers.emplace_back());
    if (!status.ok())
      return within(place, status);
  }
  module.program.arenaBytes = in.arena_bytes();
  module.program.constantsBytes = in.constants_bytes();
  module.program.sramBytes = in.sram_bytes();
  module.plan.arenaBytes = in.plan_arena_bytes();
  module.plan.arenaLowerBound = in.arena_lower_bound();
  if (static_cast<size_t>(in.buckets_size()) >= kMostBuckets)
    return absl::DataLossError(absl::StrCat("has ", in.buckets_size() + 1,
                                            " buckets of timesteps; at most ", kMostBuckets));
  std::vector<ModuleInfo> buckets(in.buckets_size(), module);
  for (size_t i = 0; i < buckets.size(); ++i)
    if (absl::Status status = take(in.buckets(static_cast<int>(i)), buckets[i]); !status.ok())
      return within(absl::StrCat("bucket ", i), status);
  module.buckets = std::move(buckets);
  module.scheduleTimesteps.assign(in.schedule_timesteps().begin(), in.schedule_timesteps().end());
  return absl::OkStatus();
}

bool isHexDigest(const std::string &text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

absl::Status take(const manifest::Provenance &in, Provenance &provenance) {
  provenance.version = in.version();
  provenance.recipe = in.recipe();
  provenance.target = in.target();
  provenance.targetDigest = in.target_digest();
  provenance.statisticsDigest = in.statistics_digest();
  for (const auto &input : in.inputs()) {
    if (!provenance.inputDigests.empty() && provenance.inputDigests.rbegin()->first >= input.name())
      return absl::DataLossError(
          absl::StrCat("inputs are not sorted by name at '", input.name(), "'"));
    provenance.inputDigests.emplace(input.name(), input.digest());
  }
  for (const std::string *digest : {&provenance.targetDigest, &provenance.statisticsDigest})
    if (!digest->empty() && !isHexDigest(*digest))
      return absl::DataLossError(absl::StrCat("digest '", *digest, "' is not 64 hex digits"));
  return absl::OkStatus();
}

} // namespace

uint16_t minorVersion(const std::vector<ModuleInfo> &modules) {
  const auto isTapWise = [](const Layer &layer) {
    const auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
    return matrix && matrix->winograd == WinogradForm::F4x4;
  };
  uint16_t minor = 0;
  for (const ModuleInfo &module : modules) {
    if (std::ranges::any_of(module.network.layers, isTapWise))
      return 2;
    if (!module.buckets.empty())
      minor = 1;
  }
  return minor;
}

std::string encodeManifest(const PackageManifest &in) {
  manifest::Manifest out;
  auto *provenance = out.mutable_provenance();
  provenance->set_version(in.provenance.version);
  provenance->set_recipe(in.provenance.recipe);
  provenance->set_target(in.provenance.target);
  provenance->set_target_digest(in.provenance.targetDigest);
  provenance->set_statistics_digest(in.provenance.statisticsDigest);
  for (const auto &[name, digest] : in.provenance.inputDigests) {
    auto *input = provenance->add_inputs();
    input->set_name(name);
    input->set_digest(digest);
  }
  for (const ModuleInfo &module : in.modules)
    put(*out.add_modules(), module);
  for (const std::string &name : in.assetNames)
    out.add_assets()->set_name(name);

  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  out.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

absl::StatusOr<PackageManifest> decodeManifest(std::span<const std::byte> bytes) {
  constexpr size_t kLargest = size_t{1} << 30;
  if (bytes.size() > kLargest)
    return absl::DataLossError(absl::StrCat("manifest of ", bytes.size(), " bytes is too large"));
  manifest::Manifest in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return absl::DataLossError("manifest is not a valid protobuf message");
  PackageManifest out;
  if (absl::Status status = take(in.provenance(), out.provenance); !status.ok())
    return within("provenance:", status);
  for (const auto &module : in.modules())
    if (absl::Status status = take(module, out.modules.emplace_back()); !status.ok())
      return within(absl::StrCat("module '", module.name(), "':"), status);
  for (const auto &asset : in.assets())
    out.assetNames.push_back(asset.name());
  return out;
}

} // namespace sdopt
