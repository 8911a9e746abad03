//===- StableDiffusion.h - the layers of SD 2.1 at full size ----*- C++ -*-===//

#ifndef SDOPT_TESTS_SCHEDULE_STABLEDIFFUSION_H
#define SDOPT_TESTS_SCHEDULE_STABLEDIFFUSION_H

#include "compiler/schedule/Network.h"

namespace sdopt {

/// The inpainting UNet (9 channels in) for `size` x `size` latents, every layer in order.
Network unet(int64_t size, ElementType type);

/// The VAE decoder from `size` x `size` latents.
Network vaeDecoder(int64_t size, ElementType type);

} // namespace sdopt

#endif // SDOPT_TESTS_SCHEDULE_STABLEDIFFUSION_H
