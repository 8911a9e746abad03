//===- PackageModels.h - a package's modules on the simulator ---*- C++ -*-===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_PACKAGEMODELS_H
#define SDOPT_TOOLS_SDOPT_RUN_PACKAGEMODELS_H

#include "tools/sdopt-run/Models.h"
#include "tools/sdopt-run/ModuleRunner.h"

#include <memory>

namespace sdopt {

class PackageModels : public Models {
public:
  /// The package must hold text_encoder, unet, vae_encoder and vae_decoder with the inputs of the
  /// diffusers layout (input_ids; sample, timestep, encoder_hidden_states; sample; latent_sample)
  /// and shapes that fit each other. Errors name the module and what is missing or differs. Keeps
  /// a reference to the package.
  static absl::StatusOr<std::unique_ptr<PackageModels>> create(const Package &package,
                                                               const Target &target);

  ModelShapes shapes() const override { return shapes_; }
  absl::StatusOr<Tensor> encodeText(const Tensor &ids) override;
  absl::StatusOr<Tensor> unet(const Tensor &sample, int64_t timestep,
                              const Tensor &hidden) override;
  absl::StatusOr<Tensor> encodePicture(const Tensor &picture) override;
  absl::StatusOr<Tensor> decodeLatent(const Tensor &latent) override;

  /// Of the four modules, in order of use.
  std::vector<ModuleTotals> totals() const;

private:
  PackageModels() = default;
  absl::Status readShapes();
  ModelShapes shapes_;
  std::unique_ptr<ModuleRunner> textEncoder_, unet_, vaeEncoder_, vaeDecoder_;
};

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_PACKAGEMODELS_H
