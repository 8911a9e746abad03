"""Denoising with guidance through a pipeline's modules; every call of every module is recorded.

Each module is opened once, used for all trajectories and closed, so that one is in memory at a
time. Axis 0 of a denoiser's tensors counts calls, trajectory by trajectory and step by step; axis 1
is [unconditional, conditional].
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import UsageError
from .graphs import SD3_T5_TOKENS, family_of
from .pictures import draw_mask, draw_picture
from .progress import Progress
from .runners import Array, Modules, Values, run_rows
from .samples import SampleWriter, layout_of, write_samples

PARTS = ("calibration", "test")


@dataclass
class Trajectory:
    prompt: str
    seed: int
    picture: Array | None = None
    mask: Array | None = None
    code: Array | None = None  # latent of the masked picture
    latent: Array | None = None  # what denoising gave


@dataclass
class Settings:
    steps: int
    guidance: float
    height: int | None = None
    width: int | None = None


@dataclass
class Text:
    """What the denoiser gets for one prompt: rows of 1."""

    states: Array
    pooled: Array | None = None


@dataclass
class Recording:
    """A pipeline folder, its modules and what is recorded from them."""

    folder: Path
    modules: Modules
    settings: Settings
    parts: Mapping[str, Sequence[Trajectory]]
    output: Path
    progress: Progress
    index: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.index = _read_json(self.folder / "model_index.json")
        self.family = family_of(str(self.index.get("_class_name", "")))
        self.denoiser = "transformer" if "transformer" in self.modules.names else "unet"
        for name in ("text_encoder", self.denoiser):
            if name not in self.modules.names:
                found = ", ".join(self.modules.names) or "nothing"
                raise UsageError(f"'{self.folder}' has {found}; needed for a recording: {name}")
        self.scheduler_config = _read_json(self.folder / "scheduler" / "scheduler_config.json")

    def provenance(self, part: str) -> dict[str, str]:
        trajectories = self.parts[part]
        return {
            "prompts": json.dumps([entry.prompt for entry in trajectories]),
            "seeds": json.dumps([entry.seed for entry in trajectories]),
            "trajectories": str(len(trajectories)),
            "steps": str(self.settings.steps),
            "guidance": str(self.settings.guidance),
            "scheduler": str(self.scheduler_config.get("_class_name", "")),
            "scheduler_config": json.dumps(self.scheduler_config, sort_keys=True),
            "pipeline": self.folder.resolve().name,
            "runtime": self.modules.runtime,
        }

    def path(self, module: str, part: str) -> Path:
        return self.output / f"{module}_{part}.safetensors"

    def all(self) -> list[Trajectory]:
        return [entry for part in PARTS for entry in self.parts[part]]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read '{path}': {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"'{path}' is not a JSON object")
    return value


def split_trajectories(
    prompts: Sequence[str], seeds: Sequence[int], share: float
) -> dict[str, list[Trajectory]]:
    """Calibration and test share no prompt; with one prompt, no seed. `share`: of the test."""

    def cut(values: Sequence[Any]) -> int:
        return len(values) - min(max(1, round(share * len(values))), len(values) - 1)

    if not prompts or not seeds:
        raise UsageError("a recording needs at least one prompt and one seed")
    if len(prompts) > 1:
        first = cut(prompts)
        sides = [(prompts[:first], seeds), (prompts[first:], seeds)]
    elif len(seeds) > 1:
        first = cut(seeds)
        sides = [(prompts, seeds[:first]), (prompts, seeds[first:])]
    else:
        raise UsageError(
            "one prompt with one seed cannot be split into calibration and test; give more of one"
        )
    return {
        part: [Trajectory(prompt, seed) for prompt in texts for seed in numbers]
        for part, (texts, numbers) in zip(PARTS, sides, strict=True)
    }


def _tokenizer(folder: Path) -> Any:
    transformers: Any = importlib.import_module("transformers")
    name = _read_json(folder / "tokenizer_config.json").get("tokenizer_class", "CLIPTokenizer")
    cls = getattr(transformers, str(name), transformers.AutoTokenizer)
    return cls.from_pretrained(str(folder))


def _encode(recording: Recording, name: str, texts: Sequence[str]) -> dict[str, Values]:
    """Runs one text encoder over all texts; records it; its results by text."""
    recording.progress.stage(f"{name}: {len(texts)} texts")
    tokenizer = _tokenizer(recording.folder / name.replace("text_encoder", "tokenizer"))
    runner = recording.modules.open(name)
    length = runner.shapes["input_ids"][1] or tokenizer.model_max_length
    results: dict[str, Values] = {}
    for text in texts:
        ids = tokenizer(text, padding="max_length", max_length=length, truncation=True)["input_ids"]
        values = {"input_ids": np.array([ids], np.int64)}
        results[text] = values | run_rows(runner, values)
    for part in PARTS:
        used = dict.fromkeys([entry.prompt for entry in recording.parts[part]] + [""])
        stacked = {
            key: np.concatenate([results[text][key] for text in used]) for key in results[""]
        }
        write_samples(recording.path(name, part), stacked, recording.provenance(part))
    return results


def encode_texts(recording: Recording) -> dict[str, Text]:
    texts = list(dict.fromkeys([entry.prompt for entry in recording.all()] + [""]))
    encoders = sorted(name for name in recording.modules.names if name.startswith("text_encoder"))
    found = {name: _encode(recording, name, texts) for name in encoders}
    if recording.family == "sd":
        return {text: Text(found["text_encoder"][text]["last_hidden_state"]) for text in texts}
    result: dict[str, Text] = {}
    for text in texts:
        clip = [found[name][text] for name in ("text_encoder", "text_encoder_2") if name in found]
        states = np.concatenate([values["hidden_state"] for values in clip], axis=-1)
        pooled = np.concatenate(
            [values["text_embeds"] for values in clip if "text_embeds" in values], axis=-1
        )
        if recording.family == "sd3":
            t5 = found.get("text_encoder_3", {}).get(text, {}).get("last_hidden_state")
            states = _joined_states(recording, states, t5)
        result[text] = Text(states, pooled)
    if recording.family == "sdxl" and recording.index.get("force_zeros_for_empty_prompt", True):
        empty = result[""]
        result[""] = Text(
            np.zeros_like(empty.states), None if empty.pooled is None else np.zeros_like(empty.pooled)
        )
    return result


def _joined_states(recording: Recording, clip: Array, t5: Array | None) -> Array:
    """CLIP's states, filled up with zeros to the width of T5's, then T5's (zero without it)."""
    config = _read_json(recording.folder / "transformer" / "config.json")
    width = int(config["joint_attention_dim"])
    padded = np.zeros((1, clip.shape[1], width), np.float32)
    padded[:, :, : clip.shape[2]] = clip
    if t5 is None:
        t5 = np.zeros((1, SD3_T5_TOKENS, width), np.float32)
    return np.concatenate([padded, t5], axis=1)


