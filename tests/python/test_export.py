"""Exported graphs compute what the networks compute, in every form that can be asked for."""

import json
import os
import shutil
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import NAMES, SEED, exported, random_weights
from onnx import helper, numpy_helper
from sdopt_tools import onnx_export
from sdopt_tools.architectures import ARCHITECTURES, tiny
from sdopt_tools.commands import run
from sdopt_tools.export_cli import export
from sdopt_tools.external_data import move_weights_out
from sdopt_tools.graphs import Sizes, component_of, make_graph
from sdopt_tools.sources import RandomSource, graph_names, surroundings

MODULES = {
    "sd15": {"text_encoder", "unet", "vae_decoder", "vae_encoder"},
    "sd2-inpainting": {"text_encoder", "unet", "vae_decoder", "vae_encoder"},
    "sdxl": {"text_encoder", "text_encoder_2", "unet", "vae_decoder", "vae_encoder"},
    "sd3": {"text_encoder", "text_encoder_2", "transformer", "vae_decoder", "vae_encoder"},
}


def onnx_modules(folder):
    return {path.parent.name for path in folder.glob("*/model.onnx")}


def compare(name, folder, sizes, tolerance):
    """ONNX Runtime on the files against torch on the network."""
    source = RandomSource(tiny(ARCHITECTURES[name]), SEED)
    for module in graph_names(source):
        graph = make_graph(module, source.load(component_of(module)), sizes, surroundings(source))
        session = onnxruntime.InferenceSession(str(folder / module / "model.onnx"))
        feeds = {}
        for entry in session.get_inputs():
            value = graph.inputs[entry.name].numpy()
            feeds[entry.name] = value.astype(np.float16) if "float16" in entry.type else value
        with torch.no_grad():
            expected = graph.network(*graph.inputs.values())
        expected = expected if isinstance(expected, tuple) else (expected,)
        names = [entry.name for entry in session.get_outputs()]
        assert names == list(graph.outputs)
        for output, wanted, found in zip(names, expected, session.run(None, feeds), strict=True):
            scale = float(wanted.abs().max())
            error = float(np.abs(found.astype(np.float32) - wanted.numpy()).max())
            assert error <= tolerance * scale, (module, output)


@pytest.mark.parametrize("name", NAMES)
def test_static(name, models):
    folder = models(name)
    assert onnx_modules(folder) == MODULES[name]
    compare(name, folder, Sizes(), 1e-4)
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == ARCHITECTURES[name].pipeline_class
    assert (folder / "scheduler" / "scheduler_config.json").exists()
    assert (folder / "tokenizer" / "vocab.json").exists()


@pytest.mark.parametrize(
    ("name", "arguments", "sizes", "tolerance"),
    [
        ("sd2-inpainting", ["--symbolic"], Sizes(2, 64, 192), 1e-4),
        ("sd2-inpainting", ["--symbolic"], Sizes(1, 72, 104), 1e-4),
        ("sd2-inpainting", ["--height", "72", "--width", "104"], Sizes(1, 72, 104), 1e-4),
        ("sdxl", ["--symbolic"], Sizes(2), 1e-4),
        ("sd15", ["--exporter", "dynamo"], Sizes(), 1e-4),
        ("sd15", ["--exporter", "dynamo", "--symbolic"], Sizes(2, 192, 64), 1e-4),
        ("sd15", ["--dtype", "fp16", "--batch", "2"], Sizes(2), 3e-2),
        ("sd15", ["--height", "64", "--width", "192"], Sizes(1, 64, 192), 1e-4),
    ],
)
def test_forms(name, arguments, sizes, tolerance, tmp_path):
    folder = exported(tmp_path / "model", *random_weights(name), *arguments)
    compare(name, folder, sizes, tolerance)


def test_symbolic_sizes_have_names(tmp_path):
    expected = ["batch_size", 9, "height", "width"]
    for exporter in ("torchscript", "dynamo"):
        arguments = ["--symbolic", "--exporter", exporter, "--modules", "unet"]
        folder = exported(tmp_path / exporter, *random_weights("sd2-inpainting"), *arguments)
        model = onnx.load(folder / "unet" / "model.onnx", load_external_data=False)
        shape = model.graph.input[0].type.tensor_type.shape.dim
        assert [size.dim_param or size.dim_value for size in shape] == expected


