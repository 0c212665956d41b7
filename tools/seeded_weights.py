"""Weights from a formula, the same in PyTorch and inside an ONNX graph, bit for bit.

Element i of weight number k is base + h[(i + k * 7919) mod 65521] * scale, where h[v] = (w * w + 7 w) mod 65521 - 32760 with
w = v * 48271 mod 65521: whole numbers until the one product and the one sum in float32, so that nothing depends on a library's sine or
random numbers. The graph makes h once and repeats it; each weight is a slice of that.
"""

import math

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

PRIME, STEP, SHIFT, SQUARE, MIDDLE = 65521, 48271, 7919, 7, 32760


def constants(name, shape, gain=1.2):
    """(base, scale) of a weight: about unit variance through each layer, norms near 1, variances above 0."""
    spread = PRIME / math.sqrt(12)
    last = name.rsplit(".", 1)[-1]
    if last == "running_var" or (len(shape) == 1 and last == "weight"):
        return np.float32(1.0), np.float32(0.1 / spread)
    if len(shape) < 2:
        return np.float32(0.0), np.float32(0.05 / spread)
    gain = gain(name) if callable(gain) else gain
    fan_in = math.prod(shape[1:]) if "embedding" not in name else 25
    return np.float32(0.0), np.float32(gain / math.sqrt(fan_in) / spread)


def noise():
    """The whole numbers h, from -32760 to 32760, as float32."""
    w = np.arange(PRIME, dtype=np.int64) * STEP % PRIME
    return (w * (w + SQUARE) % PRIME - MIDDLE).astype(np.float32)


def values(number, name, shape, gain=1.2):
    """Weight `number` as float32."""
    base, scale = constants(name, shape, gain)
    count, start = math.prod(shape), number * SHIFT % PRIME
    drawn = np.tile(noise(), -(-(start + count) // PRIME))[start : start + count]
    return (drawn * scale + base).reshape(shape)


def weights(network, keep=()):
    """Every float tensor of the network, with its number; not those whose name has one of the words `keep`."""
    named = [(n, t) for n, t in network.state_dict().items() if t.dtype == torch.float32]
    named = [(n, t) for n, t in named if not any(word in n for word in keep)]
    # A weight that several layers share has the name of the first.
    first = {}
    named = [(n, t) for n, t in named if first.setdefault((t.data_ptr(), t.shape), n) == n]
    return [(number, name, tensor) for number, (name, tensor) in enumerate(named)]


def fill(network, keep=(), gain=1.2):
    """Puts the formula's weights into the network."""
    with torch.no_grad():
        for number, name, tensor in weights(network, keep):
            tensor.copy_(torch.from_numpy(values(number, name, tuple(tensor.shape), gain)))


def into_graph(model, network, keep=(), gain=1.2):
    """Replaces the network's weights in an exported model by the formula that makes them."""
    numbers = {name: number for number, name, _ in weights(network, keep)}
    graph, nodes = model.graph, []

    def constant(name, value):
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    whole = {key: constant(f"seed.{key}", np.int64(n)) for key, n in
             {"0": 0, "1": 1, "p": PRIME, "a": STEP, "q": SQUARE, "m": MIDDLE}.items()}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    replaced = [name for name in numbers if name in stored and math.prod(stored[name].dims) >= 64]
    longest = max(math.prod(stored[name].dims) for name in replaced)
    repeats = constant("seed.r", np.array([longest // PRIME + 2], dtype=np.int64))
    nodes += [
        helper.make_node("Range", [whole["0"], whole["p"], whole["1"]], ["seed.i"]),
        helper.make_node("Mul", ["seed.i", whole["a"]], ["seed.j"]),
        helper.make_node("Mod", ["seed.j", whole["p"]], ["seed.w"]),
        helper.make_node("Add", ["seed.w", whole["q"]], ["seed.x"]),
        helper.make_node("Mul", ["seed.w", "seed.x"], ["seed.y"]),
        helper.make_node("Mod", ["seed.y", whole["p"]], ["seed.z"]),
        helper.make_node("Sub", ["seed.z", whole["m"]], ["seed.c"]),
        helper.make_node("Cast", ["seed.c"], ["seed.f"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Tile", ["seed.f", repeats], ["seed"]),
    ]
    for name in replaced:
        number, tensor = numbers[name], stored[name]
        shape = tuple(tensor.dims)
        if not np.array_equal(values(number, name, shape, gain), numpy_helper.to_array(tensor)):
            raise ValueError(f"the exporter changed the weight {name}")
        graph.initializer.remove(tensor)
        base, scale = constants(name, shape, gain)
        s, start = f"s{number}", number * SHIFT % PRIME
        ends = [constant(f"{s}{k}", np.array([n], dtype=np.int64)) for k, n in (("a", start), ("e", start + math.prod(shape)))]
        nodes.append(helper.make_node("Slice", ["seed", *ends], [f"{s}.0"]))
        nodes.append(helper.make_node("Mul", [f"{s}.0", constant(f"{s}s", scale)], [f"{s}.1"]))
        last = f"{s}.1"
        if base:
            nodes.append(helper.make_node("Add", [last, constant(f"{s}b", base)], [f"{s}.2"]))
            last = f"{s}.2"
        nodes.append(helper.make_node("Reshape", [last, constant(f"{s}d", np.array(shape, dtype=np.int64))], [name]))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes + rest)
    return model
