"""Makes the models of this folder and what ONNX Runtime computes with them.

    python make_models.py

needs torch, diffusers, onnx, onnxruntime, safetensors. The classes are those of the published
pipelines with a few channels and random weights, exported as `sdopt-export` does.
"""

import json
from pathlib import Path

import diffusers
import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.numpy import save_file

HERE = Path(__file__).parent
BRANCHES = 2  # of guidance

UNET = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (4, 8),
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "transformer_layers_per_block": (1, 1),
    "attention_head_dim": (1, 2),
    "cross_attention_dim": 12,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 6 + 6 * 4,
}

TRANSFORMER = {
    "sample_size": 8,
    "patch_size": 2,
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 12,
    "caption_projection_dim": 16,
    "pooled_projection_dim": 6,
    "pos_embed_max_size": 6,
}

# That of version 3.5: norms of queries and keys, two attentions in the first block.
TRANSFORMER_35 = {**TRANSFORMER, "qk_norm": "rms_norm", "dual_attention_layers": (0,)}


class Unet(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.unet = model

    def forward(self, sample, timestep, encoder_hidden_states, text_embeds, time_ids):
        conditions = {"text_embeds": text_embeds, "time_ids": time_ids}
        return self.unet(
            sample, timestep, encoder_hidden_states, added_cond_kwargs=conditions, return_dict=False
        )[0]


class Transformer(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.transformer = model

    def forward(self, hidden_states, encoder_hidden_states, pooled_projections, timestep):
        return self.transformer(
            hidden_states, encoder_hidden_states, pooled_projections, timestep, return_dict=False
        )[0]


def unet_inputs(random, calls):
    steps = np.linspace(951.0522, 0.0292, calls, dtype=np.float32)
    sizes = np.array([1024, 1024, 0, 64, 1024, 768], np.float32)
    return {
        "sample": random.standard_normal((calls, BRANCHES, 4, 8, 8)),
        "timestep": steps,
        "encoder_hidden_states": random.standard_normal((calls, BRANCHES, 5, 12)),
        "text_embeds": random.standard_normal((calls, BRANCHES, 6)),
        "time_ids": np.tile(sizes, (calls, BRANCHES, 1)),
    }


def transformer_inputs(random, calls):
    steps = np.linspace(1000, 8.928572, calls, dtype=np.float32)
    return {
        "hidden_states": random.standard_normal((calls, BRANCHES, 4, 8, 8)),
        "encoder_hidden_states": random.standard_normal((calls, BRANCHES, 5, 12)),
        "pooled_projections": random.standard_normal((calls, BRANCHES, 6)),
        "timestep": steps,
    }


def randomize(model):
    """Also what starts as zero in published classes."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                scale, offset = 0.1, 1.0 if "norm" in name and name.endswith("weight") else 0.0
            else:
                scale, offset = (parameter[0].numel()) ** -0.5, 0.0
            parameter.copy_(offset + scale * noise)


def rows(inputs, call, branch):
    """What the model, of one row, reads for a branch; all branches share a timestep."""
    return {
        name: np.ascontiguousarray(
            array[call : call + 1] if array.ndim == 1 else array[call, branch : branch + 1]
        ).astype(np.float32)
        for name, array in inputs.items()
    }


def export(folder, wrapper, inputs, output):
    arrays = rows(inputs, 0, 0)
    path = HERE / folder / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    torch.onnx.export(
        wrapper.eval(),
        tuple(torch.from_numpy(array) for array in arrays.values()),
        path,
        input_names=list(arrays),
        output_names=[output],
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load(path)
    del model.graph.value_info[:]
    onnx.save(model, path)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def record(folder, session, inputs, part, output):
    calls = len(next(iter(inputs.values())))
    results = [
        [session.run([output], rows(inputs, call, branch))[0][0] for branch in range(BRANCHES)]
        for call in range(calls)
    ]
    tensors = {name: np.ascontiguousarray(array, np.float32) for name, array in inputs.items()}
    tensors[output] = np.array(results, np.float32)
    save_file(tensors, HERE / "samples" / f"{folder}_{part}.safetensors")


def make(folder, model, wrapper, make_inputs, output):
    randomize(model)
    session = export(folder, wrapper(model), make_inputs(np.random.default_rng(0), 1), output)
    config = {key: value for key, value in model.config.items() if not key.startswith("_")}
    (HERE / folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    for seed, (part, calls) in enumerate((("calibration", 6), ("test", 3))):
        record(folder, session, make_inputs(np.random.default_rng(seed), calls), part, output)


def main():
    (HERE / "samples").mkdir(exist_ok=True)
    make("unet", diffusers.UNet2DConditionModel(**UNET), Unet, unet_inputs, "out_sample")
    for folder, config in (("transformer", TRANSFORMER), ("transformer_35", TRANSFORMER_35)):
        model = diffusers.SD3Transformer2DModel(**config)
        make(folder, model, Transformer, transformer_inputs, "out_hidden_states")


main()
