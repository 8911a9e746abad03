"""Tiny pipelines of every architecture, exported once for all tests."""

import json
from pathlib import Path

import pytest
from sdopt_tools.architectures import ARCHITECTURES, tiny
from sdopt_tools.commands import run
from sdopt_tools.export_cli import export
from sdopt_tools.record_cli import record
from sdopt_tools.sources import RandomSource, write_index

SEED = 7
NAMES = list(ARCHITECTURES)


def exported(folder: Path, *arguments: str) -> Path:
    assert run("sdopt-export", export, [*arguments, "-o", str(folder), "--quiet"]) == 0
    return folder


def random_weights(name: str) -> list[str]:
    return ["--random-weights", "--architecture", name, "--tiny", "--seed", str(SEED)]


def recorded(pipeline: Path, folder: Path, *arguments: str) -> Path:
    prompts = folder.with_suffix(".txt")
    prompts.write_text("a red cat\n\na small house\na boat on the lake\n")
    common = ["--prompts", str(prompts), "--steps", "3", "--seeds", "5", "--quiet"]
    assert run("sdopt-record", record, [str(pipeline), "-o", str(folder), *common, *arguments]) == 0
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """name -> exported folder, static, batch 1."""
    root = tmp_path_factory.mktemp("models")
    found = {}

    def model(name: str) -> Path:
        if name not in found:
            found[name] = exported(root / name, *random_weights(name))
        return found[name]

    return model


@pytest.fixture(scope="session")
def diffusers_pipeline(tmp_path_factory) -> Path:
    """The tiny inpainting pipeline as diffusers saves it, with the weights of `models`."""
    folder = tmp_path_factory.mktemp("diffusers") / "inpainting"
    source = RandomSource(tiny(ARCHITECTURES["sd2-inpainting"]), SEED)
    source.write_files(folder)
    for name in source.component_names():
        source.load(name).save_pretrained(folder / name)
    write_index(source, folder, source.component_names())
    index = json.loads((folder / "model_index.json").read_text())
    del index["vae_scaling_factor"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
