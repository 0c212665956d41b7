"""Weights from a formula, the same in PyTorch and inside an ONNX graph, bit for bit.

Element i of weight number k is base + (h - 32760) * scale with h = (v * v + 7 v) mod 65521, v = (i * 48271 + k * 7919) mod 65521:
whole numbers until the one product and the one sum in float32, so that nothing depends on a library's sine or random numbers.
"""

import math

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

PRIME, STEP, SHIFT, SQUARE, MIDDLE = 65521, 48271, 7919, 7, 32760


def constants(name, shape):
    """(base, scale) of a weight: unit variance through each layer, norms near 1, variances above 0."""
    spread = PRIME / math.sqrt(12)
    last = name.rsplit(".", 1)[-1]
    if last == "running_var" or (len(shape) == 1 and last == "weight"):
        return np.float32(1.0), np.float32(0.1 / spread)
    if len(shape) < 2:
        return np.float32(0.0), np.float32(0.05 / spread)
    fan_in = math.prod(shape[1:]) if "embedding" not in name else 25
    return np.float32(0.0), np.float32(1.2 / math.sqrt(fan_in) / spread)


def values(number, name, shape):
    """Weight `number` as float32."""
    base, scale = constants(name, shape)
    v = (np.arange(math.prod(shape), dtype=np.int64) * STEP + number * SHIFT) % PRIME
    h = (v * (v + SQUARE)) % PRIME
    return (base + (h - MIDDLE).astype(np.float32) * scale).reshape(shape)


def weights(network):
    """Every float tensor of the network, with its number."""
    named = [(n, t) for n, t in network.state_dict().items() if t.dtype == torch.float32]
    return [(number, name, tensor) for number, (name, tensor) in enumerate(named)]


def fill(network):
    """Puts the formula's weights into the network."""
    with torch.no_grad():
        for number, name, tensor in weights(network):
            tensor.copy_(torch.from_numpy(values(number, name, tuple(tensor.shape))))


def into_graph(model, network):
    """Replaces the network's weights in an exported model by the formula that makes them."""
    numbers = {name: number for number, name, _ in weights(network)}
    graph, nodes = model.graph, []

    def constant(name, value):
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    shared = {
        key: constant(f"seed.{key}", np.int64(value))
        for key, value in {"0": 0, "1": 1, "p": PRIME, "a": STEP, "q": SQUARE, "m": MIDDLE}.items()
    }
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for name, number in numbers.items():
        tensor = stored.get(name)
        if tensor is None or math.prod(tensor.dims) < 64:
            continue
        shape = tuple(tensor.dims)
        expected = values(number, name, shape)
        if not np.array_equal(expected, numpy_helper.to_array(tensor)):
            raise ValueError(f"the exporter changed the weight {name}")
        graph.initializer.remove(tensor)
        base, scale = constants(name, shape)
        s = f"s{number}"
        count = constant(f"{s}n", np.int64(math.prod(shape)))
        shift = constant(f"{s}k", np.int64(number * SHIFT))
        steps = [
            ("Range", [shared["0"], count, shared["1"]]),
            ("Mul", [None, shared["a"]]), ("Add", [None, shift]), ("Mod", [None, shared["p"]]),
        ]
        last = None
        for place, (operator, inputs) in enumerate(steps):
            out = f"{s}.{place}"
            nodes.append(helper.make_node(operator, [last if i is None else i for i in inputs], [out]))
            last = out
        nodes += [
            helper.make_node("Add", [last, shared["q"]], [f"{s}.4"]),
            helper.make_node("Mul", [last, f"{s}.4"], [f"{s}.5"]),
            helper.make_node("Mod", [f"{s}.5", shared["p"]], [f"{s}.6"]),
            helper.make_node("Sub", [f"{s}.6", shared["m"]], [f"{s}.7"]),
            helper.make_node("Cast", [f"{s}.7"], [f"{s}.8"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", [f"{s}.8", constant(f"{s}s", scale)], [f"{s}.9"]),
            helper.make_node("Add", [f"{s}.9", constant(f"{s}b", base)], [f"{s}.a"]),
            helper.make_node("Reshape", [f"{s}.a", constant(f"{s}d", np.array(shape, dtype=np.int64))], [name]),
        ]
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes + rest)
    return model
