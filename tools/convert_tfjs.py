#!/usr/bin/env python3
"""Converts a frozen TensorFlow.js graph model (model.json and its .bin files) to ONNX. Needs only Python's standard library.

    convert_tfjs.py MODEL.json OUTPUT.onnx

The weight files that MODEL.json names are in its folder. Weights stored as float16 become float32 without loss; only their order changes (HWIO
to OIHW), so the file is the same on every machine. The operators are those of convolutional networks (see `Converter`); others are
refused by name.

TensorFlow.js computes on batch, row, column, channel. Here every picture tensor keeps ONNX's order instead (batch, channel, row, column), and a
transposition in the graph only renames axes (`Value.axes`). The batch dimension becomes free.

A detector has several outputs of [1, rows, width]. Those with equal rows are concatenated by width, the widest first. The results are
concatenated by rows, the longest first, into one output `output` of [batch, all rows, all widths].
"""

import argparse
import array
import base64
import json
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import onnx_writer

OPSET = 17
NHWC = (0, 2, 3, 1)  # position of each axis of a TensorFlow picture in ONNX's order
DTYPES = {"float32": ("f", 4), "int32": ("i", 4), "bool": ("B", 1), "uint8": ("B", 1)}


class GraphError(Exception):
    """The model cannot be converted; the message names the node and the reason."""


@dataclass(frozen=True)
class Constant:
    """A tensor of the file: row-major values."""

    shape: tuple
    values: tuple


@dataclass(frozen=True)
class Value:
    """A tensor that the ONNX graph computes."""

    name: str
    shape: tuple  # in ONNX's order, for a batch of one
    axes: tuple  # axis i of TensorFlow's tensor is axis axes[i] of this one
    pads: tuple = (0, 0, 0, 0)  # rows and columns that are still to be added: top, left, bottom, right
    pad_value: float = 0.0


def read_constants(manifest, folder):
    """Every weight of the model by its name."""
    constants = {}
    for group in manifest:
        data = b"".join((folder / path).read_bytes() for path in group["paths"])
        offset = 0
        for weight in group["weights"]:
            stored = weight.get("quantization", {}).get("dtype", weight["dtype"])
            code, size = ("e", 2) if stored == "float16" else DTYPES.get(stored, (None, 0))
            if code is None or ("scale" in weight.get("quantization", {})):
                raise GraphError(f"the weight {weight['name']} is stored as {stored}, which is not supported")
            count = 1
            for extent in weight["shape"]:
                count *= extent
            values = struct.unpack_from(f"<{count}{code}", data, offset)
            offset += count * size
            constants[weight["name"]] = Constant(tuple(weight["shape"]), values)
        if offset != len(data):
            raise GraphError(f"{', '.join(group['paths'])} hold {len(data)} bytes and the weights take {offset}")
    return constants


def floats(values):
    data = array.array("f", values)
    if sys.byteorder == "big":
        data.byteswap()
    return data.tobytes()


