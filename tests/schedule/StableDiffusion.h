//===- StableDiffusion.h - the layers of SD 2.1 at full size ----*- C++ -*-===//

#ifndef SDOPT_TESTS_SCHEDULE_STABLEDIFFUSION_H
#define SDOPT_TESTS_SCHEDULE_STABLEDIFFUSION_H

#include "compiler/schedule/Network.h"
#include "compiler/target/Target.h"

namespace sdopt {

/// The inpainting UNet (9 channels in) for `size` x `size` latents, every layer in order; of
/// several pictures with a text each, as classifier-free guidance runs both of its branches.
Network unet(int64_t size, ElementType type, int64_t pictures = 1);

/// The same with what depends on the text, or on the timestep, alone in phases of their own, as
/// sdopt-compile hoists it.
Network inPhases(const Network &unet);

/// The same with weights of 4 bits, in groups of 64.
Network fourBits(Network network);

/// Layers that may be by Winograd, and those that then are.
struct Windows {
  int all = 0, paying = 0;
};
/// Makes convolutions by F(2x2, 3x3): where it pays, or all that may be.
Windows useWinograd(Network &network, const Target &target, bool onlyPaying = true);

/// Makes each convolution that may be by Winograd in the form of the fewest cycles. Returns how
/// many are by F(4x4, 3x3).
int useFastestForms(Network &network, const Target &target);

/// The VAE decoder from `size` x `size` latents.
Network vaeDecoder(int64_t size, ElementType type, int64_t pictures = 1);

} // namespace sdopt

#endif // SDOPT_TESTS_SCHEDULE_STABLEDIFFUSION_H
