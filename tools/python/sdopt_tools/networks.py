"""Creates the components of an architecture with random weights."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn

from .architectures import Component
from .random_weights import build_empty, fill_randomly


def create_empty(component: Component) -> nn.Module:
    """The component's topology; its parameters have no memory yet."""
    module: Any = importlib.import_module(component.library)
    cls = getattr(module, component.class_name)
    if component.library == "diffusers":
        return build_empty(lambda: cls(**component.config))
    config = module.CLIPTextConfig(**component.config)
    config._attn_implementation = "eager"
    return build_empty(lambda: cls(config))


def create_random(
    component: Component, seed: int, dtype: torch.dtype = torch.float32, initial: bool = False
) -> nn.Module:
    return fill_randomly(create_empty(component), component.name, seed, dtype, initial)