class Converter:
    """Walks the TensorFlow graph from its outputs and adds what it meets to an ONNX graph."""

    def __init__(self, model, folder):
        self.nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
        self.constants = read_constants(model["weightsManifest"], folder)
        self.signature = model["signature"]
        self.graph = onnx_writer.Graph("tfjs")
        self.done = {}
        self.count = 0
        # A bias is added by a node of its own; ONNX's convolution takes it along.
        self.biases = {}
        for node in self.nodes.values():
            if node["op"] in ("Add", "AddV2", "BiasAdd"):
                first, second = node["input"]
                if self.nodes[first]["op"] == "Conv2D" and second in self.constants:
                    self.biases[first] = self.constants[second]

    def fresh(self, word):
        self.count += 1
        return f"{word}_{self.count}"

    def integers(self, values, word):
        return self.graph.initializer(self.fresh(word), [len(values)], struct.pack(f"<{len(values)}q", *values), onnx_writer.INT64)

    def of(self, name):
        """The constant or value that an input of a node names."""
        name, _, port = name.partition(":")
        name = name.removeprefix("^")
        if name not in self.done:
            self.visit(name)
        result = self.done[name]
        return result[int(port or 0)] if isinstance(result, list) else result

    def visit(self, name):
        """Converts a node after all that it reads, without recursion: graphs are deep."""
        stack = [name]
        while stack:
            node = self.nodes.get(stack[-1])
            if node is None:
                raise GraphError(f"the graph has no node {stack[-1]}")
            waiting = [i.partition(":")[0].removeprefix("^") for i in node.get("input", [])]
            waiting = [i for i in waiting if i not in self.done]
            if waiting:
                stack.extend(waiting)
                continue
            current = stack.pop()
            if current not in self.done:
                self.done[current] = self.convert(node)

    def convert(self, node):
        method = getattr(self, f"op_{node['op'].lower()}", None)
        if method is None:
            raise GraphError(f"the operator {node['op']} of node {node['name']} is not supported")
        return method(node, *(self.of(name) for name in node.get("input", []) if not name.startswith("^")))

    # Constants.

    def op_const(self, node):
        return self.constants[node["name"]]

    def op_sparsetodense(self, node, indices, shape, values, default):
        if indices.values:
            raise GraphError(f"{node['name']} fills single places, which is not supported")
        count = 1
        for extent in shape.values:
            count *= extent
        return Constant(tuple(shape.values), default.values * count)

    # Tensors.

    def op_placeholder(self, node):
        shape = tuple(int(d["size"]) for d in node["attr"]["shape"]["shape"]["dim"])
        if len(shape) != 4:
            raise GraphError(f"the input {node['name']} has {len(shape)} dimensions, not the 4 of a picture")
        axes = (0, 1, 2, 3) if shape[1] == 3 else NHWC
        onnx_shape = shape if axes == (0, 1, 2, 3) else (shape[0], shape[3], shape[1], shape[2])
        self.graph.input("input", ["batch", *onnx_shape[1:]])
        return Value("input", onnx_shape, axes)

    def op_identity(self, _node, x):
        return x

    def op_transpose(self, _node, x, order):
        return Value(x.name, x.shape, tuple(x.axes[i] for i in order.values), x.pads, x.pad_value)

    def arranged(self, x, axes):
        """The value with TensorFlow's axes at `axes`; transposes the tensor if they are elsewhere."""
        if x.axes == tuple(axes):
            return x
        if any(x.pads):
            raise GraphError(f"{x.name} is padded and then transposed, which is not supported")
        # Axis axes[i] of the new tensor is axis x.axes[i] of the old one.
        order = [0] * len(axes)
        for old, new in zip(x.axes, axes):
            order[new] = old
        name = self.graph.node("Transpose", [x.name], self.fresh("transpose"), perm=order)
        return Value(name, tuple(x.shape[i] for i in order), tuple(axes))

    def plain(self, x):
        if any(x.pads):
            raise GraphError(f"{x.name} is padded for an operator that takes no padding, which is not supported")
        return x

    def op_pad(self, node, x, paddings, value=None):
        pairs = list(zip(paddings.values[::2], paddings.values[1::2]))
        by_axis = {x.axes[i]: pair for i, pair in enumerate(pairs)}
        if any(by_axis[axis] != (0, 0) for axis in (0, 1)):
            raise GraphError(f"{node['name']} pads the batch or the channels, which is not supported")
        (top, bottom), (left, right) = by_axis[2], by_axis[3]
        return Value(x.name, x.shape, x.axes, (top, left, bottom, right), value.values[0] if value else 0.0)

    op_padv2 = op_pad

    def window(self, node, x, kernel):
        """Strides, and the rows and columns that padding and a sliding kernel make of the value's."""
        strides = [int(i) for i in node["attr"]["strides"]["list"]["i"]][1:3]
        if base64.b64decode(node["attr"]["padding"]["s"]) != b"VALID":
            raise GraphError(f"{node['name']} does not pad as VALID, which is not supported")
        top, left, bottom, right = x.pads
        sides = (x.shape[2] + top + bottom, x.shape[3] + left + right)
        return strides, tuple((side - k) // step + 1 for side, k, step in zip(sides, kernel, strides))

    def op_conv2d(self, node, x, weight):
        if x.pad_value != 0.0:
            raise GraphError(f"{node['name']} reads a tensor padded with {x.pad_value}, which is not supported")
        if any(int(i) != 1 for i in node["attr"]["dilations"]["list"]["i"]):
            raise GraphError(f"{node['name']} is dilated, which is not supported")
        x = x if x.axes == NHWC else self.arranged(x, NHWC)
        high, wide, inputs, outputs = weight.shape
        # HWIO to OIHW: output o reads every outputs-th number from o on.
        moved = array.array("f")
        for o in range(outputs):
            column = weight.values[o::outputs]
            for i in range(inputs):
                moved.extend(column[i::inputs])
        name = self.fresh("conv")
        tensors = [x.name, self.graph.initializer(f"{name}.weight", [outputs, inputs, high, wide], floats(moved))]
        bias = self.biases.get(node["name"])
        if bias is not None:
            tensors.append(self.graph.initializer(f"{name}.bias", [outputs], floats(bias.values)))
        strides, sides = self.window(node, x, (high, wide))
        self.graph.node("Conv", tensors, name, kernel_shape=[high, wide], pads=list(x.pads), strides=strides)
        return Value(name, (x.shape[0], outputs, *sides), NHWC)

    def op_maxpool(self, node, x):
        if any(x.pads) and x.pad_value > -1e30:
            raise GraphError(f"{node['name']} pools a tensor padded with {x.pad_value}, which is not supported")
        x = x if x.axes == NHWC else self.arranged(x, NHWC)
        kernel = [int(i) for i in node["attr"]["ksize"]["list"]["i"]][1:3]
        strides, sides = self.window(node, x, kernel)
        name = self.graph.node("MaxPool", [x.name], self.fresh("pool"), kernel_shape=kernel, pads=list(x.pads), strides=strides)
        return Value(name, (*x.shape[:2], *sides), NHWC)

    def op_add(self, node, x, y):
        if isinstance(x, Constant) and isinstance(y, Constant):
            return Constant(x.shape, tuple(a + b for a, b in zip(x.values, y.values, strict=True)))
        if isinstance(y, Constant):
            if node["input"][0] in self.biases:
                return x
            raise GraphError(f"{node['name']} adds a constant to something else than a convolution, which is not supported")
        x = self.plain(x)
        y = self.arranged(self.plain(y), x.axes)
        return Value(self.graph.node("Add", [x.name, y.name], self.fresh("add")), x.shape, x.axes)

    op_addv2 = op_biasadd = op_add

    def elementwise(self, operator, x, **attributes):
        x = self.plain(x)
        return Value(self.graph.node(operator, [x.name], self.fresh(operator.lower()), **attributes), x.shape, x.axes)

    def op_leakyrelu(self, node, x):
        return self.elementwise("LeakyRelu", x, alpha=float(node["attr"]["alpha"]["f"]))

    def op_relu(self, _node, x):
        return self.elementwise("Relu", x)

    def op_sigmoid(self, _node, x):
        return self.elementwise("Sigmoid", x)

    def op_concatv2(self, _node, *inputs):
        *parts, axis = inputs
        first = self.plain(parts[0])
        parts = [first] + [self.arranged(self.plain(part), first.axes) for part in parts[1:]]
        return self.joined(parts, first.axes[axis.values[0] % len(first.axes)])

    def joined(self, parts, axis):
        if len(parts) == 1:
            return parts[0]
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        name = self.graph.node("Concat", [part.name for part in parts], self.fresh("concat"), axis=axis)
        return Value(name, tuple(shape), parts[0].axes)

    def op_splitv(self, _node, x, sizes, axis):
        x, start, parts = self.plain(x), 0, []
        axis = x.axes[axis.values[0] % len(x.axes)]
        for size in sizes.values:
            bounds = [self.integers([number], "slice") for number in (start, start + size, axis)]
            name = self.graph.node("Slice", [x.name, *bounds], self.fresh("part"))
            parts.append(Value(name, (*x.shape[:axis], size, *x.shape[axis + 1 :]), x.axes))
            start += size
        return parts

    def op_resizebilinear(self, node, x, size):
        attributes = node["attr"]
        if not attributes["half_pixel_centers"]["b"] or attributes["align_corners"]["b"]:
            raise GraphError(f"{node['name']} does not resize by half-pixel centres, which is not supported")
        x = self.arranged(self.plain(x), NHWC)
        scales = [1.0, 1.0, *(new / old for new, old in zip(size.values, x.shape[2:]))]
        tensor = self.graph.initializer(self.fresh("scales"), [4], floats(scales))
        name = self.graph.node(
            "Resize", [x.name, "", tensor], self.fresh("resize"), coordinate_transformation_mode="half_pixel", mode="linear"
        )
        return Value(name, (*x.shape[:2], *size.values), NHWC)

    def op_reshape(self, node, x, shape):
        x = self.arranged(self.plain(x), range(len(x.axes)))
        extents = list(shape.values)
        if extents[0] not in (1, -1) or len(extents) < 2:
            raise GraphError(f"{node['name']} mixes the batch with other dimensions, which is not supported")
        count = 1
        for extent in x.shape:
            count *= extent
        known = 1
        for extent in extents[1:]:
            known *= extent if extent > 0 else 1
        full = [1, *(extent if extent > 0 else count // known for extent in extents[1:])]
        name = self.graph.node("Reshape", [x.name, self.integers([0, *full[1:]], "shape")], self.fresh("reshape"))
        return Value(name, tuple(full), tuple(range(len(full))))

    def run(self):
        """The whole ONNX file."""
        outputs = [self.of(name) for name in sorted(self.signature["outputs"])]
        outputs = [self.arranged(self.plain(value), range(len(value.axes))) for value in outputs]
        if len(outputs) > 1:
            if any(len(value.shape) != 3 for value in outputs):
                raise GraphError("its outputs are not all [1, rows, width], and cannot be joined")
            levels = {}
            for value in outputs:
                levels.setdefault(value.shape[1], []).append(value)
            rows = [
                self.joined(sorted(levels[count], key=lambda value: -value.shape[2]), 2) for count in sorted(levels, reverse=True)
            ]
            if len({value.shape[2] for value in rows}) != 1:
                raise GraphError("its outputs differ in width from level to level, and cannot be joined")
            outputs = [self.joined(rows, 1)]
        name = self.graph.node("Identity", [outputs[0].name], "output")
        self.graph.output(name, ["batch", *outputs[0].shape[1:]])
        return self.graph.serialize("jhalak tools/convert_tfjs.py", OPSET)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the model.json, with its weights in the same folder")
    parser.add_argument("onnx", help="the file to write")
    arguments = parser.parse_args()
    try:
        model = json.loads(arguments.model.read_text(encoding="utf-8"))
        if model.get("format") != "graph-model":
            raise GraphError("it is not a TensorFlow.js graph model")
        converted = Converter(model, arguments.model.parent).run()
        partial = f"{arguments.onnx}.{os.getpid()}.part"
        with open(partial, "wb") as file:
            file.write(converted)
        os.replace(partial, arguments.onnx)
    except (OSError, GraphError, json.JSONDecodeError, KeyError, struct.error) as error:
        sys.exit(f"convert_tfjs: {arguments.model}: {error!r}" if isinstance(error, KeyError) else f"convert_tfjs: {arguments.model}: {error}")


if __name__ == "__main__":
    main()
