"""Every architecture that sdopt knows, at its true size, through the whole compiler with --verify: see architectures.sh."""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DENOISERS = {"sd15": "unet", "sd2-inpainting": "unet", "sdxl": "unet", "sd3": "transformer"}


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="tests/benchmark/architectures.sh",
        description="Exports each architecture with random weights, compiles all its modules (of SDXL and SD3 the denoiser) and verifies them bit for bit.",
    )
    parser.add_argument("architectures", nargs="*", help=f"of {', '.join(DENOISERS)}; default: all")
    parser.add_argument("--tiny", action="store_true", help="few channels: minutes instead of an hour")
    parser.add_argument("--recipes", default="w8a16,w8a8")
    parser.add_argument("--dtype", choices=["fp16", "fp32"], default="fp16", help="of the exported files; fp32 where the processor computes no fp16 (three times as fast there)")
    parser.add_argument("--modules", help="default: all of sd2-inpainting, the denoiser of the others")
    parser.add_argument("--model", type=Path, help="folder that was exported before, of the only architecture")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="build folder with bin/")
    parser.add_argument("--work", type=Path, help="default: BUILD/architectures; an export takes up to 6 GB (fp32: 11) and is removed after its turn")
    parser.add_argument("--exporter", type=Path, help="sdopt-export; default: installed into BUILD/venv-python")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples-of", type=Path, nargs=2, metavar=("MODEL", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.architectures) - set(DENOISERS)
    if unknown:
        parser.error(f"unknown architecture {', '.join(sorted(unknown))}; there are {', '.join(DENOISERS)}")
    options.architectures = options.architectures or list(DENOISERS)
    if options.model and len(options.architectures) != 1:
        parser.error("--model belongs to one architecture: name it")
    options.work = options.work or options.build / "architectures"
    return options


def write_samples(module, folder):
    """A call for calibration and another for the test, of normal numbers; in the exporter's interpreter, which has onnx."""
    import numpy
    import onnx
    from safetensors.numpy import save_file

    graph = onnx.load(module / "model.onnx", load_external_data=False).graph
    for kind, seed in (("calibration", 1), ("test", 2)):
        generator = numpy.random.default_rng(seed)
        tensors = {}
        for value in graph.input:
            shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
            integers = value.type.tensor_type.elem_type in (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
            if value.name == "timestep":
                values = numpy.array(generator.integers(1, 1000, 1))
            elif value.name == "time_ids":
                values = numpy.tile([1024, 1024, 0, 0, 1024, 1024], (shape[0], 1))
            elif integers:
                values = generator.integers(0, 49000, shape)
            else:
                values = generator.standard_normal(shape)
            values = values.reshape(shape).astype(numpy.int64 if integers else numpy.float32)
            tensors[value.name] = values[None]
        save_file(tensors, folder / f"{module.name}_{kind}.safetensors")


def run(command):
    start = time.monotonic()
    child = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if child.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{child.stdout[-2000:]}")
    return child.stdout, time.monotonic() - start


def find_exporter(options):
    if options.exporter:
        return options.exporter
    venv = options.build / "venv-python"
    if not (venv / "bin" / "sdopt-export").exists():
        print("installing torch, diffusers and the exporter", flush=True)
        run([sys.executable, "-m", "venv", venv])
        run([venv / "bin/pip", "install", "-q", ROOT / "tools/python"])
    return venv / "bin" / "sdopt-export"


def check(options, architecture, exporter):
    modules = options.modules or ("text_encoder,vae_encoder,vae_decoder,unet" if architecture == "sd2-inpainting" else DENOISERS[architecture])
    work = options.work / architecture
    shutil.rmtree(work, ignore_errors=True)
    (work / "samples").mkdir(parents=True)
    model = options.model or work / "model"
    if not options.model:
        size = ["--tiny"] if options.tiny else ["--dtype", options.dtype, "--height", 512, "--width", 512]
        _, seconds = run([exporter, "--random-weights", "--architecture", architecture, "--modules", modules, *size, "-o", model, "--quiet"])
        print(f"{architecture}: exported in {seconds:.0f} s", flush=True)
    python = exporter.parent / "python3"
    for module in modules.split(","):
        run([python, __file__, "--samples-of", model / module, work / "samples"])
    for module in modules.split(","):
        for recipe in options.recipes.split(","):
            package = work / "package.sdnpu"
            flags = ["--recipe", recipe, "--samples", work / "samples", "--verify", "--verify-samples", 1, "--threads", options.threads]
            output, seconds = run([options.build / "bin/sdopt-compile", model, "--modules", module, *flags, "-o", package])
            verified = next(line for line in output.splitlines() if ": verified " in line)
            print(f"{architecture} {recipe}: {verified}, {package.stat().st_size / 1e6:.0f} MB in {seconds:.0f} s", flush=True)
    shutil.rmtree(work)


def main():
    options = parse_arguments()
    if options.samples_of:
        return write_samples(*options.samples_of)
    exporter = find_exporter(options)
    for architecture in options.architectures:
        check(options, architecture, exporter)


if __name__ == "__main__":
    main()
