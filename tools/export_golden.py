"""Tiny seeded models, a registry of them, and PyTorch's answers: the golden files of worker/tests/seeded.rs."""

import hashlib
import json

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

import export_architectures
import export_onnx


def tensor(shape, start):
    """Numbers from -0.5 to 0.5: ((i * 7919 + start) mod 1009) / 1009 - 0.5 in double precision, then float32."""
    i = np.arange(np.prod(shape), dtype=np.int64)
    return torch.from_numpy(((i * 7919 + start) % 1009 / 1009 - 0.5).astype(np.float32).reshape(shape))


def sound(count):
    """A sound of 16-bit samples: a triangle whose period changes, and noise of a linear congruence."""
    state, samples = 12345, np.empty(count, dtype=np.int16)
    for i in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        period = 40 + 20 * (i // 8000)
        samples[i] = abs(2 * (i % period) - period) * 8000 // period - 4000 + ((state >> 20) - 2048) // 4
    return samples


def normalised(samples):
    """As wav2vec 2.0's feature extractor: zero mean, unit variance over the whole sound."""
    x = samples.astype(np.float64) / 32768
    return torch.from_numpy(((x - x.mean()) / np.sqrt(x.var() + 1e-7)).astype(np.float32))[None]


def numbers(output):
    return [float(f"{v:.8g}") for v in output.reshape(-1).tolist()]


def edge_cases(folder):
    """Files of one or two nodes that are wrong, or right in an unusual way, and their entries."""
    picture = ["batch", 3, 8, 8]
    mean = helper.make_node("ReduceMean", ["image"], ["vector"], axes=[2, 3], keepdims=0, name="mean")
    cases = {
        # One picture at a time: a batch of one is written into the file.
        "fixed-batch": ([1, 3, 8, 8], [1, 3], [mean]),
        # Like a damaged file: the square root of negative numbers is NaN.
        "not-a-number": (picture, ["batch", 3], [
            helper.make_node("Neg", ["image"], ["below"], name="below"),
            helper.make_node("Sqrt", ["below"], ["root"], name="root"),
            helper.make_node("ReduceMean", ["root"], ["vector"], axes=[2, 3], keepdims=0, name="mean"),
        ]),
        # A map that was not pooled.
        "unpooled": (picture, ["batch", 3, 8, 8], [helper.make_node("Neg", ["image"], ["vector"], name="map")]),
        # Two outputs: the entry must name one.
        "two-outputs": (picture, ["batch", 3], [mean, helper.make_node("Neg", ["vector"], ["other"], name="other")]),
    }
    entries = []
    for name, (shape, out, nodes) in cases.items():
        outputs = [helper.make_tensor_value_info("vector", TensorProto.FLOAT, out)]
        if name == "two-outputs":
            outputs.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, out))
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
        graph = helper.make_graph(nodes, name, [image], outputs)
        model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
        onnx.checker.check_model(model)
        content = model.SerializeToString()
        (folder / f"{name}.onnx").write_bytes(content)
        # As short as an entry may be: everything else is read from the file.
        entries.append(
            f'[[model]]\nname = "{name}"\nrole = "image-embedding"\nfile = "{name}.onnx"\n'
            f'sha256 = "{hashlib.sha256(content).hexdigest()}"\n\n[model.picture]\nwidth = 8\nheight = 8\n'
            'resize = "stretch"\ndivide_by = 255.0\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]'
        )
    return entries


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    entries, answers = [], {"torch": torch.__version__, "tensors": {}, "sounds": {}}
    samples = sound(50_123)
    for name in export_architectures.NAMES:
        made = export_architectures.seeded(name, "tiny")
        entries.append(export_onnx.write(made, folder))
        if made.role == "audio-embedding":
            # PyTorch's own network on the whole sound, as its users call it: no chunks, no moments from outside.
            network, x = made.extra["network"].eval(), normalised(samples)
            with torch.no_grad():
                if name.endswith("-context"):
                    vectors = network(x).last_hidden_state[0]
                else:
                    vectors = network.feature_extractor(x)[0].T
            mean = vectors.double().mean(dim=0)
            answers["sounds"][made.name] = {"frames": vectors.shape[0], "mean": numbers(mean)}
            continue
        inputs, used = [], []
        for start, (example, free) in enumerate(made.inputs.values()):
            shape = [2 if axis == 0 and 0 in free else extent for axis, extent in enumerate(example.shape)]
            used.append(shape)
            inputs.append(tensor(shape, start))
        with torch.no_grad():
            output = made.network(*inputs)
        answers["tensors"][made.name] = {"inputs": used, "shape": list(output.shape), "values": numbers(output)}
    entries += edge_cases(folder)
    answers["sound"] = {"samples": len(samples), "sum": int(samples.astype(np.int64).sum())}
    registry = "# Written by `tools/export_models.py golden`: tiny models with made-up weights, for tests.\nversion = 1\n\n"
    (folder / "models.toml").write_text(registry + "\n\n".join(entries) + "\n")
    (folder / "answers.json").write_text(json.dumps(answers, separators=(",", ":")) + "\n")
