#!/usr/bin/env python3
"""One step of a peer, alone in this process; prints one line of JSON for full-size.py.

full-size-peers.py THREADS run MODEL.onnx INPUTS.safetensors OUTPUTS.safetensors
full-size-peers.py THREADS nncf|dynamic|nbits MODEL.onnx OUT.onnx
full-size-peers.py THREADS static MODEL.onnx OUT.onnx CALIBRATION.safetensors

"seconds" is the step without importing the peer's packages.
"""

import json
import os
import struct
import sys
import time
from pathlib import Path

THREADS = int(sys.argv[1])
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(THREADS)

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402

DTYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32}


def read_safetensors(path):
    data = Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    return {
        name: np.frombuffer(data[8 + size + entry["data_offsets"][0] : 8 + size + entry["data_offsets"][1]], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
    }


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, value in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for value in tensors.values():
            file.write(np.ascontiguousarray(value, np.float32).tobytes())


def records_of(inputs, path):
    """The feeds of one call after another; `inputs` is {name: shape} of the model."""
    tensors = read_safetensors(path)
    for index in range(max(len(tensors[name]) for name in inputs)):
        yield {name: tensors[name][index].reshape(shape) for name, shape in inputs.items()}


def run(model, inputs, outputs):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    start = time.monotonic()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    loaded = time.monotonic() - start
    names = [output.name for output in session.get_outputs()]
    calls, cpu, results = [], [], []
    for feeds in records_of({value.name: value.shape for value in session.get_inputs()}, inputs):
        start, used = time.monotonic(), time.process_time()
        results.append(session.run(names, feeds))
        calls.append(time.monotonic() - start)
        cpu.append(time.process_time() - used)
        print(f"call {len(calls)}: {calls[-1]:.2f} s", file=sys.stderr, flush=True)
    write_safetensors(outputs, {name: np.stack([result[i] for result in results]) for i, name in enumerate(names)})
    return {"load": loaded, "calls": calls, "cpu": cpu}


def nncf(model, output):
    import nncf
    from nncf.onnx.quantization.backend_parameters import BackendParameters

    start = time.monotonic()
    loaded = onnx.load(model, load_external_data=False)
    folder = {BackendParameters.EXTERNAL_DATA_DIR: str(Path(model).resolve().parent)}
    parameters = nncf.AdvancedCompressionParameters(backend_params=folder)
    result = nncf.compress_weights(loaded, mode=nncf.CompressWeightsMode.INT8_SYM, advanced_parameters=parameters)
    onnx.save_model(result, output, save_as_external_data=True, location=Path(output).name + "_data")
    return {"seconds": time.monotonic() - start}


def dynamic(model, output):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    start = time.monotonic()
    quantize_dynamic(model, output, per_channel=True, weight_type=QuantType.QInt8, use_external_data_format=True)
    return {"seconds": time.monotonic() - start}


def nbits(model, output):
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    start = time.monotonic()
    quantizer = MatMulNBitsQuantizer(model, bits=4, block_size=64, is_symmetric=True)
    quantizer.process()
    quantizer.model.save_model_to_file(output, use_external_data_format=True)
    return {"seconds": time.monotonic() - start}


def static(model, output, calibration):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    graph = onnx.load(model, load_external_data=False).graph
    shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in graph.input}

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.records = records_of(shapes, calibration)

        def get_next(self):
            return next(self.records, None)

    start = time.monotonic()
    quantize_static(
        model,
        output,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
    )
    return {"seconds": time.monotonic() - start}


STEPS = {"run": run, "nncf": nncf, "dynamic": dynamic, "nbits": nbits, "static": static}
print("\n" + json.dumps(STEPS[sys.argv[2]](*sys.argv[3:])))