def _vae_numbers(recording: Recording) -> tuple[float, float]:
    """Scale and shift between the autoencoder's code and the denoiser's latent."""
    if "vae_scaling_factor" in recording.index:
        config: Mapping[str, Any] = recording.index
        keys = ("vae_scaling_factor", "vae_shift_factor")
    else:
        config = _read_json(recording.folder / "vae" / "config.json")
        keys = ("scaling_factor", "shift_factor")
    return float(config.get(keys[0], 0.18215)), float(config.get(keys[1]) or 0.0)


def _latent_shape(recording: Recording, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Channels, height and width of the denoiser's input."""
    _, channels, height, width = shapes[_picture_input(recording)]
    config = _read_json(recording.folder / recording.denoiser / "config.json")
    size = config.get("sample_size", 64)
    default = (size, size) if isinstance(size, int) else tuple(size)
    factor = _vae_factor(recording)
    settings = recording.settings
    wanted = (
        settings.height // factor if settings.height else height or default[0],
        settings.width // factor if settings.width else width or default[1],
    )
    if (height or wanted[0], width or wanted[1]) != wanted:
        raise UsageError(
            f"--height, --width ask for latents of {wanted[0]}x{wanted[1]}; the exported "
            f"{recording.denoiser} has {height}x{width}"
        )
    return channels, wanted[0], wanted[1]


def _vae_factor(recording: Recording) -> int:
    for name in ("vae_decoder", "vae"):
        path = recording.folder / name / "config.json"
        if path.exists():
            return int(2 ** (len(_read_json(path)["block_out_channels"]) - 1))
    return 8


def _picture_input(recording: Recording) -> str:
    return "hidden_states" if recording.denoiser == "transformer" else "sample"


def encode_pictures(recording: Recording, latent: tuple[int, ...], inpainting: bool) -> None:
    """Gives each trajectory a picture, for inpainting a mask, and the masked picture's latent."""
    factor = _vae_factor(recording)
    scale, shift = _vae_numbers(recording)
    for entry in recording.all():
        height, width = factor * latent[1], factor * latent[2]
        number = entry.seed + sum(entry.prompt.encode())
        entry.picture = draw_picture(height, width, number)
        entry.mask = draw_mask(height, width, number)
    if "vae_encoder" not in recording.modules.names:
        if inpainting:
            raise UsageError("inpainting needs the module vae_encoder; export it too")
        return
    runner = recording.modules.open("vae_encoder")
    started, done = time.monotonic(), 0
    for part in PARTS:
        recorded: list[Values] = []
        for entry in recording.parts[part]:
            assert entry.picture is not None and entry.mask is not None
            fed = entry.picture * (entry.mask < 0.5) if inpainting else entry.picture
            values = {"sample": fed.astype(np.float32)}
            recorded.append(values | run_rows(runner, values))
            moments = recorded[-1]["latent_parameters"]
            entry.code = (moments[:, : moments.shape[1] // 2] - shift) * scale
            done += 1
            recording.progress.step("vae_encoder", done, len(recording.all()), started)
        _write_rows(recording, "vae_encoder", part, recorded)


def _write_rows(
    recording: Recording, module: str, part: str, recorded: Sequence[Values]
) -> None:
    stacked = {key: np.concatenate([row[key] for row in recorded]) for key in recorded[0]}
    write_samples(recording.path(module, part), stacked, recording.provenance(part))


def _scheduler(recording: Recording) -> Any:
    diffusers: Any = importlib.import_module("diffusers")
    name = str(recording.scheduler_config.get("_class_name", ""))
    cls = getattr(diffusers, name, None)
    if cls is None:
        raise UsageError(f"diffusers has no scheduler '{name}' (scheduler/scheduler_config.json)")
    return cls.from_config(dict(recording.scheduler_config))


def _timestep(value: Any, dtype: str) -> Array:
    number = float(value)
    if dtype.startswith("int") and number != round(number):
        raise UsageError(
            f"the scheduler asks for timestep {number:g}, but the exported denoiser takes whole "
            "numbers; export again with this scheduler in the pipeline"
        )
    return np.array([number], dtype)


@dataclass
class _Denoising:
    """What stays the same for all steps of all trajectories."""

    recording: Recording
    texts: Mapping[str, Text]
    latent: tuple[int, ...]  # of the noise: channels, height, width
    inpainting: bool
    timestep_type: str
    runner: Any

    def inputs(self, entry: Trajectory, latent: Array, timestep: Array) -> Values:
        rows = latent
        if self.inpainting:
            assert entry.mask is not None and entry.code is not None
            factor = entry.mask.shape[2] // latent.shape[2]
            mask = entry.mask[:, :, ::factor, ::factor]
            rows = np.concatenate([latent, mask, entry.code], axis=1)
        both = [self.texts[""], self.texts[entry.prompt]]
        values: Values = {
            _picture_input(self.recording): np.repeat(rows, 2, axis=0).astype(np.float32),
            "timestep": timestep,
            "encoder_hidden_states": np.concatenate([text.states for text in both]),
        }
        pooled = [text.pooled for text in both if text.pooled is not None]
        if "pooled_projections" in self.runner.shapes:
            values["pooled_projections"] = np.concatenate(pooled)
        if "time_ids" in self.runner.shapes:
            factor = _vae_factor(self.recording)
            size = [factor * self.latent[1], factor * self.latent[2]]
            values["text_embeds"] = np.concatenate(pooled)
            values["time_ids"] = np.array([[*size, 0, 0, *size]] * 2, np.float32)
        return values


def _denoise(work: _Denoising, part: str, started: float, done: int) -> int:
    """All trajectories of a part into its file; how many calls are done now."""
    import torch

    recording, settings = work.recording, work.recording.settings
    entries = recording.parts[part]
    calls = len(entries) * settings.steps
    total = len(recording.all()) * settings.steps
    writer: SampleWriter | None = None
    layout = "axis 0 = trajectory-major calls; axis 1 = [unconditional, conditional]"
    metadata = {**recording.provenance(part), "layout": layout}
    try:
        for number, entry in enumerate(entries):
            scheduler = _scheduler(recording)
            try:
                scheduler.set_timesteps(settings.steps)
            except ValueError as error:
                raise UsageError(f"--steps {settings.steps}: {error}") from error
            if len(scheduler.timesteps) != settings.steps:
                raise UsageError(
                    f"{type(scheduler).__name__} calls the model {len(scheduler.timesteps)} times "
                    f"for {settings.steps} steps; use a scheduler with one call a step"
                )
            noise = torch.Generator().manual_seed(entry.seed)
            latent = torch.randn((1, *work.latent), generator=noise)
            latent = latent * getattr(scheduler, "init_noise_sigma", 1.0)
            for index, moment in enumerate(scheduler.timesteps):
                scaled = latent
                if hasattr(scheduler, "scale_model_input"):
                    scaled = scheduler.scale_model_input(latent, moment)
                timestep = _timestep(moment, work.timestep_type)
                values = work.inputs(entry, scaled.numpy(), timestep)
                values |= run_rows(work.runner, values)
                values["timestep"] = timestep.reshape(())
                if writer is None:
                    layouts = {name: layout_of(value, calls) for name, value in values.items()}
                    path = recording.path(recording.denoiser, part)
                    writer = SampleWriter(path, layouts, metadata)
                writer.write(number * settings.steps + index, values)
                output = values["out_sample" if recording.denoiser == "unet" else "out_hidden_states"]
                guided = output[:1] + settings.guidance * (output[1:] - output[:1])
                latent = scheduler.step(torch.from_numpy(guided), moment, latent).prev_sample
                done += 1
                recording.progress.step(recording.denoiser, done, total, started)
            entry.latent = latent.numpy().astype(np.float32)
    except BaseException as error:
        if writer is not None:
            writer.__exit__(type(error), error, None)
        raise
    if writer is not None:
        writer.__exit__(None, None, None)
    return done


def denoise(recording: Recording, texts: Mapping[str, Text]) -> None:
    runner = recording.modules.open(recording.denoiser)
    channels, height, width = _latent_shape(recording, runner.shapes)
    config = _read_json(recording.folder / recording.denoiser / "config.json")
    latent_channels = int(config.get("out_channels") or channels)
    inpainting = channels == 2 * latent_channels + 1
    encode_pictures(recording, (channels, height, width), inpainting)
    work = _Denoising(
        recording,
        texts,
        (latent_channels, height, width),
        inpainting,
        runner.types["timestep"],
        runner,
    )
    started, done = time.monotonic(), 0
    for part in PARTS:
        done = _denoise(work, part, started, done)


def decode(recording: Recording) -> None:
    """Decodes every trajectory's latent; writes vae_decoder's and the whole pipeline's files."""
    scale, shift = _vae_numbers(recording)
    runner = None
    if "vae_decoder" in recording.modules.names:
        runner = recording.modules.open("vae_decoder")
    started, done = time.monotonic(), 0
    for part in PARTS:
        recorded: list[Values] = []
        whole: list[Values] = []
        for entry in recording.parts[part]:
            assert entry.latent is not None and entry.picture is not None and entry.mask is not None
            row = {"image": entry.picture, "mask": entry.mask, "latent": entry.latent}
            if runner is not None:
                values = {"latent_sample": entry.latent / np.float32(scale) + np.float32(shift)}
                recorded.append(values | run_rows(runner, values))
                row["picture"] = recorded[-1]["sample"]
                done += 1
                recording.progress.step("vae_decoder", done, len(recording.all()), started)
            whole.append(row)
        if recorded:
            _write_rows(recording, "vae_decoder", part, recorded)
        _write_rows(recording, "pipeline", part, whole)


def record(recording: Recording) -> None:
    texts = encode_texts(recording)
    denoise(recording, texts)
    decode(recording)
