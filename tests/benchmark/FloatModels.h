//===- FloatModels.h - the four modules in fp32 -----------------*- C++ -*-===//
//
// What a package is compared with: the normalized float functions, evaluated.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TESTS_BENCHMARK_FLOATMODELS_H
#define SDOPT_TESTS_BENCHMARK_FLOATMODELS_H

#include "absl/status/statusor.h"
#include "tools/sdopt-run/Models.h"

#include <memory>
#include <string>

namespace sdopt {

class FloatModels : public Models {
public:
  /// Imports and normalizes text_encoder, vae_encoder, unet and vae_decoder of a model folder.
  static absl::StatusOr<std::unique_ptr<FloatModels>> create(const std::string &folder);
  ~FloatModels() override;

  ModelShapes shapes() const override { return shapes_; }
  absl::StatusOr<Tensor> encodeText(const Tensor &ids) override;
  absl::StatusOr<Tensor> unet(const Tensor &sample, int64_t timestep,
                              const Tensor &hidden) override;
  absl::StatusOr<Tensor> encodePicture(const Tensor &picture) override;
  absl::StatusOr<Tensor> decodeLatent(const Tensor &latent) override;

private:
  class Module;
  FloatModels();
  absl::Status readShapes();
  ModelShapes shapes_;
  std::unique_ptr<Module> textEncoder_, unet_, vaeEncoder_, vaeDecoder_;
};

} // namespace sdopt

#endif // SDOPT_TESTS_BENCHMARK_FLOATMODELS_H
