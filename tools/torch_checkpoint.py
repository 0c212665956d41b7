"""Reads a PyTorch checkpoint of named tensors without PyTorch and without running code from it.

A checkpoint written by PyTorch before 1.6 is a row of pickles followed by raw numbers:
magic number, protocol version, sizes of C types, the dictionary of tensors, the order of the
storages, and then each storage as an 8-byte count and its elements. A pickle can name any Python
function, so the unpickler here knows four names and refuses every other one.
"""

import array
import collections
import itertools
import pickle
import struct

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
# Storage class -> (element size in bytes, ONNX data type: 1 float32, 7 int64).
STORAGES = {"FloatStorage": (4, 1), "LongStorage": (8, 7)}


class CheckpointError(Exception):
    """The file is not a checkpoint that this module can read."""


class Storage:
    """A flat run of elements that tensors point into; `data` is filled after the pickles."""

    def __init__(self, kind, count):
        self.element_size, self.data_type = STORAGES[kind]
        self.count = count
        self.data = b""


class Tensor(collections.namedtuple("Tensor", "storage offset shape stride")):
    """A view of a storage: element (i, j, ...) is at offset + i * stride[0] + j * stride[1] + ..."""

    def raw(self):
        """The elements' bytes, little endian, row-major."""
        size = self.storage.element_size
        source = memoryview(self.storage.data).cast("f" if size == 4 else "q")
        row_major, count = [], 1
        for extent in reversed(self.shape):
            row_major.insert(0, count)
            count *= extent
        last = self.offset + sum((extent - 1) * step for extent, step in zip(self.shape, self.stride))
        if self.offset < 0 or any(step < 1 for step in self.stride) or last >= len(source):
            raise CheckpointError("a tensor reaches past the end of its storage")
        if not self.shape:
            return source[self.offset : self.offset + 1].tobytes()
        # Copies whole lines along the longest axis: Python's loop is slow.
        longest = max(range(len(self.shape)), key=lambda axis: self.shape[axis])
        others = [axis for axis in range(len(self.shape)) if axis != longest]
        extent, step = self.shape[longest], self.stride[longest]
        target = array.array(source.format, bytes(count * size))
        for index in itertools.product(*(range(self.shape[axis]) for axis in others)):
            start = self.offset + sum(i * self.stride[axis] for i, axis in zip(index, others))
            put = sum(i * row_major[axis] for i, axis in zip(index, others))
            line = array.array(source.format, source[start : start + (extent - 1) * step + 1 : step].tobytes())
            target[put : put + (extent - 1) * row_major[longest] + 1 : row_major[longest]] = line
        return target.tobytes()


def _rebuild_tensor(storage, offset, shape, stride, *_ignored):
    if len(shape) != len(stride):
        raise CheckpointError("a tensor's strides do not fit its shape")
    return Tensor(storage, offset, tuple(shape), tuple(stride))


class _Unpickler(pickle.Unpickler):
    KNOWN = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch", "FloatStorage"): "FloatStorage",
        ("torch", "LongStorage"): "LongStorage",
    }

    def __init__(self, file, storages):
        super().__init__(file)
        self.storages = storages

    def find_class(self, module, name):
        try:
            return self.KNOWN[module, name]
        except KeyError:
            raise CheckpointError(f"it names {module}.{name}, which is not allowed") from None

    def persistent_load(self, reference):
        tag, kind, key, _device, count, view = reference
        if tag != "storage" or kind not in STORAGES or view is not None:
            raise CheckpointError(f"it holds a reference of an unknown kind: {reference!r}")
        return self.storages.setdefault(key, Storage(kind, count))


def read(path):
    """Returns the checkpoint's tensors: a dict from name to Tensor, in the file's order."""
    storages = {}
    with open(path, "rb") as file:
        try:
            head = [_Unpickler(file, storages).load() for _ in range(3)]
            if head[:2] != [MAGIC, PROTOCOL] or not head[2].get("little_endian"):
                raise CheckpointError("its head is not that of a checkpoint")
            tensors = _Unpickler(file, storages).load()
            order = _Unpickler(file, storages).load()
        except (pickle.UnpicklingError, EOFError, AttributeError, TypeError) as error:
            raise CheckpointError(f"{path}: {error}") from error
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None
        for key in order:
            storage = storages[key]
            (count,) = struct.unpack("<q", file.read(8))
            storage.data = file.read(count * storage.element_size)
            if count != storage.count or len(storage.data) != count * storage.element_size:
                raise CheckpointError(f"{path}: storage {key} is cut short")
    return dict(tensors)
