#!/usr/bin/env python3
"""Detectors as Ultralytics and Transformers export them, tiny and untrained, and what those libraries find with them.

    detector_peers.py FOLDER        writes NAME.onnx and answers.json (worker/models/tests/peers)

The architectures are the libraries' own, made narrow; weights come from the formula of seeded_weights.py; the files are written by the
libraries' own exporters, and the boxes are those of their own post-processing. Only the names inside the graphs are shortened.
Needs ultralytics, torch, torchvision, transformers, onnx, onnxruntime, opencv-python-headless.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["YOLO_OFFLINE"] = os.environ["YOLO_AUTOINSTALL"] = "false"

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
import transformers
import ultralytics
import yaml
from PIL import Image
from ultralytics import RTDETR, YOLO
from ultralytics.utils import ROOT

import seeded_weights

NAMES = {0: "cat", 1: "dog", 2: "bird"}
SCORE, OVERLAP = 0.25, 0.45
TRANSFORMERS = ["rt-detr-hf", "d-fine-hf"]
# Of the weights: the one whose scores lie about this far apart (logits) is taken.
GAINS, SPREAD = [n / 10 for n in range(10, 26)], 3.0
# Parts of the names of weights that stay as they are: constants, and the biases that are set below.
KEEP = ("dfl.", "anchors", "cv2.0.2.bias", "cv2.1.2.bias", "cv2.2.2.bias")
# The last layers of the boxes.
BOXES = ("cv2.0.2", "cv2.1.2", "cv2.2.2", "bbox_head", "bbox_embed")
# Name: architecture of Ultralytics, options of its exporter.
ULTRALYTICS = {
    "yolov5": ("yolov5", {}),
    "yolov8": ("yolov8", {}),
    "yolov8-dynamic": ("yolov8", {"dynamic": True}),
    "yolov8-seg": ("yolov8-seg", {}),
    "yolov8-pose": ("yolov8-pose", {}),
    "yolov8-obb": ("yolov8-obb", {}),
    "yolov9t": ("yolov9t", {}),
    "yolov10n": ("yolov10n", {"nms": False}),
    "yolo11": ("yolo11", {}),
    "yolo11-obb": ("yolo11-obb", {}),
    "yolo12": ("yolo12", {}),
    "yolo26": ("yolo26", {}),
    "yolo26-end-to-end": ("yolo26", {"nms": False}),
    "yolo26-seg": ("yolo26-seg", {}),
    "yolo26-seg-end-to-end": ("yolo26-seg", {"nms": False}),
    "yolo26-pose-end-to-end": ("yolo26-pose", {"nms": False}),
    "yolo26-obb-end-to-end": ("yolo26-obb", {"nms": False}),
    "rt-detr": ("yolov8-rtdetr", {}),
}


def picture():
    """RGB, 150 x 100: blocks of colour with a slope, the same on every machine."""
    y, x = np.mgrid[0:100, 0:150]
    return np.stack([(x // 9 * 53 + y) % 256, (y // 7 * 91 + x) % 256, (x // 13 * y // 11 * 37) % 256], -1).astype(np.uint8)


def architecture(name, folder):
    """The file of an architecture with three classes, narrow."""
    text = next(ROOT.glob(f"cfg/models/*/{name}.yaml")).read_text()
    made = yaml.safe_load(text)
    made["nc"] = len(NAMES)
    if "scales" in made:
        # The attention of YOLO12 needs 32 channels.
        made["scales"], made["scale"] = {"n": [0.33, 0.5 if "12" in name else 0.05, 128]}, "n"
    if "rtdetr" in name:
        # Width, boxes, points, heads, layers, width of the inner layer.
        made["head"][-1][3] = ["nc", 32, 300, 4, 4, 1, 64]
    for part in ("backbone", "head"):
        for layer in made[part]:
            if "scales" not in made and isinstance(layer[3][0], int) and layer[3][0] >= 16 and layer[2] != "nn.Upsample":
                layer[3] = [max(8, n // 16) if isinstance(n, int) and n >= 16 else n for n in layer[3]]
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(made))
    return file


def seed(network, side):
    """Fills the network and returns the gain of its weights."""
    def of(gain, less=8):
        return lambda name: gain / less if any(part in name for part in BOXES) else gain

    def apart(gain):
        seeded_weights.fill(network, KEEP, of(gain))
        spread = [float(values.std()) for values in last_logits(network, side).values()]
        return abs(np.log(max(np.mean(spread), 1e-9) / SPREAD))

    best = min(GAINS, key=apart)
    for less in (8, 32, 128, 512, 2048, 8192, 32768):
        gain = of(best, less)
        seeded_weights.fill(network, KEEP, gain)
        spread = [float(values.std()) for values in last_values(network, side, is_box).values()]
        if not spread or max(spread) < 0.02:
            break
    with torch.no_grad():
        for name, module in network.named_modules():
            if is_box(name, module):
                # Boxes of a few cells: the middle of a distribution, or the distance itself.
                bins = module.bias.numel() // 4
                module.bias.copy_(torch.tensor([1.5] if bins == 1 else [-1.0 * n for n in range(bins)]).repeat(4))
    make_scores_rare(network, side)
    return gain


def is_score(name, module):
    is_conv = isinstance(module, torch.nn.Conv2d) and ("cv3." in name or ".m." in name)
    is_linear = isinstance(module, torch.nn.Linear) and ("score_head" in name or "class_embed" in name)
    return (is_conv or is_linear) and module.bias is not None and module.bias.numel() == len(NAMES)


def is_box(name, module):
    return isinstance(module, torch.nn.Conv2d) and any(name.endswith(part) for part in BOXES)


def last_logits(network, side):
    return last_values(network, side, is_score)


def last_values(network, side, is_last):
    """The layers for which `is_last` holds, and their output for the picture."""
    logits, hooks = {}, []
    for name, module in network.named_modules():
        if is_last(name, module):
            hooks.append(module.register_forward_hook(lambda m, i, o: logits.setdefault(m, o.detach())))
    rgb = cv2.resize(picture(), (side, side))
    with torch.no_grad():
        network(torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255)
    for hook in hooks:
        hook.remove()
    return logits


def make_scores_rare(network, side):
    """Shifts the scores of each class, so that about four boxes of it are above the threshold and the others are not."""
    with torch.no_grad():
        for module, seen in last_logits(network, side).items():
            of_class = seen.flatten(2)[0] if seen.dim() == 4 else seen[0].T
            highest = of_class.sort(dim=1, descending=True).values
            for n in range(len(NAMES)):
                few = min(3, highest.shape[1] - 2)
                middle = float(highest[n, few] + highest[n, few + 1]) / 2
                module.bias[n] += round(float(np.log(SCORE / (1 - SCORE))) - middle, 4)


def shorten(model):
    """Renames what is inside the graph; inputs and outputs keep their names."""
    graph, short = model.graph, {}
    kept = {edge.name for edge in [*graph.input, *graph.output]}

    def renamed(name):
        return name if not name or name in kept else short.setdefault(name, f"t{len(short)}")

    for node in graph.node:
        node.name = node.doc_string = ""
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                raise ValueError("a graph inside a graph")
    for tensor in graph.initializer:
        tensor.name = renamed(tensor.name)
    del graph.value_info[:]
    return model


def turn_back(model, network):
    """The exporter stores the weights of linear layers transposed and without their names."""
    named = {tuple(t.shape): [] for _, _, t in seeded_weights.weights(network, KEEP)}
    for _, name, tensor in seeded_weights.weights(network, KEEP):
        named[tuple(tensor.shape)].append((name, tensor.numpy()))
    have = {tensor.name for tensor in model.graph.initializer}
    for tensor in list(model.graph.initializer):
        if len(tensor.dims) != 2 or tensor.dims[0] * tensor.dims[1] < 64 or tensor.name in network.state_dict():
            continue
        stored = onnx.numpy_helper.to_array(tensor).T
        name = next((n for n, values in named.get(stored.shape, []) if np.array_equal(values, stored)), None)
        if name is None:
            continue
        model.graph.node.insert(0, onnx.helper.make_node("Transpose", [name], [tensor.name]))
        model.graph.initializer.remove(tensor)
        if name not in have:
            have.add(name)
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(stored), name))


def write(model, network, path, gain, prefix="model."):
    """Writes the file with the formula in place of the weights; `gain`: of the formula."""
    # In exports with NMS inside, and in those of Transformers, the network is one level deeper.
    known, deeper = set(network.state_dict()), {}
    for tensor in model.graph.initializer:
        inner = tensor.name.removeprefix(prefix)
        if tensor.name not in known and inner in known:
            deeper[tensor.name] = inner
            tensor.name = inner
    for node in model.graph.node:
        node.input[:] = [deeper.get(name, name) for name in node.input]
    turn_back(model, network)
    model = seeded_weights.into_graph(model, network, KEEP, gain)
    for entry in list(model.metadata_props):
        if entry.key in ("date", "docs", "author", "description", "license", "args"):
            model.metadata_props.remove(entry)
    onnx.save(shorten(model), path)


def of_ultralytics(name, folder, scratch):
    """Exports one, and returns the boxes that Ultralytics finds with the written file."""
    made, options = ULTRALYTICS[name]
    peer = (RTDETR if "rtdetr" in made else YOLO)(str(architecture(made, scratch)))
    side = 128 if "rtdetr" in made else 96
    peer.model = peer.model.float().eval()
    if hasattr(peer.model, "end2end"):
        peer.model.end2end = options.get("nms") is False
    peer.model.fuse()
    gain = seed(peer.model, side)
    peer.model.names = NAMES
    os.chdir(scratch)
    exported = peer.export(format="onnx", imgsz=side, simplify=False, opset=17, verbose=False, **options)
    path = folder / f"{name}.onnx"
    write(onnx.load(exported), peer.model, path, gain)
    bgr = np.ascontiguousarray(picture()[..., ::-1])
    reader = RTDETR(str(path)) if "rtdetr" in made else YOLO(str(path), task=peer.task)
    found = reader.predict(bgr, imgsz=side, conf=SCORE, iou=OVERLAP, rect=False, verbose=False)[0]
    found = found.boxes if found.obb is None else found.obb
    return side, listed(found.cls, found.conf, found.xyxy)


def listed(classes, scores, boxes):
    """Classes, scores and boxes (left, top, right, bottom in pixels of the picture) for JSON."""
    return [
        {"class": int(n), "score": round(float(score), 5), "box": [round(float(edge), 3) for edge in box]}
        for n, score, box in zip(classes, scores, boxes)
    ]


def of_transformers(name, folder):
    """Exports one with the names of inputs and outputs that Optimum gives, and returns the boxes of the library's post-processing."""
    side = 128
    shared = dict(
        num_labels=len(NAMES), id2label=NAMES, label2id={label: n for n, label in NAMES.items()}, d_model=32,
        encoder_hidden_dim=32, encoder_ffn_dim=64, encoder_attention_heads=4, decoder_ffn_dim=64, decoder_attention_heads=4,
        num_queries=30, num_denoising=0, backbone=None, use_pretrained_backbone=False, use_timm_backbone=False,
    )
    if name == "rt-detr-hf":
        backbone = transformers.RTDetrResNetConfig(
            embedding_size=16, hidden_sizes=[16, 24, 32, 40], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage2", "stage3", "stage4"]
        )
        config = transformers.RTDetrConfig(
            backbone_config=backbone, encoder_in_channels=[24, 32, 40], decoder_in_channels=[32, 32, 32], decoder_layers=2, **shared
        )
        network = transformers.RTDetrForObjectDetection(config)
    else:
        backbone = transformers.HGNetV2Config(
            stem_channels=[3, 8, 16], stage_in_channels=[16, 16, 24, 32], stage_mid_channels=[8, 8, 8, 16], stage_out_channels=[16, 24, 32, 40],
            stage_num_blocks=[1, 1, 1, 1], stage_numb_of_layers=[1, 1, 1, 1], hidden_sizes=[16, 24, 32, 40], depths=[1, 1, 1, 1], embedding_size=16,
            out_features=["stage2", "stage3", "stage4"],
        )
        config = transformers.DFineConfig(
            backbone_config=backbone, encoder_in_channels=[24, 32, 40], decoder_in_channels=[32, 32, 32], decoder_layers=2,
            decoder_n_points=4, **shared,
        )
        network = transformers.DFineForObjectDetection(config)

    class Exported(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network

        def forward(self, pixel_values):
            found = self.inner(pixel_values)
            return found.logits, found.pred_boxes

    network = network.eval()
    gain = seed(network, side)
    path = folder / f"{name}.onnx"
    torch.onnx.export(
        Exported(), (torch.zeros(1, 3, side, side),), str(path), input_names=["pixel_values"], output_names=["logits", "pred_boxes"],
        opset_version=17, dynamo=False, training=torch.onnx.TrainingMode.PRESERVE,
        dynamic_axes={name: {0: "batch"} for name in ("pixel_values", "logits", "pred_boxes")},
    )
    write(onnx.load(path), network, path, gain, "inner.")
    processor = transformers.RTDetrImageProcessor(size={"height": side, "width": side})
    image = Image.fromarray(picture())
    values = processor(images=image, return_tensors="np")["pixel_values"]
    logits, boxes = onnxruntime.InferenceSession(str(path)).run(None, {"pixel_values": values})
    outputs = SimpleNamespace(logits=torch.from_numpy(logits), pred_boxes=torch.from_numpy(boxes))
    found = processor.post_process_object_detection(outputs, threshold=SCORE, target_sizes=[(image.height, image.width)])[0]
    return side, listed(found["labels"], found["scores"], found["boxes"])


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    answers = {"versions": {m.__name__: m.__version__ for m in (ultralytics, transformers, torch, onnx)}, "peers": {}}
    wanted = sys.argv[2:] or [*ULTRALYTICS, *TRANSFORMERS]
    with tempfile.TemporaryDirectory() as scratch:
        for name in wanted:
            if name in ULTRALYTICS:
                exporter = f"ultralytics {ultralytics.__version__}"
                side, found = of_ultralytics(name, folder, Path(scratch))
            else:
                exporter = f"transformers {transformers.__version__}"
                side, found = of_transformers(name, folder)
            answers["peers"][name] = {"exporter": exporter, "side": side, "found": found}
            print(f"{name}: {len(found)} boxes", flush=True)
    (folder / "answers.json").write_text(json.dumps(answers, separators=(",", ":")).replace('{"class"', '\n{"class"') + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
