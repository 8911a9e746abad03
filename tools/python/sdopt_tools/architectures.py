"""Topologies of the published Stable Diffusion pipelines: configurations as numbers, no weights.

A pipeline is a set of components (a diffusers or transformers class and its configuration). The
values are those of the published models; `scaled` multiplies channel counts and `tiny` keeps the
classes, the block types and the ways of conditioning but leaves few channels, for tests.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import UsageError

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Component:
    """One network of a pipeline."""

    name: str  # as in model_index.json: unet, vae, text_encoder, text_encoder_2, transformer
    library: str  # diffusers or transformers
    class_name: str
    config: Config


@dataclass(frozen=True)
class Architecture:
    name: str
    pipeline_class: str
    scheduler_class: str
    scheduler: Config
    components: tuple[Component, ...]
    tokenizers: tuple[str, ...] = ("tokenizer",)
    extra: Config = field(default_factory=dict)  # further entries of model_index.json

    def component(self, name: str) -> Component:
        return next(component for component in self.components if component.name == name)


_DDIM: Config = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
}

_EULER: Config = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
}

_FOUR_LEVELS: Config = {
    "sample_size": 64,
    "out_channels": 4,
    "down_block_types": (
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "DownBlock2D",
    ),
    "up_block_types": (
        "UpBlock2D",
        "CrossAttnUpBlock2D",
        "CrossAttnUpBlock2D",
        "CrossAttnUpBlock2D",
    ),
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "norm_num_groups": 32,
}

_SD15_UNET: Config = {
    **_FOUR_LEVELS,
    "in_channels": 4,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,  # the published key is a misnomer: it counts heads
}

_SD2_INPAINTING_UNET: Config = {
    **_FOUR_LEVELS,
    "in_channels": 9,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}

_SDXL_UNET: Config = {
    "sample_size": 128,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,  # 1280 pooled text, 6 numbers of 256 each
}

_SD3_TRANSFORMER: Config = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "pos_embed_max_size": 192,
}


def _vae(sample_size: int, scaling_factor: float, **changes: Any) -> Component:
    config: dict[str, Any] = {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "latent_channels": 4,
        "norm_num_groups": 32,
        "sample_size": sample_size,
        "scaling_factor": scaling_factor,
    }
    return Component("vae", "diffusers", "AutoencoderKL", {**config, **changes})


def _text_encoder(
    name: str, width: int, layers: int, heads: int, activation: str, projection: int, pooled: bool
) -> Component:
    return Component(
        name,
        "transformers",
        "CLIPTextModelWithProjection" if pooled else "CLIPTextModel",
        {
            "vocab_size": 49408,
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "max_position_embeddings": 77,
            "hidden_act": activation,
            "projection_dim": projection,
            "bos_token_id": 49406,
            "eos_token_id": 49407,
            "pad_token_id": 1,
        },
    )


def _clip_large(name: str, pooled: bool) -> Component:
    return _text_encoder(name, 768, 12, 12, "quick_gelu", 768, pooled)


def _clip_big(name: str) -> Component:
    return _text_encoder(name, 1280, 32, 20, "gelu", 1280, True)


_ALL = (
    Architecture(
        "sd15",
        "StableDiffusionPipeline",
        "DDIMScheduler",
        _DDIM,
        (
            Component("unet", "diffusers", "UNet2DConditionModel", _SD15_UNET),
            _clip_large("text_encoder", pooled=False),
            _vae(512, 0.18215),
        ),
    ),
    Architecture(
        "sd2-inpainting",
        "StableDiffusionInpaintPipeline",
        "DDIMScheduler",
        _DDIM,
        (
            Component("unet", "diffusers", "UNet2DConditionModel", _SD2_INPAINTING_UNET),
            _text_encoder("text_encoder", 1024, 23, 16, "gelu", 512, False),
            _vae(512, 0.18215),
        ),
    ),
    Architecture(
        "sdxl",
        "StableDiffusionXLPipeline",
        "EulerDiscreteScheduler",
        _EULER,
        (
            Component("unet", "diffusers", "UNet2DConditionModel", _SDXL_UNET),
            _clip_large("text_encoder", pooled=False),
            _clip_big("text_encoder_2"),
            _vae(1024, 0.13025),
        ),
        tokenizers=("tokenizer", "tokenizer_2"),
        extra={"force_zeros_for_empty_prompt": True},
    ),
    Architecture(
        "sd3",
        "StableDiffusion3Pipeline",
        "FlowMatchEulerDiscreteScheduler",
        {"num_train_timesteps": 1000, "shift": 3.0},
        (
            Component("transformer", "diffusers", "SD3Transformer2DModel", _SD3_TRANSFORMER),
            _clip_large("text_encoder", pooled=True),
            _clip_big("text_encoder_2"),
            _vae(
                1024,
                1.5305,
                latent_channels=16,
                shift_factor=0.0609,
                use_quant_conv=False,
                use_post_quant_conv=False,
            ),
        ),
        tokenizers=("tokenizer", "tokenizer_2"),
    ),
)

ARCHITECTURES: Mapping[str, Architecture] = {entry.name: entry for entry in _ALL}

SCALES = (0.25, 0.5, 1.0, 2.0)

# Counts in channels or features. Heads, layers and groups stay.
_WIDTHS = (
    "block_out_channels",
    "cross_attention_dim",
    "addition_time_embed_dim",
    "projection_class_embeddings_input_dim",
    "attention_head_dim",
    "joint_attention_dim",
    "caption_projection_dim",
    "pooled_projection_dim",
    "hidden_size",
    "intermediate_size",
    "projection_dim",
)


def architecture(name: str) -> Architecture:
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UsageError(f"--architecture '{name}' is not known; use one of {known}")
    return ARCHITECTURES[name]


def _times(value: Any, factor: float) -> Any:
    if isinstance(value, tuple):
        return tuple(_times(entry, factor) for entry in value)
    return round(value * factor)


def scaled(original: Architecture, factor: float) -> Architecture:
    """The same topology with `factor` times the channels everywhere, heads as before.

    Head dimensions scale with the channels; groups of the normalizations halve until they divide
    every channel count.
    """
    if factor not in SCALES:
        known = ", ".join(f"{scale:g}" for scale in SCALES)
        raise UsageError(f"--scale-channels {factor:g} is not possible; use one of {known}")

    def change(component: Component) -> Component:
        config = dict(component.config)
        for key in _WIDTHS:
            # A UNet's attention_head_dim counts heads; a transformer's is the size of one.
            if key == "attention_head_dim" and component.name == "unet":
                continue
            if key in config:
                config[key] = _times(config[key], factor)
        groups = config.get("norm_num_groups")
        while groups and any(channels % groups for channels in config["block_out_channels"]):
            groups //= 2
        if groups:
            config["norm_num_groups"] = groups
        return replace(component, config=config)

    return replace(original, components=tuple(change(entry) for entry in original.components))


_TINY_UNET: Config = {"sample_size": 16, "layers_per_block": 1, "norm_num_groups": 8}
_TINY_TEXT: Config = {
    "vocab_size": 1000,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 32,
    "bos_token_id": 998,
    "eos_token_id": 999,
}
_TINY: Mapping[str, Mapping[str, Config]] = {
    "sd15": {
        "unet": {
            **_TINY_UNET,
            "block_out_channels": (16, 32, 32, 32),
            "attention_head_dim": 2,
            "cross_attention_dim": 32,
        }
    },
    "sd2-inpainting": {
        "unet": {
            **_TINY_UNET,
            "block_out_channels": (16, 32, 32, 32),
            "attention_head_dim": (1, 2, 2, 2),
            "cross_attention_dim": 32,
        }
    },
    "sdxl": {
        "unet": {
            **_TINY_UNET,
            "block_out_channels": (16, 32, 32),
            "attention_head_dim": (1, 2, 2),
            "transformer_layers_per_block": (1, 1, 2),
            "cross_attention_dim": 64,
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 32 + 6 * 8,
        }
    },
    "sd3": {
        "transformer": {
            "sample_size": 16,
            "num_layers": 3,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": 96,
            "caption_projection_dim": 32,
            "pooled_projection_dim": 64,
            "pos_embed_max_size": 24,
        }
    },
}
_TINY_VAE: Config = {
    "block_out_channels": (8, 16, 16, 16),
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "sample_size": 128,
}


def tiny(original: Architecture) -> Architecture:
    """The same classes, block types and conditioning with few channels and 16x16 latents."""

    def change(component: Component) -> Component:
        config = copy.deepcopy(dict(component.config))
        if component.library == "transformers":
            config.update(_TINY_TEXT)
        elif component.name == "vae":
            config.update(_TINY_VAE)
        else:
            config.update(_TINY[original.name][component.name])
        return replace(component, config=config)

    return replace(original, components=tuple(change(entry) for entry in original.components))
