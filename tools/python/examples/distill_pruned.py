#!/usr/bin/env python3
"""Trains a pruned UNet after its float original (knowledge distillation) and gives it back to sdopt-compile.

    sdopt-compile MODEL --modules unet --samples SAMPLES --recipe RECIPE --export-masks masks -o before.sdnpu
    distill_pruned.py MODEL SAMPLES masks/unet.safetensors -o tuned
    sdopt-compile tuned --modules unet --samples SAMPLES --recipe RECIPE --masks masks/unet.safetensors -o after.sdnpu

Teacher and student are the UNet of MODEL, the student without the weights whose mask is false. The student learns the noise that
the teacher predicts for recorded calls and for blends of them with noise at other timesteps; weights that are zero stay zero. Zeros
come from the file alone, so that masks from anywhere else do as well. The small model takes three minutes on one core.
"""
import argparse
import pathlib
import shutil

import numpy as np
import onnx
import safetensors.torch
import torch
from diffusers import UNet2DConditionModel
from onnx import numpy_helper


class OnnxWeights:
    """Initializers of an exported UNet by the names of the module's parameters."""

    def __init__(self, path: pathlib.Path) -> None:
        self.model = onnx.load(path)
        self.initializers = {tensor.name: tensor for tensor in self.model.graph.initializer}
        self.places: dict[str, tuple[str, bool]] = {}  # parameter -> initializer, transposed
        prefix = "unet."
        for name in self.initializers:
            if name.startswith(prefix):
                self.places[name.removeprefix(prefix)] = (name, False)
        # Exporters transpose the weights of linear layers and name them after nothing: the node's path says whose they are.
        for node in self.model.graph.node:
            if node.op_type == "MatMul" and node.input[1] in self.initializers:
                parts = [part for part in node.name.split("/")[:-1] if part]
                self.places[".".join(parts[1:]) + ".weight"] = (node.input[1], True)

    def read(self, parameter: str) -> torch.Tensor:
        name, transposed = self.places[parameter]
        values = torch.from_numpy(numpy_helper.to_array(self.initializers[name]).copy()).float()
        return values.T.contiguous() if transposed else values

    def write(self, parameter: str, values: torch.Tensor) -> None:
        name, transposed = self.places[parameter]
        tensor = self.initializers[name]
        array = (values.T if transposed else values).detach().cpu().numpy()
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array).astype(dtype), name))


def load_unet(folder: pathlib.Path, weights: OnnxWeights) -> tuple[UNet2DConditionModel, list[str]]:
    """The module and the parameters that the ONNX file holds as they are (scales of folded norms are not among them)."""
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder))
    state = unet.state_dict()
    known = [name for name in state if name in weights.places and weights.read(name).shape == state[name].shape]
    for name in known:
        state[name] = weights.read(name)
    missing = [name for name in state if name not in known]
    for name in missing:
        state[name] = folded_norm(weights, name)
    unet.load_state_dict(state)
    return unet, known


def folded_norm(weights: OnnxWeights, parameter: str) -> torch.Tensor:
    """Scale or shift of a group norm: the exporter multiplies and adds them, [channels, 1, 1], behind its InstanceNormalization."""
    module, kind = parameter.rsplit(".", 1)
    for node in weights.model.graph.node:
        path = ".".join([part for part in node.name.split("/")[:-1] if part][1:])
        if path == module and node.op_type == ("Mul" if kind == "weight" else "Add"):
            for name in node.input:
                if name in weights.initializers:
                    return torch.from_numpy(numpy_helper.to_array(weights.initializers[name]).copy()).float().reshape(-1)
    raise SystemExit(f"error: the ONNX file has no parameter '{parameter}'")


def read_masks(path: pathlib.Path, unet: torch.nn.Module) -> dict[str, torch.Tensor]:
    parameters = dict(unet.named_parameters())
    masks = {}
    for name, mask in safetensors.torch.load_file(path).items():
        parameter = name.removeprefix("unet.")
        if parameter not in parameters or parameters[parameter].shape != mask.shape:
            raise SystemExit(f"error: '{path}': no parameter has the name and shape of mask '{name}'")
        masks[parameter] = mask
    return masks


