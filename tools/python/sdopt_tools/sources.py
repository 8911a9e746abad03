"""Where the components of a pipeline come from: a diffusers folder, a hub id, or random weights."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from . import networks, tokenizer_files
from .architectures import Architecture
from .errors import UsageError
from .graphs import Surroundings, component_of, family_of, vae_factor


class Source(Protocol):
    """A pipeline whose components are loaded one at a time."""

    pipeline_class: str
    extra: Mapping[str, Any]  # further entries of model_index.json that change what is computed

    def component_names(self) -> list[str]: ...

    def load(self, name: str) -> nn.Module:
        """The component with its weights, in float32."""
        ...

    def config(self, name: str) -> Mapping[str, Any]:
        """The configuration of a component that is not loaded."""
        ...

    def scheduler_class(self) -> str: ...

    def write_files(self, folder: Path) -> None:
        """Writes the tokenizers and scheduler/scheduler_config.json."""
        ...


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, default=str)
        file.write("\n")


class RandomSource:
    def __init__(self, architecture: Architecture, seed: int, initial: bool = False) -> None:
        self._architecture, self._seed, self._initial = architecture, seed, initial
        self.pipeline_class = architecture.pipeline_class
        self.extra = architecture.extra

    def component_names(self) -> list[str]:
        return [component.name for component in self._architecture.components]

    def load(self, name: str) -> nn.Module:
        component = self._architecture.component(name)
        return networks.create_random(component, self._seed, initial=self._initial)

    def config(self, name: str) -> Mapping[str, Any]:
        return self._architecture.component(name).config

    def scheduler_class(self) -> str:
        return self._architecture.scheduler_class

    def write_files(self, folder: Path) -> None:
        for index, name in enumerate(self._architecture.tokenizers):
            text = self.config(name.replace("tokenizer", "text_encoder"))
            # The second tokenizer of SDXL and SD3 pads with token 0.
            pad = "!" if index == 1 else tokenizer_files.END_TOKEN
            tokenizer_files.write_tokenizer(
                folder / name, text["vocab_size"], text["max_position_embeddings"], pad
            )
        scheduler = {"_class_name": self.scheduler_class(), **self._architecture.scheduler}
        _write_json(folder / "scheduler" / "scheduler_config.json", scheduler)


class FolderSource:
    """A pipeline as diffusers saves it: model_index.json and a folder for each component."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index = _read_object(folder / "model_index.json")
        if "_class_name" not in self._index:
            raise UsageError(f"'{folder / 'model_index.json'}' has no _class_name")
        self.pipeline_class = str(self._index["_class_name"])
        kept = ("force_zeros_for_empty_prompt", "requires_aesthetics_score")
        self.extra: Mapping[str, Any] = {key: self._index[key] for key in kept if key in self._index}

    def _entry(self, name: str) -> tuple[str, str] | None:
        entry = self._index.get(name)
        if isinstance(entry, list) and len(entry) == 2 and all(entry):
            return str(entry[0]), str(entry[1])
        return None

    def component_names(self) -> list[str]:
        known = ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3", "vae")
        return [name for name in known if self._entry(name)]

    def load(self, name: str) -> nn.Module:
        entry = self._entry(name)
        if entry is None or entry[0] not in ("diffusers", "transformers"):
            raise UsageError(f"'{self._folder}' has no {name} of diffusers or transformers")
        cls = getattr(importlib.import_module(entry[0]), entry[1], None)
        if cls is None:
            raise UsageError(f"{entry[0]} has no class {entry[1]}, which {name} needs; update it")
        options: dict[str, Any] = {"torch_dtype": torch.float32}
        if entry[0] == "transformers":
            options = {"dtype": torch.float32, "attn_implementation": "eager"}
        try:
            loaded = cls.from_pretrained(str(self._folder / name), **options)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UsageError(f"cannot load {self._folder / name}: {reason}") from error
        return _frozen(loaded)

    def config(self, name: str) -> Mapping[str, Any]:
        return _read_object(self._folder / name / "config.json")

    def scheduler_class(self) -> str:
        entry = self._entry("scheduler")
        if entry is None:
            raise UsageError(f"'{self._folder / 'model_index.json'}' names no scheduler")
        return entry[1]

    def write_files(self, folder: Path) -> None:
        for entry in sorted(self._folder.iterdir()):
            if entry.is_dir() and entry.name.startswith(("tokenizer", "scheduler")):
                shutil.copytree(entry, folder / entry.name)