def test_weights_lie_in_order_of_use_in_files_of_bounded_size(tmp_path):
    arguments = ["--modules", "unet", "--data-file-limit", "0.0005"]
    folder = exported(tmp_path / "model", *random_weights("sd15"), *arguments) / "unet"
    files = sorted(path.name for path in folder.glob("model.onnx_data*"))
    assert files[:2] == ["model.onnx_data", "model.onnx_data_1"] and len(files) > 3
    assert all((folder / name).stat().st_size <= 500_000 for name in files)
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    places = {}
    for tensor in model.graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if entries:
            number = entries["location"].removeprefix("model.onnx_data").lstrip("_") or "0"
            places[tensor.name] = (int(number), int(entries["offset"]))
    used = dict.fromkeys(name for node in model.graph.node for name in node.input if name in places)
    assert len(used) > 50
    order = [places[name] for name in used]
    assert order == sorted(order)
    onnx.checker.check_model(str(folder / "model.onnx"))


def test_constants_in_files_become_initializers(tmp_path):
    """As torch writes those of models beyond 2 GB: each value in a file of its own."""
    values = {name: np.full(size, size, np.float32) for name, size in (("a", 2), ("b", 300), ("c", 400))}
    constants = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value, name))
        for name, value in values.items()
    ]
    inner = helper.make_graph(
        [constants[2], helper.make_node("ReduceSum", ["c"], ["z"], keepdims=0)],
        "inner", [], [helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [])],
    )
    nodes = [
        *constants[:2],
        helper.make_node("If", ["x"], ["s"], then_branch=inner, else_branch=inner),
        helper.make_node("Add", ["b", "s"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info("x", onnx.TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [300]),
         helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, [2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    (tmp_path / "from").mkdir()
    onnx.save(
        model, tmp_path / "from" / "model.onnx", save_as_external_data=True,
        all_tensors_to_one_file=False, size_threshold=0, convert_attribute=True,
    )
    (tmp_path / "to").mkdir()
    target = tmp_path / "to" / "model.onnx"
    move_weights_out(tmp_path / "from" / "model.onnx", target)
    assert sorted(path.name for path in target.parent.iterdir()) == ["model.onnx", "model.onnx_data"]
    onnx.checker.check_model(str(target))
    moved = onnx.load(target)
    assert [node.op_type for node in moved.graph.node] == ["If", "Add"]
    for found in (moved.graph.initializer, moved.graph.node[0].attribute[0].g.initializer):
        for tensor in found:
            assert np.array_equal(numpy_helper.to_array(tensor), values[tensor.name])
    assert {tensor.name for tensor in moved.graph.initializer} == {"a", "b"}
    [y] = onnxruntime.InferenceSession(str(target)).run(["y"], {"x": np.array(True)})
    assert np.array_equal(y, np.full(300, 300 + 400 * 400, np.float32))


def test_same_bytes_every_time(tmp_path, models):
    again = exported(tmp_path / "again", *random_weights("sd15"))
    for path in sorted(models("sd15").rglob("*")):
        if path.is_file():
            other = again / path.relative_to(models("sd15"))
            assert path.read_bytes() == other.read_bytes(), path.name


def test_a_diffusers_folder_gives_the_same_model(tmp_path, models, diffusers_pipeline):
    folder = exported(tmp_path / "model", str(diffusers_pipeline))
    reference = models("sd2-inpainting")
    for path in sorted(reference.glob("*/model.onnx*")):
        assert path.read_bytes() == (folder / path.relative_to(reference)).read_bytes(), path


def test_quiet_says_nothing(tmp_path, capfd, diffusers_pipeline):
    capfd.readouterr()
    exported(tmp_path / "model", str(diffusers_pipeline), "--modules", "text_encoder")
    assert capfd.readouterr() == ("", "")


def test_overwriting_through_a_link_looks_at_what_it_leads_to(tmp_path, capsys):
    mine, link = tmp_path / "mine", tmp_path / "link"
    mine.mkdir()
    (mine / "thesis").write_text("x")
    link.symlink_to(mine)
    arguments = [*random_weights("sd15"), "-o", str(link), "--modules", "vae_decoder", "--quiet"]
    assert run("sdopt-export", export, [*arguments, "--overwrite"]) == 1
    assert f"'{mine}' was not written by these tools" in capsys.readouterr().err
    assert (mine / "thesis").read_text() == "x" and link.is_symlink()
    (mine / "thesis").unlink()
    assert run("sdopt-export", export, [*arguments, "--overwrite"]) == 0
    assert onnx_modules(mine) == {"vae_decoder"} and link.is_symlink()


def test_existing_folder_is_kept_without_overwrite(tmp_path, capsys):
    target = tmp_path / "model"
    target.mkdir()
    (target / "mine").write_text("x")
    arguments = [*random_weights("sd15"), "-o", str(target), "--modules", "vae_decoder", "--quiet"]
    assert run("sdopt-export", export, arguments) == 1
    assert "is not empty; give another or --overwrite" in capsys.readouterr().err
    assert (target / "mine").exists()
    assert run("sdopt-export", export, [*arguments, "--overwrite"]) == 1
    assert "was not written by these tools" in capsys.readouterr().err
    assert (target / "mine").exists()
    (target / "mine").unlink()
    assert run("sdopt-export", export, arguments) == 0
    (target / "old").touch()
    assert run("sdopt-export", export, [*arguments, "--overwrite"]) == 0
    assert onnx_modules(target) == {"vae_decoder"} and not (target / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_is_read_stays(tmp_path, capsys, diffusers_pipeline):
    source = tmp_path / "source"
    shutil.copytree(diffusers_pipeline, source)
    (source / ".sdopt-tools").touch()
    (tmp_path / "link").symlink_to(source)
    for target in (source, tmp_path, tmp_path / "link"):
        arguments = [str(source), "-o", str(target), "--overwrite", "--quiet"]
        assert run("sdopt-export", export, arguments) == 1
        assert "which this command reads" in capsys.readouterr().err
    assert (source / "model_index.json").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError("no such operator")])
def test_nothing_is_left_after_a_stop(tmp_path, monkeypatch, capsys, stop):
    def fail(*_, **__):
        raise stop

    monkeypatch.setattr(onnx_export.torch.onnx, "export", fail)
    code = run("sdopt-export", export, [*random_weights("sd15"), "-o", str(tmp_path / "m"), "--quiet"])
    assert code == (130 if stop is KeyboardInterrupt else 1)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    if code == 1:
        assert "text_encoder: torch's torchscript exporter failed: no such operator" in error
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_the_model_refuses(tmp_path, capsys):
    sizes = ["--modules", "transformer", "--height", "512", "--width", "512", "--quiet"]
    assert run("sdopt-export", export, [*random_weights("sd3"), *sizes, "-o", str(tmp_path / "m")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "transformer: torch's torchscript exporter failed: Height" in error
    assert list(tmp_path.iterdir()) == []


def test_missing_and_broken_pipelines(tmp_path, capsys):
    def message(name):
        assert run("sdopt-export", export, [str(name), "-o", str(tmp_path / "out")]) == 1
        return capsys.readouterr().err

    assert "no such folder" in message(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "model_index.json' is missing" in message(tmp_path / "empty")
    (tmp_path / "empty" / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    assert "needed: a unet or transformer, and a vae" in message(tmp_path / "empty")


@pytest.mark.skipif("SDOPT_COMPILE" not in os.environ, reason="SDOPT_COMPILE is not set")
def test_the_compiler_takes_sizes_that_do_not_halve_evenly(tmp_path):
    weights = random_weights("sd2-inpainting")
    static = exported(tmp_path / "static", *weights, "--height", "72", "--width", "104")
    symbolic = exported(tmp_path / "symbolic", *weights, "--symbolic")
    sizes = ["--dimension", "height=9", "--dimension", "width=13"]
    for folder, flags in ((static, []), (symbolic, sizes), (symbolic, [])):
        command = [os.environ["SDOPT_COMPILE"], folder, "--stages", tmp_path, "--quiet", *flags]
        subprocess.run([*command, "--stop-after", "normalize"], check=True)


@pytest.mark.skipif("SDOPT_COMPILE" not in os.environ, reason="SDOPT_COMPILE is not set")
@pytest.mark.parametrize("name", ["sd15", "sd2-inpainting"])
def test_the_compiler_reads_it(name, models, tmp_path):
    command = [os.environ["SDOPT_COMPILE"], models(name), "--stages", tmp_path, "--quiet"]
    subprocess.run([*command, "--stop-after", "normalize"], check=True)
