"""Parameter counts and statistics of random weights."""

import pytest
import torch
from sdopt_tools.architectures import ARCHITECTURES, tiny
from sdopt_tools.networks import create_empty, create_random
from sdopt_tools.random_weights import parameter_count

PUBLISHED = [
    ("sd15", "unet", 859_520_964),
    ("sd15", "text_encoder", 123_060_480),
    ("sd2-inpainting", "unet", 865_925_124),
    ("sd2-inpainting", "text_encoder", 340_387_840),
    ("sd2-inpainting", "vae", 83_653_863),
    ("sdxl", "unet", 2_567_463_684),
    ("sdxl", "text_encoder_2", 694_659_840),
    ("sd3", "transformer", 2_028_328_000),
    ("sd3", "vae", 83_819_683),
]


@pytest.mark.parametrize(("name", "component", "count"), PUBLISHED)
def test_parameter_counts_are_the_published_ones(name, component, count):
    network = create_empty(ARCHITECTURES[name].component(component))
    assert parameter_count(network) == count
    assert all(parameter.is_meta for parameter in network.parameters())


def test_seed_decides_every_value():
    component = tiny(ARCHITECTURES["sd15"]).component("unet")
    first, same, other = (create_random(component, seed).state_dict() for seed in (1, 1, 2))
    for name, value in first.items():
        assert torch.equal(value, same[name]), name
        assert not torch.equal(value, other[name]), name


def _kurtosis(value: torch.Tensor) -> float:
    value = value.double()
    return float((value**4).mean() / (value**2).mean() ** 2)


def test_statistics():
    component = ARCHITECTURES["sd15"].component("vae")
    network = create_random(component, 3)
    kurtosis = []
    for name, value in network.named_parameters():
        if value.dim() == 4 and value.numel() > 100_000:
            fan_in = value[0].numel()
            assert 0.8 < float(value.std()) * fan_in**0.5 < 1.2, name
            kurtosis.append(_kurtosis(value))
        elif "norm" in name and name.endswith("weight"):
            assert 0.9 < float(value.median()) < 1.1, name
            assert float(value.max()) > 1.5, name
    assert 3.2 < min(kurtosis) < 4.5  # normal rows of different scale
    assert max(kurtosis) > 6  # Student-t
    assert 0.1 < sum(value > 5.5 for value in kurtosis) / len(kurtosis) < 0.6


def test_initial_weights_are_those_of_pytorch():
    component = tiny(ARCHITECTURES["sd2-inpainting"]).component("unet")
    network = create_random(component, 5, initial=True)
    for prefix, owner in network.named_modules():
        if not isinstance(owner, (torch.nn.Conv2d, torch.nn.Linear)):
            if hasattr(owner, "weight") and owner.weight.dim() == 1:
                assert (owner.weight == 1).all() and (owner.bias == 0).all(), prefix
            continue
        fresh = type(owner)(**_arguments(owner))
        bound = owner.weight[0].numel() ** -0.5
        assert owner.weight.abs().max() <= bound, prefix
        assert owner.weight.abs().max() > 0.95 * fresh.weight.abs().max(), prefix
        if owner.bias is not None:
            assert owner.bias.abs().max() <= bound, prefix


def _arguments(owner: torch.nn.Module) -> dict[str, object]:
    if isinstance(owner, torch.nn.Linear):
        return {"in_features": owner.in_features, "out_features": owner.out_features}
    size = (owner.in_channels, owner.out_channels, owner.kernel_size)
    return dict(zip(("in_channels", "out_channels", "kernel_size"), size, strict=True))