def _frozen(network: nn.Module) -> nn.Module:
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network.eval()


def _read_object(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"'{path}' is missing; needed: a pipeline as diffusers saves it") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read '{path}': {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"'{path}' is not a JSON object")
    return value


def open_pipeline(name: str) -> FolderSource:
    """A local folder, or else a hub id whose files are downloaded (or found in the cache)."""
    if Path(name).is_dir():
        return FolderSource(Path(name))
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UsageError(f"no such folder: '{name}'; a hub id is written OWNER/NAME")
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.txt", "*.model", "*/*.safetensors"]
    unwanted = ["*.fp16.*", "*.non_ema.*", "safety_checker/*"]
    try:
        folder = snapshot_download(name, allow_patterns=wanted, ignore_patterns=unwanted)
    except Exception as error:  # the hub's client raises errors of many libraries
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        raise UsageError(f"cannot download '{name}': {reason}") from error
    return FolderSource(Path(folder))


def graph_names(source: Source) -> list[str]:
    """The ONNX modules of a pipeline, in the order of their use."""
    names = source.component_names()
    texts = [name for name in names if name.startswith("text_encoder")]
    denoisers = [name for name in names if name in ("unet", "transformer")]
    vae = "vae" in names
    return texts + ["vae_encoder"] * vae + denoisers + ["vae_decoder"] * vae


def surroundings(source: Source) -> Surroundings:
    names = source.component_names()
    denoiser = next((name for name in names if component_of(name) in ("unet", "transformer")), None)
    if denoiser is None or "vae" not in names:
        found = ", ".join(names)
        raise UsageError(f"the pipeline has {found}; needed: a unet or transformer, and a vae")
    size = source.config(denoiser).get("sample_size", 64)
    latent = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    tokens = 77
    if "text_encoder" in names:
        tokens = int(source.config("text_encoder").get("max_position_embeddings", 77))
    return Surroundings(
        family=family_of(source.pipeline_class),
        vae_factor=vae_factor(source.config("vae")),
        latent=latent,
        timestep=timestep_type(source.scheduler_class()),
        text_tokens=tokens,
    )


def timestep_type(scheduler_class: str) -> torch.dtype:
    """Euler's and Heun's schedulers count time in fractions, the others in training steps."""
    fractional = ("Euler", "Heun", "LMS", "KDPM2", "FlowMatch", "EDM")
    return torch.float32 if any(word in scheduler_class for word in fractional) else torch.int64


def write_index(source: Source, folder: Path, names: list[str]) -> None:
    """model_index.json: the classes, and the numbers of the autoencoder that a runtime needs."""
    index: dict[str, Any] = {
        "_class_name": source.pipeline_class,
        "scheduler": ["diffusers", source.scheduler_class()],
        **source.extra,
    }
    for name in sorted({component_of(name) for name in names}):
        library = "transformers" if name.startswith("text_encoder") else "diffusers"
        index[name] = [library, _class_of(source, name)]
    for path in sorted(folder.glob("tokenizer*")):
        index[path.name] = ["transformers", _tokenizer_class(path)]
    vae = source.config("vae")
    index["vae_scaling_factor"] = vae.get("scaling_factor", 0.18215)
    if vae.get("shift_factor") is not None:
        index["vae_shift_factor"] = vae["shift_factor"]
    _write_json(folder / "model_index.json", index)


def _class_of(source: Source, name: str) -> str:
    if isinstance(source, RandomSource):
        return source._architecture.component(name).class_name
    config = source.config(name)
    architectures = config.get("architectures") or [""]
    return str(config.get("_class_name") or architectures[0])


def _tokenizer_class(folder: Path) -> str:
    config = _read_object(folder / "tokenizer_config.json")
    return str(config.get("tokenizer_class", "CLIPTokenizer"))