def apply_masks(unet: torch.nn.Module, masks: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if name in masks:
                parameter.mul_(masks[name])


def read_calls(path: pathlib.Path, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows of all calls: latents, timesteps and prompts."""
    tensors = safetensors.torch.load_file(path, device=device)
    sample, prompt = tensors["sample"].float(), tensors["encoder_hidden_states"].float()
    rows = sample.shape[1]
    timestep = tensors["timestep"].float().reshape(-1).repeat_interleave(rows)
    return sample.flatten(0, 1), timestep, prompt.flatten(0, 1)


def psnr(teacher: torch.nn.Module, student: torch.nn.Module, calls: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> float:
    error = largest = count = 0.0
    with torch.no_grad():
        for sample, timestep, prompt in zip(*(tensor.split(32) for tensor in calls)):
            expected = teacher(sample, timestep, prompt).sample
            actual = student(sample, timestep, prompt).sample
            error += (actual - expected).square().sum().item()
            largest = max(largest, expected.abs().max().item())
            count += expected.numel()
    return 20 * np.log10(largest / np.sqrt(error / count))


def batch_of(calls: tuple[torch.Tensor, torch.Tensor, torch.Tensor], size: int, channels: int, random: torch.Generator
             ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Half of the rows as recorded, half with their latents blended with noise and the timestep moved by as much."""
    sample, timestep, prompt = calls
    rows = torch.randint(len(sample), (size,), generator=random).to(sample.device)
    sample, timestep, prompt = sample[rows].clone(), timestep[rows].clone(), prompt[rows]
    half = size // 2
    share = torch.rand(half, generator=random)[:, None, None, None].to(sample.device)
    noise = torch.randn(sample[:half, :channels].shape, generator=random).to(sample.device)
    sample[:half, :channels] = (1 - share).sqrt() * sample[:half, :channels] + share.sqrt() * noise
    timestep[:half] = (timestep[:half] + share.flatten() * (999 - timestep[:half])).round()
    return sample, timestep, prompt


def train(teacher: torch.nn.Module, student: torch.nn.Module, masks: dict[str, torch.Tensor], options: argparse.Namespace,
          calls: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    random = torch.Generator().manual_seed(options.seed)
    trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=options.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total_steps=options.steps)
    channels = teacher.config.out_channels
    for step in range(options.steps):
        sample, timestep, prompt = batch_of(calls, options.batch, channels, random)
        with torch.no_grad():
            expected = teacher(sample, timestep, prompt).sample
        loss = (student(sample, timestep, prompt).sample - expected).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        apply_masks(student, masks)
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}/{options.steps}: loss {loss.item():.2e}", flush=True)


def save(model: pathlib.Path, out: pathlib.Path, weights: OnnxWeights, student: torch.nn.Module, known: list[str]) -> None:
    for name, values in student.state_dict().items():
        if name in known:
            weights.write(name, values)
    shutil.copytree(model, out)
    for old in (out / "unet").glob("*.onnx*"):
        old.unlink()
    onnx.save(weights.model, out / "unet" / "model.onnx", save_as_external_data=True, location="model.onnx_data")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="folder of ONNX modules")
    parser.add_argument("samples", type=pathlib.Path, help="folder with unet_calibration and unet_test")
    parser.add_argument("masks", type=pathlib.Path, help="from sdopt-compile --export-masks")
    parser.add_argument("-o", "--out", type=pathlib.Path, required=True, help="folder that gets MODEL with the trained UNet; must not exist")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of a CPU; with one the result is always the same")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: %(default)s")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.out.exists():
        raise SystemExit(f"error: '{options.out}' is there already")
    weights = OnnxWeights(options.model / "unet" / "model.onnx")
    teacher, known = load_unet(options.model / "unet", weights)
    student, _ = load_unet(options.model / "unet", weights)
    teacher.requires_grad_(False)
    # What the ONNX file holds in another form stays as it is.
    for name, parameter in student.named_parameters():
        parameter.requires_grad_(name in known)
    masks = {name: mask.to(options.device) for name, mask in read_masks(options.masks, student).items()}
    teacher.to(options.device)
    student.to(options.device)
    calls = read_calls(options.samples / "unet_calibration.safetensors", options.device)
    test = read_calls(options.samples / "unet_test.safetensors", options.device)
    apply_masks(student, masks)
    before = psnr(teacher, student, test)
    print(f"pruned: {before:.2f} dB", flush=True)
    train(teacher, student, masks, options, calls)
    after = psnr(teacher, student, test)
    save(options.model, options.out, weights, student, known)
    print(f"predicted noise on test calls, against the teacher's: {before:.2f} dB pruned, {after:.2f} dB trained")


if __name__ == "__main__":
    main()
