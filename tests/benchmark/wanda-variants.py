#!/usr/bin/env python3
"""What decides whether Wanda or magnitude chooses the better zeros: PSNR of the float UNet with half of its weights zero.

    tests/benchmark/wanda-variants.py MODEL SAMPLES MASKS.safetensors

MASKS (sdopt-compile --export-masks) names the layers that are pruned. Scores are compared in rows, in layers or in runs of four inputs; norms
are those of what layers read in the dense model, or after all blocks before were pruned, as published; calls count alike, or by the ratio of
signal to noise at their timestep (late), for the schedule of Stable Diffusion. Needs torch and diffusers; every fifth row of the calibration calls.
"""
import argparse
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tools/python/examples"))
import numpy as np
import safetensors.torch
import torch
from distill_pruned import OnnxWeights, load_unet, read_calls

BATCH = 40


def columns(module, inputs):
    """What each place of a kernel sees: [pictures, places, columns]."""
    if isinstance(module, torch.nn.Conv2d):
        return torch.nn.functional.unfold(inputs, module.kernel_size, padding=module.padding, stride=module.stride).transpose(1, 2)
    return inputs.reshape(inputs.shape[0], -1, inputs.shape[-1])


def keep_highest(scores, axis, share=0.5):
    order = scores.argsort(dim=axis, stable=True)
    lowest = order.narrow(axis, 0, int(share * scores.shape[axis]))
    return torch.ones_like(scores, dtype=torch.float32).scatter_(axis, lowest, 0)


def mask_of(scores, group):
    flat = scores.flatten(2) if scores.dim() == 4 else scores[:, :, None]
    if group == "layer":
        return keep_highest(scores.flatten(), 0).reshape(scores.shape)
    if group == "row":
        return keep_highest(flat.flatten(1), 1).reshape(scores.shape)
    outputs, inputs, taps = flat.shape
    short = -inputs % 4
    runs = torch.nn.functional.pad(flat, (0, 0, 0, short), value=float("inf")).reshape(outputs, -1, 4, taps)
    return keep_highest(runs, 2).reshape(outputs, -1, taps)[:, :inputs].reshape(scores.shape)


class Unet:
    def __init__(self, model, samples, masks):
        self.net, _ = load_unet(model / "unet", OnnxWeights(model / "unet" / "model.onnx"))
        self.net.requires_grad_(False)
        modules = dict(self.net.named_modules())
        self.layers = {name: modules[name] for name in (key.removeprefix("unet.").removesuffix(".weight") for key in masks)}
        self.dense = {name: module.weight.clone() for name, module in self.layers.items()}
        rows = read_calls(samples / "unet_calibration.safetensors", "cpu")
        some = [i for i in range(len(rows[0])) if (i // 2) % 5 == (i // 40) % 5]
        self.calls = tuple(tensor[some] for tensor in rows)
        self.test = read_calls(samples / "unet_test.safetensors", "cpu")
        self.reference = self.run(self.test)

    def run(self, calls):
        with torch.no_grad():
            return torch.cat([self.net(*rows).sample for rows in zip(*(tensor.split(BATCH) for tensor in calls))])

    def powers(self, names, weights):
        """Sum of x^2 of each column, rows of calls weighted."""
        sums, hooks, at = dict.fromkeys(names, 0), [], [0]
        for name in names:
            def add(module, inputs, name=name):
                seen = columns(module, inputs[0])
                sums[name] = sums[name] + (seen.double().square().sum(1) * weights[at[0]:at[0] + len(seen), None]).sum(0)
            hooks.append(self.layers[name].register_forward_pre_hook(add))
        with torch.no_grad():
            for rows in zip(*(tensor.split(BATCH) for tensor in self.calls)):
                self.net(*rows)
                at[0] += len(rows[0])
        for hook in hooks:
            hook.remove()
        return sums

    def set(self, masks):
        for name, module in self.layers.items():
            module.weight.copy_(self.dense[name] * masks.get(name, 1))

    def psnr(self, masks):
        self.set(masks)
        error = (self.run(self.test) - self.reference).square()
        self.set({})
        decibels = lambda part: float(20 * torch.log10(self.reference.abs().max()) - 10 * torch.log10(part.mean()))
        timesteps = self.test[1]
        return [decibels(error)] + [decibels(error[(timesteps >= low) & (timesteps < high)]) for low, high in ((500, 1000), (100, 500), (0, 100))]

    def blocks(self):
        """Layers by residual block or transformer block, in the order in which they run."""
        blocks = []
        for name in self.layers:
            block = re.sub(r"((resnets|transformer_blocks|attentions|downsamplers|upsamplers)\.\d+)(?!.*transformer_blocks).*", r"\1", name)
            if not blocks or blocks[-1][0] != block:
                blocks.append((block, []))
            blocks[-1][1].append(name)
        return [names for _, names in blocks]

    def wanda(self, group, weights, in_order):
        masks = {}
        for names in self.blocks() if in_order else [list(self.layers)]:
            powers = self.powers(names, weights)
            for name in names:
                scores = self.dense[name].double().abs()
                masks[name] = mask_of(scores * powers[name].sqrt().reshape(1, *scores.shape[1:]), group)
            self.set(masks)
        return masks


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("samples", type=pathlib.Path)
parser.add_argument("masks", type=pathlib.Path)
options = parser.parse_args()
torch.set_num_threads(1)
unet = Unet(options.model, options.samples, safetensors.torch.load_file(options.masks))
kept = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
late = torch.tensor([kept[int(t)] / (1 - kept[int(t)]) for t in unet.calls[1]])
print("| compared in | scores | calls count | PSNR | t >= 500 | 100 <= t < 500 | t < 100 |\n|---|---|---|---|---|---|---|", flush=True)


def tell(group, scores, count, masks):
    print(f"| {group} | {scores} | {count} | " + " | ".join(f"{value:.1f}" for value in unet.psnr(masks)) + " |", flush=True)


for group in ("row", "layer", "2:4"):
    tell(group, "magnitude", "", {name: mask_of(weights.abs(), group) for name, weights in unet.dense.items()})
    for in_order in (False, True):
        for count, weights in (("alike", torch.ones(len(unet.calls[0]))), ("late", late)):
            tell(group, "Wanda, " + ("in order" if in_order else "dense inputs"), count, unet.wanda(group, weights, in_order))
