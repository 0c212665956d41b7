#!/usr/bin/env python3
"""Object detection with OpenCV, numpy and onnxruntime: the reference for Jhalak's detector.

    detect_reference.py REGISTRY MODELS_FOLDER MODEL PICTURE [--threshold T] [--nms T]

REGISTRY is a models.toml; the answer is JSON. Written apart from the Rust code, from the detectors' own descriptions:
letterboxes are cv2.resize with INTER_LINEAR and cv2.copyMakeBorder, decoding is vectorised numpy, suppression is greedy, class by class.
Needs numpy, opencv-python-headless and onnxruntime: tools/requirements-reference.txt.
"""

import argparse
import json
import os
import tomllib
from pathlib import Path

# Before the import: without it the library sends facts about this process to its maker.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import cv2
import numpy as np
import onnxruntime


ALIASES = {"yolov9": "yolov8", "yolo11": "yolov8", "yolo12": "yolov8"}


def preprocess(bgr, entry):
    """The input tensor, and (scale x, scale y, left, top) of the picture in it."""
    how = entry["picture"]
    width, height = how["width"], how["height"]
    rows, columns = bgr.shape[:2]
    if how["resize"] == "stretch":
        scale, size, left, top = (width / columns, height / rows), (width, height), 0, 0
    else:
        ratio = min(height / rows, width / columns)
        scale = (ratio, ratio)
        if how["resize"] == "letterbox":
            size = (max(1, round(columns * ratio)), max(1, round(rows * ratio)))
            left, top = (width - size[0]) // 2, (height - size[1]) // 2
        else:
            size = (max(1, int(columns * ratio)), max(1, int(rows * ratio)))
            left = top = 0
    if size != (columns, rows):
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_LINEAR)
    pad = how.get("pad", 114)
    bgr = cv2.copyMakeBorder(
        bgr, top, height - size[1] - top, left, width - size[0] - left, cv2.BORDER_CONSTANT, value=(pad, pad, pad)
    )
    picture = bgr if how.get("channels", "rgb") == "bgr" else bgr[..., ::-1]
    values = picture.astype(np.float32) / np.float32(how.get("divide_by", 1.0))
    values = (values - np.asarray(how.get("mean", [0, 0, 0]), np.float32)) / np.asarray(how.get("std", [1, 1, 1]), np.float32)
    if how.get("layout", "nchw") == "nchw":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None]), (*scale, left, top)


def grid_points(width, height, strides):
    """Column, row and stride of every cell, grid by grid."""
    points = []
    for stride in strides:
        rows, columns = np.mgrid[0 : -(-height // stride), 0 : -(-width // stride)]
        points.append(np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], 1))
    return np.concatenate(points).astype(np.float32)


