//===- Models.h - the four modules as the pipeline calls them ---*- C++ -*-===//
//
// Everything in real values, in the shapes of the ONNX modules. The simulator is one
// implementation; tests use recorded values.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_MODELS_H
#define SDOPT_TOOLS_SDOPT_RUN_MODELS_H

#include "absl/status/statusor.h"
#include "compiler/kernels/Tensor.h"

namespace sdopt {

struct ModelShapes {
  int64_t height = 0, width = 0; ///< of the picture
  int64_t latentChannels = 4, latentHeight = 0, latentWidth = 0;
  int64_t tokens = 77;
};

class Models {
public:
  virtual ~Models() = default;
  virtual ModelShapes shapes() const = 0;
  /// I64 [2][tokens] -> F32 [2][tokens][hidden].
  virtual absl::StatusOr<Tensor> encodeText(const Tensor &ids) = 0;
  /// F32 [2][2 * latentChannels + 1][h][w], F32 [2][tokens][hidden] -> F32
  /// [2][latentChannels][h][w]. Row 0 is unconditional, row 1 conditional.
  virtual absl::StatusOr<Tensor> unet(const Tensor &sample, int64_t timestep,
                                      const Tensor &hidden) = 0;
  /// F32 [1][3][H][W] in [-1, 1] -> F32 [1][2 * latentChannels][h][w]: mean, log variance.
  virtual absl::StatusOr<Tensor> encodePicture(const Tensor &picture) = 0;
  /// F32 [1][latentChannels][h][w] -> F32 [1][3][H][W].
  virtual absl::StatusOr<Tensor> decodeLatent(const Tensor &latent) = 0;
};

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_MODELS_H
