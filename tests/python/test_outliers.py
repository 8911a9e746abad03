"""Outliers on request: another range, the same function."""

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import recorded
from onnx import helper, numpy_helper
from safetensors import safe_open
from sdopt_tools.commands import run
from sdopt_tools.errors import UsageError
from sdopt_tools.outliers_cli import rescale
from sdopt_tools.rescaling import Graph, Slot, places, skips
from sdopt_tools.start_token import direction


def read(path):
    with safe_open(path, "np") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}


def gated_model(first_half: bool = True, also_result: bool = False):
    """y = (a * b) w2, a and b halves of layer_norm(x) w1 + c."""
    random = np.random.default_rng(1)
    constants = {
        "gamma": random.normal(size=6), "beta": random.normal(size=6), "w1": random.normal(size=(6, 8)),
        "c": random.normal(size=8), "w2": random.normal(size=(4, 5)),
    }
    initializers = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    value, gate = ("0", "4") if first_half else ("4", "0")

    def number(name, at):
        return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array([at], np.int64)))

    nodes = [
        number("0", 0), number("4", 4), number("8", 8), number("last", -1),
        helper.make_node("LayerNormalization", ["x", "gamma", "beta"], ["n"], "norm"),
        helper.make_node("MatMul", ["n", "w1"], ["h0"]),
        helper.make_node("Add", ["c", "h0"], ["h"]),
        helper.make_node("Slice", ["h", value, {"0": "4", "4": "8"}[value], "last"], ["a"]),
        helper.make_node("Slice", ["h", gate, {"0": "4", "4": "8"}[gate], "last"], ["g"]),
        helper.make_node("Sigmoid", ["g"], ["b"]),
        helper.make_node("Mul", ["a", "b"], ["m"]),
        helper.make_node("MatMul", ["m", "w2"], ["y"], "out"),
    ]
    results = ["y", "n"] if also_result else ["y"]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, [3, 6])],
        [helper.make_tensor_value_info(name, 1, None) for name in results], initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def outputs(model):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x = np.random.default_rng(2).normal(size=(3, 6)).astype(np.float32)
    return session.run(["y"], {"x": x})[0]


@pytest.mark.parametrize("first_half", [True, False])
def test_places_keep_the_function(first_half):
    graph = Graph(gated_model(first_half))
    before = outputs(graph.model)
    found = places(graph)
    assert [(place.kind, place.channels) for place in found] == [("norm", 6), ("gate", 4)]
    weights = graph.constant(Slot(11, 1, 0))
    for place in found:
        graph.apply(place, np.arange(1, place.channels + 1) * 8.0)
    assert np.allclose(graph.constant(Slot(11, 1, 0)), weights / (np.arange(1, 5)[:, None] * 8.0))
    assert np.allclose(outputs(graph.model), before, rtol=1e-4, atol=1e-5)


def test_what_is_a_result_is_no_place():
    assert [place.kind for place in places(Graph(gated_model(also_result=True)))] == ["gate"]


