"""Networks with seeded random weights of realistic statistics.

Trained weights are not plain normal numbers; a quantizer that is tested on those sees no problem
that it will meet. Per tensor, from its own seed:

  linear, convolution  standard deviation gain / sqrt(fan in), times a log-normal factor (sigma
                       0.25) for each output channel; three tensors in ten are Student-t with 6
                       degrees of freedom instead of normal (excess kurtosis 3)
  embeddings           normal, 0.02 as CLIP's are initialized, with a few large columns
  norm weights         1 + 0.1 normal; one channel in 64 is 2 to 4 times larger: those are the
                       outlier channels of the activations behind the norm
  biases               0.05 normal

Or as PyTorch initializes a network that is to be trained, which is what measurements of other tools
are often made on: matrices and their biases uniform in +-1 / sqrt(fan in), embeddings standard
normal, norms 1 and 0.

A tensor depends on the seed, the component's name and the tensor's name only, so that the order of
creation does not matter.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_TAILED_SHARE = 0.3
_CHANNEL_SIGMA = 0.25
_OUTLIER_PERIOD = 64
_BLOCK = 1 << 22  # values made at once: bounds the temporaries


def _generator(seed: int, component: str, tensor: str) -> torch.Generator:
    digest = hashlib.blake2b(f"{seed}/{component}/{tensor}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def _student(values: torch.Tensor, generator: torch.Generator) -> None:
    """Turns normal numbers into Student-t ones with 6 degrees of freedom and unit variance.

    A chi-square number with 2k degrees of freedom is -2 log(u1 ... uk); the variance of t is
    6 / (6 - 2) = 1.5.
    """
    product = torch.rand(values.shape, generator=generator)
    for _ in range(2):
        product *= torch.rand(values.shape, generator=generator)
    product.clamp_(min=1e-30).log_().mul_(-2.0 / 6.0 * 1.5).rsqrt_()
    values *= product


def _fill_matrix(weight: torch.Tensor, gain: float, generator: torch.Generator) -> None:
    rows = weight.view(weight.shape[0], -1)
    scale = gain / math.sqrt(rows.shape[1])
    tailed = bool(torch.rand((), generator=generator) < _TAILED_SHARE)
    factors = (torch.randn(rows.shape[0], 1, generator=generator) * _CHANNEL_SIGMA).exp_()
    factors *= scale / math.exp(_CHANNEL_SIGMA**2)  # keeps the mean square at scale^2
    step = max(1, _BLOCK // rows.shape[1])
    for first in range(0, rows.shape[0], step):
        block = torch.randn(rows[first : first + step].shape, generator=generator)
        if tailed:
            _student(block, generator)
        rows[first : first + step] = block.mul_(factors[first : first + step])


def _fill_norm(weight: torch.Tensor, generator: torch.Generator) -> None:
    weight.copy_(torch.randn(weight.shape, generator=generator).mul_(0.1).add_(1.0))
    outliers = max(1, weight.numel() // _OUTLIER_PERIOD)
    places = torch.randperm(weight.numel(), generator=generator)[:outliers]
    weight[places] *= 2.0 + 2.0 * torch.rand(outliers, generator=generator)


def _fill_embedding(weight: torch.Tensor, generator: torch.Generator) -> None:
    step = max(1, _BLOCK // weight.shape[1])
    columns = torch.full((weight.shape[1],), 0.02)
    columns[torch.randperm(weight.shape[1], generator=generator)[:2]] *= 5.0
    for first in range(0, weight.shape[0], step):
        block = torch.randn(weight[first : first + step].shape, generator=generator)
        weight[first : first + step] = block.mul_(columns)


def _fill(owner: nn.Module, name: str, value: torch.Tensor, generator: torch.Generator) -> None:
    if isinstance(owner, nn.Embedding):
        _fill_embedding(value, generator)
    elif value.dim() >= 2:
        _fill_matrix(value, 1.0, generator)
    elif name == "weight":
        _fill_norm(value, generator)
    else:
        value.copy_(torch.randn(value.shape, generator=generator).mul_(0.05))


def _fill_initial(
    owner: nn.Module, name: str, value: torch.Tensor, generator: torch.Generator
) -> None:
    """torch.nn's reset_parameters() with a generator of its own for each tensor."""
    matrix = value if value.dim() >= 2 else getattr(owner, "weight", None)
    if isinstance(owner, nn.Embedding):
        value.normal_(generator=generator)
    elif isinstance(matrix, torch.Tensor) and matrix.dim() >= 2:
        bound = 1.0 / math.sqrt(matrix[0].numel())
        value.uniform_(-bound, bound, generator=generator)
    else:
        value.fill_(1.0 if name == "weight" else 0.0)


class _EmptyParameters:
    """Within it, modules create parameters without memory (on the meta device); buffers, which
    hold tables that are computed, are created as always."""

    def __enter__(self) -> None:
        self._register = nn.Module.register_parameter
        register = self._register

        def registered(module: nn.Module, name: str, param: nn.Parameter | None) -> None:
            register(module, name, param)
            if param is not None:
                empty = nn.Parameter(param.to("meta"), requires_grad=False)
                module._parameters[name] = empty

        nn.Module.register_parameter = registered  # type: ignore[method-assign,assignment]
        self._init: dict[str, Callable[..., Any]] = {}
        for name in ("kaiming_uniform_", "uniform_", "normal_", "xavier_uniform_", "trunc_normal_"):
            self._init[name] = getattr(nn.init, name)
            setattr(nn.init, name, lambda tensor, *_, **__: tensor)

    def __exit__(self, *_: object) -> None:
        nn.Module.register_parameter = self._register  # type: ignore[method-assign]
        for name, function in self._init.items():
            setattr(nn.init, name, function)


def build_empty(create: Callable[[], nn.Module]) -> nn.Module:
    """`create()` with parameters that have shapes but no memory."""
    with _EmptyParameters():
        return create().eval()


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def fill_randomly(
    network: nn.Module,
    component: str,
    seed: int,
    dtype: torch.dtype = torch.float32,
    initial: bool = False,
) -> nn.Module:
    """Gives every parameter of a network from `build_empty` its values, one after another: like
    trained ones, or as PyTorch initializes them."""
    fill = _fill_initial if initial else _fill
    for prefix, owner in network.named_modules():
        for name, parameter in list(owner.named_parameters(recurse=False)):
            value = torch.empty(parameter.shape, dtype=torch.float32)
            full = f"{prefix}.{name}" if prefix else name
            fill(owner, name, value, _generator(seed, component, full))
            owner._parameters[name] = nn.Parameter(value.to(dtype), requires_grad=False)
    return network
