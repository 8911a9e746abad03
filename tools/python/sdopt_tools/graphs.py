"""The ONNX graphs of a pipeline: what each one computes, its inputs, outputs and symbolic sizes.

  graph            input                                     output
  text_encoder     input_ids [B, 77]                         last_hidden_state, pooler_output
     (sdxl, sd3)                                             hidden_state, text_embeds
  unet             sample [B, C, H, W], timestep [1],        out_sample
                   encoder_hidden_states [B, 77, D]
     (sdxl)        and text_embeds [B, D2], time_ids [B, 6]
  transformer      hidden_states [B, C, H, W],               out_hidden_states
     (sd3)         encoder_hidden_states [B, 333, D],
                   pooled_projections [B, D2], timestep [1]
  vae_encoder      sample [B, 3, 8H, 8W]                     latent_parameters: mean, log variance
  vae_decoder      latent_sample [B, C, H, W]                sample
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .errors import UsageError

TIME_IDS = 6  # original height, width; crop top, left; target height, width
SD3_T5_TOKENS = 256  # the third text encoder's share of the transformer's text, zero without it


@dataclass
class Graph:
    """One network with the signature that its ONNX graph has."""

    name: str
    network: nn.Module
    inputs: dict[str, torch.Tensor]
    outputs: tuple[str, ...]
    symbolic: dict[str, dict[int, str]]
    config: Mapping[str, Any]

    def half(self) -> None:
        self.network.half()
        for name, value in self.inputs.items():
            if value.is_floating_point():
                self.inputs[name] = value.half()


@dataclass(frozen=True)
class Sizes:
    """Batch and picture size of a static graph; none: the size the pipeline was made for.

    With `any_size` the graph is to be traced with symbolic sizes: a UNet asks what it upsamples to
    only if it is traced with latents that it cannot halve evenly.
    """

    batch: int = 1
    height: int | None = None
    width: int | None = None
    any_size: bool = False


def family_of(pipeline_class: str) -> str:
    if pipeline_class.startswith("StableDiffusionXL"):
        return "sdxl"
    if pipeline_class.startswith("StableDiffusion3"):
        return "sd3"
    if pipeline_class.startswith("StableDiffusion"):
        return "sd"
    raise UsageError(
        f"pipeline class '{pipeline_class}' is not one of Stable Diffusion 1, 2, XL or 3"
    )


class TextEncoder(nn.Module):
    def __init__(self, model: Any, penultimate: bool, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.text_model = model
        self.penultimate, self.outputs = penultimate, outputs

    def forward(self, input_ids: torch.Tensor) -> Any:
        result = self.text_model(input_ids, output_hidden_states=self.penultimate)
        values = {"hidden_state": result.hidden_states[-2]} if self.penultimate else {}
        found = [
            values[name] if name in values else getattr(result, name) for name in self.outputs
        ]
        return found[0] if len(found) == 1 else tuple(found)


class UNet(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.unet = model

    def forward(
        self, sample: torch.Tensor, timestep: torch.Tensor, encoder_hidden_states: torch.Tensor
    ) -> Any:
        return self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class UNetWithSizes(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.unet = model

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        text_embeds: torch.Tensor,
        time_ids: torch.Tensor,
    ) -> Any:
        added = {"text_embeds": text_embeds, "time_ids": time_ids}
        return self.unet(
            sample, timestep, encoder_hidden_states, added_cond_kwargs=added, return_dict=False
        )[0]


class Transformer(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.transformer = model

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        pooled_projections: torch.Tensor,
        timestep: torch.Tensor,
    ) -> Any:
        return self.transformer(
            hidden_states,
            encoder_hidden_states,
            pooled_projections,
            timestep.expand(hidden_states.shape[0]),
            return_dict=False,
        )[0]


class VaeEncoder(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vae: Any = model

    def forward(self, sample: torch.Tensor) -> Any:
        return self.vae.encode(sample).latent_dist.parameters


class VaeDecoder(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vae: Any = model

    def forward(self, latent_sample: torch.Tensor) -> Any:
        return self.vae.decode(latent_sample, return_dict=False)[0]


def _normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def _config(model: Any) -> dict[str, Any]:
    config = model.config
    return dict(config.to_dict() if hasattr(config, "to_dict") else config)


def _text_graph(name: str, model: Any, family: str, sizes: Sizes) -> Graph:
    config = _config(model)
    is_t5 = "d_model" in config
    tokens = SD3_T5_TOKENS if is_t5 else config["max_position_embeddings"]
    if is_t5:
        outputs: tuple[str, ...] = ("last_hidden_state",)
    elif family == "sd":
        outputs = ("last_hidden_state", "pooler_output")
    elif hasattr(model, "text_projection"):
        outputs = ("hidden_state", "text_embeds")
    else:
        outputs = ("hidden_state",)
    ids = torch.full((sizes.batch, tokens), config["vocab_size"] - 1, dtype=torch.int64)
    ids[:, : min(8, tokens)] = torch.arange(min(8, tokens))
    text = {0: "batch_size", 1: "sequence_length"}
    symbolic = {"input_ids": text}
    for output in outputs:
        symbolic[output] = text if output.endswith("state") else {0: "batch_size"}
    network = TextEncoder(model, "hidden_state" in outputs, outputs)
    return Graph(name, network, {"input_ids": ids}, outputs, symbolic, config)


def _latent_size(config: Mapping[str, Any], sizes: Sizes, factor: int) -> tuple[int, int]:
    size = config["sample_size"]
    height, width = (size, size) if isinstance(size, int) else size
    for name, given in (("height", sizes.height), ("width", sizes.width)):
        if given is not None and given % factor:
            raise UsageError(f"--{name} {given} is not a multiple of {factor}")
    return (
        sizes.height // factor if sizes.height else height,
        sizes.width // factor if sizes.width else width,
    )


def _unet_graph(model: Any, sizes: Sizes, factor: int, timestep: torch.dtype, text: int) -> Graph:
    config = _config(model)
    height, width = _latent_size(config, sizes, factor)
    if sizes.any_size:
        height, width = height | 1, width | 1
    batch = sizes.batch
    picture = {0: "batch_size", 2: "height", 3: "width"}
    inputs = {
        "sample": _normal(batch, config["in_channels"], height, width),
        "timestep": torch.tensor([481], dtype=timestep),
        "encoder_hidden_states": _normal(batch, text, config["cross_attention_dim"]),
    }
    symbolic = {
        "sample": picture,
        "encoder_hidden_states": {0: "batch_size", 1: "sequence_length"},
        "out_sample": picture,
    }
    network: nn.Module = UNet(model)
    if config.get("addition_embed_type") == "text_time":
        each = config["addition_time_embed_dim"]
        pooled = config["projection_class_embeddings_input_dim"] - TIME_IDS * each
        inputs["text_embeds"] = _normal(batch, pooled)
        pixels = [factor * height, factor * width]
        inputs["time_ids"] = torch.tensor([[*pixels, 0, 0, *pixels]] * batch, dtype=torch.float32)
        symbolic["text_embeds"] = symbolic["time_ids"] = {0: "batch_size"}
        network = UNetWithSizes(model)
    elif config.get("addition_embed_type") or config.get("class_embed_type"):
        kind = config.get("addition_embed_type") or config.get("class_embed_type")
        raise UsageError(f"unet: conditioning '{kind}' is not supported; needed: none or text_time")
    return Graph("unet", network, inputs, ("out_sample",), symbolic, config)


def _transformer_graph(model: Any, sizes: Sizes, factor: int, text: int) -> Graph:
    config = _config(model)
    height, width = _latent_size(config, sizes, factor)
    batch = sizes.batch
    picture = {0: "batch_size", 2: "height", 3: "width"}
    inputs = {
        "hidden_states": _normal(batch, config["in_channels"], height, width),
        "encoder_hidden_states": _normal(
            batch, text + SD3_T5_TOKENS, config["joint_attention_dim"]
        ),
        "pooled_projections": _normal(batch, config["pooled_projection_dim"]),
        "timestep": torch.tensor([481.0]),
    }
    symbolic = {
        "hidden_states": picture,
        "encoder_hidden_states": {0: "batch_size"},
        "pooled_projections": {0: "batch_size"},
        "out_hidden_states": picture,
    }
    return Graph(
        "transformer", Transformer(model), inputs, ("out_hidden_states",), symbolic, config
    )


def vae_factor(config: Mapping[str, Any]) -> int:
    """Pixels of a picture for one latent pixel: 2 for each level but one."""
    return int(2 ** (len(config["block_out_channels"]) - 1))


def _vae_graph(name: str, model: Any, sizes: Sizes, latent: tuple[int, int]) -> Graph:
    config = _config(model)
    factor = vae_factor(config)
    height, width = latent
    pixels = {0: "batch_size", 2: "height", 3: "width"}
    latents = {0: "batch_size", 2: "latent_height", 3: "latent_width"}
    if name == "vae_encoder":
        picture = _normal(sizes.batch, config["in_channels"], factor * height, factor * width)
        symbolic = {"sample": pixels, "latent_parameters": latents}
        return Graph(
            name,
            VaeEncoder(model),
            {"sample": picture},
            ("latent_parameters",),
            symbolic,
            config,
        )
    code = _normal(sizes.batch, config["latent_channels"], height, width)
    symbolic = {"latent_sample": latents, "sample": pixels}
    return Graph(name, VaeDecoder(model), {"latent_sample": code}, ("sample",), symbolic, config)


@dataclass(frozen=True)
class Surroundings:
    """What a graph must know about the pipeline that it is part of."""

    family: str
    vae_factor: int
    latent: tuple[int, int]  # height and width that the denoiser was made for
    timestep: torch.dtype
    text_tokens: int = 77


def component_of(graph_name: str) -> str:
    return "vae" if graph_name.startswith("vae_") else graph_name


def make_graph(name: str, model: Any, sizes: Sizes, around: Surroundings) -> Graph:
    """The graph `name` of a loaded component."""
    makers: dict[str, Callable[[], Graph]] = {
        "unet": lambda: _unet_graph(
            model, sizes, around.vae_factor, around.timestep, around.text_tokens
        ),
        "transformer": lambda: _transformer_graph(
            model, sizes, around.vae_factor, around.text_tokens
        ),
    }
    if name.startswith("text_encoder"):
        return _text_graph(name, model, around.family, sizes)
    if name.startswith("vae_"):
        size = {"sample_size": around.latent}
        latent = _latent_size(size, sizes, around.vae_factor)
        return _vae_graph(name, model, Sizes(1, sizes.height, sizes.width), latent)
    return makers[name]()
