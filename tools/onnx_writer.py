"""Writes ONNX files with Python's standard library alone.

ONNX is a Protocol Buffers format, and the few messages that a frozen network needs are small enough
to encode here. Nothing is taken from an installed library, so the same graph gives the same bytes on every machine and
its SHA-256 can be stated in models.toml. Field numbers are those of onnx.proto.
"""

import struct

FLOAT, INT64, FLOAT16 = 1, 7, 10
IR_VERSION = 8  # the one that opset 17 came with


def _varint(value):
    value &= 0xFFFFFFFFFFFFFFFF  # a negative number is written as its 64-bit complement
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _int(field, value):
    return _varint(field << 3) + _varint(value)


def _bytes(field, value):
    if isinstance(value, str):
        value = value.encode()
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _attribute(name, value):
    body = _bytes(1, name)
    if isinstance(value, float):
        body += _varint(2 << 3 | 5) + struct.pack("<f", value) + _int(20, 1)
    elif isinstance(value, int):
        body += _int(3, value) + _int(20, 2)
    elif isinstance(value, str):
        body += _bytes(4, value) + _int(20, 3)
    else:
        body += b"".join(_int(8, item) for item in value) + _int(20, 7)
    return _bytes(5, body)


def _value_info(name, data_type, shape):
    dims = b""
    for extent in shape:
        dims += _bytes(1, _bytes(2, extent) if isinstance(extent, str) else _int(1, extent))
    return _bytes(1, name) + _bytes(2, _bytes(1, _int(1, data_type) + _bytes(2, dims)))


class Graph:
    """A network under construction; nodes are kept in the order in which they are added."""

    def __init__(self, name):
        self.name = name
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []

    def input(self, name, shape, data_type=FLOAT):
        """Declares an input; an extent that is a string is a named, free dimension."""
        self.inputs.append(_bytes(11, _value_info(name, data_type, shape)))
        return name

    def output(self, name, shape, data_type=FLOAT):
        """Declares an output that some node produces."""
        self.outputs.append(_bytes(12, _value_info(name, data_type, shape)))

    def initializer(self, name, shape, raw, data_type=FLOAT):
        """Adds a constant tensor from its little-endian, row-major bytes."""
        body = b"".join(_int(1, extent) for extent in shape)
        body += _int(2, data_type) + _bytes(8, name) + _bytes(9, raw)
        self.initializers.append(_bytes(5, body))
        return name

    def node(self, operator, inputs, output, **attributes):
        """Adds a node with one output, which is also the node's name."""
        body = b"".join(_bytes(1, name) for name in inputs)
        body += _bytes(2, output) + _bytes(3, output) + _bytes(4, operator)
        body += b"".join(_attribute(key, attributes[key]) for key in sorted(attributes))
        self.nodes.append(_bytes(1, body))
        return output

    def serialize(self, producer, opset):
        """The whole model file."""
        graph = b"".join(self.nodes) + _bytes(2, self.name)
        graph += b"".join(self.initializers) + b"".join(self.inputs) + b"".join(self.outputs)
        opset_import = _bytes(8, _bytes(1, "") + _int(2, opset))
        return _int(1, IR_VERSION) + _bytes(2, producer) + _bytes(7, graph) + opset_import