def decode(output, entry, classes):
    """Boxes (left, top, right, bottom in the input's pixels), scores and classes of the first picture."""
    how, (width, height) = entry["detector"], (entry["picture"]["width"], entry["picture"]["height"])
    form, strides = ALIASES.get(how["decode"], how["decode"]), how.get("strides", [8, 16, 32])
    if form == "end-to-end":
        if output.shape[-1] == 7:
            rows = output.reshape(-1, 7)
            return rows[:, 1:5], rows[:, 6], rows[:, 5].astype(int), False
        rows = output[0]
        return rows[:, :4], rows[:, 4], rows[:, 5].astype(int), False
    rows = output[0]
    if form == "yolov8" and rows.shape[0] == 4 + classes:
        rows = rows.T
    if form == "nanodet":
        scores, distances = rows[:, :classes], rows[:, classes:]
        distances = distances.reshape(len(rows), 4, -1)
        shares = np.exp(distances - distances.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        points = grid_points(width, height, strides)
        sides = (shares @ np.arange(shares.shape[-1], dtype=np.float32)) * points[:, 2:]
        centre = (points[:, :2] + np.float32(how.get("cell_point", 0.5))) * points[:, 2:]
        boxes = np.concatenate([centre - sides[:, :2], centre + sides[:, 2:]], 1)
        boxes = boxes.clip(0, np.array([width, height, width, height], np.float32))
        return boxes, scores.max(1), scores.argmax(1), True
    if form == "yolov8":
        centre, size, scores = rows[:, :2], rows[:, 2:4], rows[:, 4:]
    else:
        centre, size, scores = rows[:, :2], rows[:, 2:4], rows[:, 5:] * rows[:, 4:5]
        if form == "yolox":
            points = grid_points(width, height, strides)
            centre = (centre + points[:, :2]) * points[:, 2:]
            size = np.exp(size) * points[:, 2:]
    return np.concatenate([centre - size / 2, centre + size / 2], 1), scores.max(1), scores.argmax(1), True


def suppress(boxes, scores, classes, overlap):
    """Returns the indices of the boxes that non-maximum suppression keeps, by descending score."""
    shifted = boxes + (classes * 8192)[:, None].astype(np.float64)
    areas = (boxes[:, 2] - boxes[:, 0]).clip(0) * (boxes[:, 3] - boxes[:, 1]).clip(0)
    order, kept = np.argsort(-scores, kind="stable"), []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        low = np.maximum(shifted[best, :2], shifted[order, :2])
        high = np.minimum(shifted[best, 2:], shifted[order, 2:])
        shared = np.prod((high - low).clip(0), axis=1)
        order = order[shared / np.maximum(areas[best] + areas[order] - shared, 1e-9) <= overlap]
    return np.asarray(kept, int)


class Detector:
    """One model of a registry."""

    def __init__(self, entry, folder, threads=1):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = onnxruntime.InferenceSession(str(folder / entry["file"]), options, providers=["CPUExecutionProvider"])
        self.entry = json.loads(json.dumps(entry))
        self.input = self.session.get_inputs()[0]
        picture = self.entry["picture"]
        sides = self.input.shape[2:] if picture.get("layout", "nchw") == "nchw" else self.input.shape[1:3]
        picture.setdefault("height", sides[0])
        picture.setdefault("width", sides[1])
        labels = entry["detector"].get("labels", "coco")
        self.classes = 80 if labels == "coco" else len(labels)
        self.output = (entry.get("output") or {}).get("name") or self.session.get_outputs()[0].name

    def detect(self, bgr, threshold=None, overlap=None):
        """Objects as (class, score, [left, top, right, bottom]) in the picture's pixels."""
        how = self.entry["detector"]
        threshold = how.get("threshold", 0.25) if threshold is None else threshold
        overlap = how.get("nms", 0.45) if overlap is None else overlap
        tensor, (scale_x, scale_y, left, top) = preprocess(bgr, self.entry)
        if self.input.type == "tensor(float16)":
            tensor = tensor.astype(np.float16)
        output = self.session.run([self.output], {self.input.name: tensor})[0].astype(np.float32)
        boxes, scores, classes, overlapping = decode(output, self.entry, self.classes)
        above = scores > threshold
        boxes, scores, classes = boxes[above], scores[above], classes[above]
        # Boxes that the model has suppressed are only sorted.
        kept = suppress(boxes, scores, classes, overlap) if overlapping else np.argsort(-scores, kind="stable")
        kept = kept[: how.get("max_objects", 300)]
        rows, columns = bgr.shape[:2]
        found = []
        for place in kept:
            edges = (boxes[place] - [left, top, left, top]) / [scale_x, scale_y, scale_x, scale_y]
            edges = np.clip(edges, 0, [columns, rows, columns, rows])
            if edges[2] > edges[0] and edges[3] > edges[1]:
                found.append((int(classes[place]), float(scores[place]), [round(float(e), 3) for e in edges]))
        return found


def load(registry, folder, name, threads=1):
    with open(registry, "rb") as file:
        models = tomllib.load(file)["model"]
    return Detector(next(model for model in models if model["name"] == name), Path(folder), threads)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("registry")
    parser.add_argument("folder")
    parser.add_argument("model")
    parser.add_argument("picture")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--nms", type=float)
    arguments = parser.parse_args()
    bgr = cv2.imread(arguments.picture, cv2.IMREAD_COLOR)
    if bgr is None:
        parser.error(f"{arguments.picture} is no picture that OpenCV reads")
    found = load(arguments.registry, arguments.folder, arguments.model).detect(bgr, arguments.threshold, arguments.nms)
    print(json.dumps([{"class": c, "score": s, "box": b} for c, s, b in found]))


if __name__ == "__main__":
    main()
