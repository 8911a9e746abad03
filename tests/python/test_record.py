"""Recorded samples: format, split, provenance, and that the values are those of the modules."""

import json
import os
import subprocess

import numpy as np
import onnxruntime
import pytest
from conftest import NAMES, exported, random_weights, recorded
from safetensors import safe_open
from sdopt_tools.samples import Layout, SampleWriter
from sdopt_tools.trajectories import split_trajectories


def read(path):
    with safe_open(path, "np") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()


@pytest.mark.parametrize("name", NAMES)
def test_every_call_is_what_the_module_computes(name, models, tmp_path):
    samples = recorded(models(name), tmp_path / "samples")
    modules = {path.parent.name for path in models(name).glob("*/model.onnx")}
    files = {f"{m}_{part}.safetensors" for m in modules | {"pipeline"} for part in ("calibration", "test")}
    assert {path.name for path in samples.iterdir()} == files
    denoiser = "transformer" if name == "sd3" else "unet"
    values, metadata = read(samples / f"{denoiser}_calibration.safetensors")
    assert json.loads(metadata["prompts"]) == ["a red cat", "a small house"]
    assert json.loads(metadata["seeds"]) == [5, 5]
    assert metadata["steps"] == "3" and metadata["guidance"] == "7.5"
    scheduler = json.loads(metadata["scheduler_config"])
    assert scheduler["_class_name"] == metadata["scheduler"]
    calls = 2 * 3
    assert values["timestep"].shape == (calls,)
    assert all(np.all(np.diff(times) < 0) for times in values["timestep"].reshape(2, 3))
    session = onnxruntime.InferenceSession(str(models(name) / denoiser / "model.onnx"))
    inputs = [entry.name for entry in session.get_inputs()]
    output = session.get_outputs()[0].name
    for call in (0, calls - 1):
        for row in (0, 1):
            feeds = {key: values[key][call, row : row + 1] for key in inputs if key != "timestep"}
            feeds["timestep"] = values["timestep"][call : call + 1]
            found = session.run(None, feeds)[0]
            assert np.allclose(found, values[output][call, row : row + 1], atol=1e-5)
    rows = values["encoder_hidden_states"]
    assert not np.array_equal(rows[0, 0], rows[0, 1])
    _, metadata = read(samples / f"{denoiser}_test.safetensors")
    assert json.loads(metadata["prompts"]) == ["a boat on the lake"]


def test_the_batch_of_a_graph_does_not_change_what_is_recorded(models, tmp_path):
    both = exported(tmp_path / "both", *random_weights("sd2-inpainting"), "--batch", "2")
    one = recorded(models("sd2-inpainting"), tmp_path / "one")
    two = recorded(both, tmp_path / "two")
    for path in sorted(one.iterdir()):
        first, second = read(path)[0], read(two / path.name)[0]
        for key, value in first.items():
            assert np.allclose(value, second[key], atol=1e-3), (path.name, key)


def test_torch_and_onnx_runtime_agree(models, diffusers_pipeline, tmp_path):
    by_onnx = recorded(models("sd2-inpainting"), tmp_path / "onnx")
    by_torch = recorded(diffusers_pipeline, tmp_path / "torch")
    for path in sorted(by_onnx.iterdir()):
        first, second = read(path)[0], read(by_torch / path.name)[0]
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert np.allclose(value, second[key], atol=1e-3), (path.name, key)


def test_split_shares_no_prompt_or_no_seed():
    parts = split_trajectories(["a", "b", "c", "d"], [1, 2], 0.25)
    assert [(entry.prompt, entry.seed) for entry in parts["test"]] == [("d", 1), ("d", 2)]
    assert len(parts["calibration"]) == 6
    parts = split_trajectories(["a"], [1, 2, 3], 0.9)
    assert [entry.seed for entry in parts["calibration"]] == [1]
    with pytest.raises(Exception, match="cannot be split"):
        split_trajectories(["a"], [1], 0.5)


def test_writer_lays_out_values_by_call(tmp_path):
    path = tmp_path / "x.safetensors"
    layouts = {"a": Layout("float32", (3, 2)), "t": Layout("int64", (3,)), "h": Layout("float16", (3, 5))}
    with SampleWriter(path, layouts, {"k": "v"}) as writer:
        for call in (2, 0, 1):
            half = np.full(5, call, np.float16)
            writer.write(call, {"a": np.array([call, -call], np.float32), "t": np.array(call), "h": half})
    values, metadata = read(path)
    assert metadata == {"k": "v"}
    assert values["a"].tolist() == [[0, 0], [1, -1], [2, -2]] and values["t"].tolist() == [0, 1, 2]
    assert values["h"][:, 4].tolist() == [0, 1, 2]


def test_writer_rejects_other_shapes_and_missing_calls(tmp_path):
    layouts = {"a": Layout("float32", (2, 2))}
    with pytest.raises(ValueError, match="needed: float32"):
        with SampleWriter(tmp_path / "x", layouts, {}) as writer:
            writer.write(0, {"a": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="1 calls of a were not written"):
        with SampleWriter(tmp_path / "x", layouts, {}) as writer:
            writer.write(0, {"a": np.zeros(2, np.float32)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif("SDOPT_COMPILE" not in os.environ, reason="SDOPT_COMPILE is not set")
def test_the_compiler_calibrates_with_it(models, tmp_path):
    samples = recorded(models("sd2-inpainting"), tmp_path / "samples")
    package = tmp_path / "p.sdnpu"
    command = [os.environ["SDOPT_COMPILE"], models("sd2-inpainting"), "--samples", samples]
    subprocess.run([*command, "-o", package, "--verify", "--quiet"], check=True)
    assert package.stat().st_size > 0
