//===- PackageModels.cpp - a package's modules on the simulator -----------===//

#include "tools/sdopt-run/PackageModels.h"

#include "absl/strings/str_cat.h"

namespace sdopt {

namespace {

const TensorInfo *findTensor(const ModuleRunner &runner, TensorRole role, const std::string &name,
                             size_t rank) {
  const TensorInfo *byRank = nullptr;
  for (const TensorInfo &info : runner.module().info.network.tensors) {
    if (info.role != role || info.logicalShape.size() != rank)
      continue;
    if (info.name == name)
      return &info;
    if (!byRank)
      byRank = &info;
  }
  // Exporters name outputs as they like; inputs are called by name.
  return role == TensorRole::Output ? byRank : nullptr;
}

/// The logical shape of a tensor of the module without its batch.
absl::StatusOr<Shape> rowShape(const ModuleRunner &runner, TensorRole role, const std::string &name,
                               size_t rank) {
  const TensorInfo *info = findTensor(runner, role, name, rank);
  if (!info)
    return absl::FailedPreconditionError(
        absl::StrCat("module '", runner.totals().name, "' has no ",
                     role == TensorRole::Input ? "input '" : "output '", name, "' of ", rank,
                     " dimensions; needed for a zoom"));
  return Shape(info->logicalShape.begin() + 1, info->logicalShape.end());
}

/// One value out of a module's outputs.
absl::StatusOr<Tensor> take(const ModuleRunner &runner, absl::StatusOr<TensorMap> outputs,
                            const std::string &name, size_t rank) {
  if (!outputs.ok())
    return outputs.status();
  const TensorInfo *info = findTensor(runner, TensorRole::Output, name, rank);
  auto value = info ? outputs->find(info->name) : outputs->end();
  if (value == outputs->end())
    return absl::InternalError(
        absl::StrCat("module '", runner.totals().name, "' gave no output '", name, "'"));
  return value->second;
}

absl::Status mismatch(const char *module, const Shape &found, const Shape &needed) {
  return absl::FailedPreconditionError(
      absl::StrCat("module '", module, "' works on ", toString(found),
                   " where the other modules need ", toString(needed)));
}

} // namespace

absl::StatusOr<std::unique_ptr<PackageModels>> PackageModels::create(const Package &package,
                                                                     const Target &target) {
  std::unique_ptr<PackageModels> models(new PackageModels());
  struct Slot {
    const char *name;
    std::unique_ptr<ModuleRunner> *runner;
  };
  for (auto [name, runner] :
       {Slot{"text_encoder", &models->textEncoder_}, Slot{"unet", &models->unet_},
        Slot{"vae_encoder", &models->vaeEncoder_}, Slot{"vae_decoder", &models->vaeDecoder_}}) {
    const PackageModule *module = package.find(name);
    if (!module)
      return absl::NotFoundError(
          absl::StrCat("the package has no module '", name,
                       "'; a zoom needs text_encoder, unet, vae_encoder, vae_decoder"));
    *runner = std::make_unique<ModuleRunner>(*module, target);
  }
  if (absl::Status status = models->readShapes(); !status.ok())
    return status;
  return models;
}

absl::Status PackageModels::readShapes() {
  struct Wanted {
    const ModuleRunner &runner;
    TensorRole role;
    const char *name;
    size_t rank;
    Shape *shape;
  };
  Shape ids, states, sample, hidden, noise, picture, moments, latent, decoded;
  for (const Wanted &wanted :
       {Wanted{*textEncoder_, TensorRole::Input, "input_ids", 2, &ids},
        Wanted{*textEncoder_, TensorRole::Output, "last_hidden_state", 3, &states},
        Wanted{*unet_, TensorRole::Input, "sample", 4, &sample},
        Wanted{*unet_, TensorRole::Input, "encoder_hidden_states", 3, &hidden},
        Wanted{*unet_, TensorRole::Output, "out_sample", 4, &noise},
        Wanted{*vaeEncoder_, TensorRole::Input, "sample", 4, &picture},
        Wanted{*vaeEncoder_, TensorRole::Output, "latent_parameters", 4, &moments},
        Wanted{*vaeDecoder_, TensorRole::Input, "latent_sample", 4, &latent},
        Wanted{*vaeDecoder_, TensorRole::Output, "sample", 4, &decoded}}) {
    absl::StatusOr<Shape> shape = rowShape(wanted.runner, wanted.role, wanted.name, wanted.rank);
    if (!shape.ok())
      return shape.status();
    *wanted.shape = *shape;
  }
  int64_t channels = latent[0], height = latent[1], width = latent[2];
  if (states != hidden)
    return mismatch("text_encoder", states, hidden);
  if (sample != Shape{2 * channels + 1, height, width})
    return mismatch("unet", sample, {2 * channels + 1, height, width});
  if (noise != latent)
    return mismatch("unet", noise, latent);
  if (moments != Shape{2 * channels, height, width})
    return mismatch("vae_encoder", moments, {2 * channels, height, width});
  if (picture != decoded || picture[0] != 3)
    return mismatch("vae_encoder", picture, {3, decoded[1], decoded[2]});
  shapes_ = {.height = picture[1],
             .width = picture[2],
             .latentChannels = channels,
             .latentHeight = height,
             .latentWidth = width,
             .tokens = ids[0]};
  return absl::OkStatus();
}

absl::StatusOr<Tensor> PackageModels::encodeText(const Tensor &ids) {
  return take(*textEncoder_, textEncoder_->run({{"input_ids", ids}}), "last_hidden_state", 3);
}

absl::StatusOr<Tensor> PackageModels::unet(const Tensor &sample, int64_t timestep,
                                           const Tensor &hidden) {
  Tensor time = Tensor::of<int64_t>({1}, std::span<const int64_t>(&timestep, 1));
  return take(
      *unet_,
      unet_->run({{"sample", sample}, {"timestep", time}, {"encoder_hidden_states", hidden}}),
      "out_sample", 4);
}

absl::StatusOr<Tensor> PackageModels::encodePicture(const Tensor &picture) {
  return take(*vaeEncoder_, vaeEncoder_->run({{"sample", picture}}), "latent_parameters", 4);
}

absl::StatusOr<Tensor> PackageModels::decodeLatent(const Tensor &latent) {
  return take(*vaeDecoder_, vaeDecoder_->run({{"latent_sample", latent}}), "sample", 4);
}

std::vector<ModuleTotals> PackageModels::totals() const {
  return {textEncoder_->totals(), unet_->totals(), vaeEncoder_->totals(), vaeDecoder_->totals()};
}

} // namespace sdopt