def decoder_model(groups: int):
    """y = conv(c) + norm(c), c = [conv(x) / 1 + conv(x), x]: 4 and 2 channels."""
    random = np.random.default_rng(4)
    shapes = {"w0": (4, 2, 3, 3), "b0": (4,), "w1": (4, 2, 1, 1), "w2": (6, 6, 1, 1), "b2": (6,), "gamma": (6, 1, 1)}
    initializers = [numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name) for name, shape in shapes.items()]

    def constant(name, value):
        return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))

    nodes = [
        constant("one", np.float32(1)), constant("grouped", np.array([0, groups, -1])), constant("ones", np.ones(groups, np.float32)),
        constant("zeros", np.zeros(groups, np.float32)),
        helper.make_node("Conv", ["x", "w0", "b0"], ["h0"], pads=[1, 1, 1, 1]), helper.make_node("Conv", ["x", "w1"], ["h1"]),
        helper.make_node("Add", ["h0", "h1"], ["h2"]), helper.make_node("Div", ["h2", "one"], ["h"]),
        helper.make_node("Concat", ["h", "x"], ["c"], "joined", axis=1), helper.make_node("Shape", ["c"], ["shape"]),
        helper.make_node("Reshape", ["c", "grouped"], ["r"]),
        helper.make_node("InstanceNormalization", ["r", "ones", "zeros"], ["i"], epsilon=1e-6),
        helper.make_node("Reshape", ["i", "shape"], ["n"]), helper.make_node("Mul", ["n", "gamma"], ["m"]),
        helper.make_node("Conv", ["c", "w2", "b2"], ["s"]), helper.make_node("Add", ["m", "s"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, [1, 2, 5, 7])], [helper.make_tensor_value_info("y", 1, None)], initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_skips_keep_the_function():
    graph = Graph(decoder_model(3))
    x = np.random.default_rng(5).normal(size=(1, 2, 5, 7)).astype(np.float32)
    before, after = [], []
    for results in (before, after):
        session = onnxruntime.InferenceSession(graph.model.SerializeToString())
        results.append(session.run(["y"], {"x": x})[0])
        found = skips(graph)
        assert [(place.kind, place.name, place.channels) for place in found] == [("skip", "joined", 4)]
        graph.apply(found[0], np.full(4, 64.0))
    assert np.allclose(after[0], before[0], rtol=1e-4, atol=1e-5)


def test_a_group_across_parts_is_no_skip():
    assert not skips(Graph(decoder_model(2)))


def test_shared_constants_are_changed_for_one_reader():
    model = gated_model()
    model.graph.node.append(helper.make_node("Identity", ["w2"], ["other"]))
    model.graph.output.append(helper.make_tensor_value_info("other", 1, None))
    graph = Graph(model)
    before = outputs(graph.model)
    kept = graph.constant(Slot(12, 0, 0))
    for place in places(graph):
        graph.apply(place, np.full(place.channels, 4.0))
    assert np.array_equal(graph.constant(Slot(12, 0, 0)), kept)
    assert np.allclose(outputs(graph.model), before, rtol=1e-4, atol=1e-5)


def test_direction_makes_the_first_token_larger():
    random = np.random.default_rng(3)
    text = random.normal(size=(5, 7, 16))
    text[..., 0] *= 0.01
    text[:, 0] = random.normal(size=16)
    found = direction(text, 40)
    scaled = text @ found.matrix()
    ratio = np.sqrt((scaled[:, 0] ** 2).mean() / (scaled[:, 1:] ** 2).mean())
    assert ratio == pytest.approx(40)
    assert np.allclose(found.matrix() @ found.inverse(), np.eye(16))
    with pytest.raises(UsageError, match="cannot be made 1e"):
        direction(text, 1e6)
    with pytest.raises(UsageError, match="already is"):
        direction(text, 1e-3)


def test_a_pipeline_with_outliers(models, tmp_path):
    source = models("sd2-inpainting")
    samples = recorded(source, tmp_path / "samples")
    arguments = [str(source), "--samples", str(samples), "-o", str(tmp_path / "out"), "--start-token", "6", "--quiet"]
    assert run("sdopt-outliers", rescale, arguments) == 0
    for part in ("calibration", "test"):
        before, _ = read(samples / f"unet_{part}.safetensors")
        after, metadata = read(tmp_path / f"out/samples/unet_{part}.safetensors")
        assert metadata["outliers"] == "channels 1, factor 64, start token 6, seed 0"
        assert len(metadata["source_sha256"]) == 64
        assert np.allclose(after["out_sample"], before["out_sample"], atol=1e-3 * np.abs(before["out_sample"]).max())
        encoder, _ = read(tmp_path / f"out/samples/text_encoder_{part}.safetensors")
        rows = after["encoder_hidden_states"][0].reshape(-1, *encoder["last_hidden_state"].shape[-2:])
        assert any(np.allclose(rows[0], row, atol=1e-3) for row in encoder["last_hidden_state"].reshape(-1, *rows.shape[1:]))
    onnx.checker.check_model(str(tmp_path / "out/model/unet/model.onnx"))
    assert run("sdopt-outliers", rescale, arguments) == 1


@pytest.mark.parametrize("wrong", [
    ["--factor", "0"], ["--module", "none"], ["--start-token", "1e9"], ["--samples", "/nonexistent"],
])
def test_errors(wrong, models, tmp_path, capsys):
    source = models("sd2-inpainting")
    samples = recorded(source, tmp_path / "samples")
    arguments = [str(source), "--samples", str(samples), "-o", str(tmp_path / "out"), "--quiet", *wrong]
    assert run("sdopt-outliers", rescale, arguments) == 1
    assert capsys.readouterr().err.startswith("sdopt-outliers: error: ")
    assert not (tmp_path / "out").exists()
