"""From a network to an ONNX file and its entry for models.toml."""

import hashlib
import io
import warnings

import onnx
import torch

import seeded_weights

OPSET = 17


def model_of(made):
    """Returns the network as an ONNX model, checked against PyTorch's numbers."""
    axes = {name: free for name, (_, free) in made.inputs.items()}
    axes[made.output[0]] = made.output[1]
    target = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            made.network, tuple(example for example, _ in made.inputs.values()), target,
            input_names=list(made.inputs), output_names=[made.output[0]], dynamic_axes=axes,
            opset_version=OPSET, dynamo=False, do_constant_folding=not made.seeded,
        )
    model = onnx.load_from_string(target.getvalue())
    if made.seeded:
        seeded_weights.into_graph(model, made.network)
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
        if made.seeded:
            node.ClearField("name")
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    return model


def write(made, folder):
    """Writes the file into `folder` and returns its entry."""
    content = model_of(made).SerializeToString()
    file = f"{made.name}.onnx"
    (folder / file).write_bytes(content)
    return entry(made, file, content)


def entry(made, file, content):
    """The text of a [[model]] in models.toml."""
    lines = [
        "[[model]]", f'name = "{made.name}"', f'role = "{made.role}"', f'file = "{file}"',
        f'sha256 = "{hashlib.sha256(content).hexdigest()}"', f"bytes = {len(content)}",
        f'licence = "{made.licence}"', f'licence_note = "{made.licence_note}"',
    ]
    if made.dimension is not None:
        lines.append(f"dimension = {made.dimension}")
    for name, (example, free) in made.inputs.items():
        shape = [-1 if axis in free else extent for axis, extent in enumerate(example.shape)]
        table = "[[model.input]]" if len(made.inputs) > 1 else "[model.input]"
        lines += ["", table, f'name = "{name}"', f"shape = {shape}"]
    lines += ["", "[model.output]", f'name = "{made.output[0]}"', "", made.sections.rstrip()]
    return "\n".join(lines)
