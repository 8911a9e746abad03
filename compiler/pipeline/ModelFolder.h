//===- ModelFolder.h - a pipeline as its owner has it -----------*- C++ -*-===//
//
// A folder in the diffusers/optimum layout (model_index.json, <module>/model.onnx with
// <module>/config.json, tokenizer/, scheduler/) or one .onnx file.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PIPELINE_MODELFOLDER_H
#define SDOPT_COMPILER_PIPELINE_MODELFOLDER_H

#include "absl/status/statusor.h"
#include "compiler/import/Import.h"
#include "compiler/package/Package.h"
#include "compiler/pipeline/Options.h"

#include <string>
#include <vector>

namespace sdopt {

struct ModelModule {
  std::string name; ///< "unet": name of its folder, or of the file
  std::string path; ///< of the .onnx file
  ImportOptions import;
};

struct ModelFolder {
  std::string name; ///< last component of the path
  std::vector<ModelModule>
      modules; ///< text_encoder, vae_encoder, unet, vae_decoder, then others by name
  std::vector<ModelModule> leftOut; ///< that --modules does not name
  std::vector<Asset> assets;        ///< tokenizer, scheduler, model_index
};

/// Finds the modules and binds their symbolic dimensions: --input-shape and --batch first, then the
/// sizes of the modules' config.json (sample_size, max_position_embeddings; batch 2 for guidance in
/// text encoder and UNet). Errors name the folder.
absl::StatusOr<ModelFolder> openModelFolder(const CompileOptions &options);

/// Symbolic dimensions that a folder's modules may call one size of the latents: `name` and others.
std::vector<std::string> namesOfSize(const std::string &name);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_MODELFOLDER_H
