"""Pillow's answers for `media/resample.rs`: SHA-256 of the pixels of resized pictures made by a formula.

Run from the repository's root, with numpy and Pillow:
    python3 worker/tests/golden/resample_golden.py
"""
import hashlib
import json

import numpy as np
import PIL
from PIL import Image, ImageOps

FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "nearest": Image.NEAREST}
SIZES = [(1280, 720, 224, 224), (320, 180, 224, 224), (640, 268, 224, 224), (61, 47, 224, 200), (7, 5, 33, 41), (1, 9, 4, 2), (300, 500, 3, 499)]


def picture(w, h):
    """As in image_golden.py, but for pictures of any size."""
    y, x = np.mgrid[0:h, 0:w].astype(np.int64)
    r = x * 255 // max(w - 1, 1)
    g = (x * 3 + y * 7) % 256
    b = ((x // 16 + y // 16) % 2) * 200 + (x * y) % 56
    disc = (x - w // 2) ** 2 + (y - h // 2) ** 2 < (h // 4) ** 2
    return np.stack([np.where(disc, 220, r), np.where(disc, 40, g), np.where(disc, 60, b)], -1).astype(np.uint8)


cases = []
for w, h, width, height in SIZES:
    shown = Image.fromarray(picture(w, h))
    for name, method in FILTERS.items():
        for part, resized in [("whole", shown.resize((width, height), method)), ("middle", ImageOps.fit(shown, (width, height), method))]:
            digest = hashlib.sha256(np.asarray(resized).tobytes()).hexdigest()
            cases.append({"source": [w, h], "target": [width, height], "filter": name, "part": part, "sha256": digest})
with open("worker/tests/golden/resample_pillow.json", "w") as file:
    json.dump({"pillow": PIL.__version__, "cases": cases}, file, indent=1)
    file.write("\n")
