#!/usr/bin/env python3
"""Small photographs and the pixels that OpenCV reads of them: python3 worker/tests/golden/photograph_golden.py

Needs opencv-python-headless and numpy (tools/requirements-reference.txt). Writes worker/tests/golden/photographs/: pictures of a formula, and
photographs.json with the size and the SHA-256 of the RGB bytes of each, rotated by its EXIF orientation.
"""

import hashlib
import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent / "photographs"
WIDTH, HEIGHT = 77, 51


def exif(orientation):
    """A TIFF header with one directory that holds only an orientation."""
    return b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0x0112, 3, 1, orientation) + b"\0\0\0\0"


def turned_jpeg(jpeg, orientation):
    segment = b"Exif\0\0" + exif(orientation)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def turned_png(png, orientation):
    data = b"eXIf" + exif(orientation)
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    head = 8 + 25  # the signature and the header's chunk
    return png[:head] + chunk + png[head:]


def main():
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    disc = (x - 30) ** 2 + (y - 25) ** 2 < 300
    picture = np.stack([x * 255 // (WIDTH - 1), (x * 3 + y * 7) % 256, ((x // 8 + y // 8) % 2) * 200 + (x * y) % 56], axis=2)
    picture[disc] = [60, 40, 220]
    picture = picture.astype(np.uint8)

    def jpeg(*options, image=picture):
        return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 88, *options])[1].tobytes()

    factor, half = cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    files = {
        "420.jpg": jpeg(factor, half),
        "422.jpg": jpeg(factor, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422),
        "444.jpg": jpeg(factor, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        "progressive.jpg": jpeg(factor, half, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "grey.jpg": jpeg(image=picture[:, :, 1]),
        "turned.jpg": turned_jpeg(jpeg(factor, half), 6),
        "turned.png": turned_png(cv2.imencode(".png", picture)[1].tobytes(), 6),
    }
    HERE.mkdir(exist_ok=True)
    answers = {}
    for name, data in files.items():
        (HERE / name).write_bytes(data)
        rgb = cv2.cvtColor(cv2.imread(str(HERE / name)), cv2.COLOR_BGR2RGB)
        answers[name] = {"width": rgb.shape[1], "height": rgb.shape[0], "sha256": hashlib.sha256(rgb.tobytes()).hexdigest()}
    document = {"opencv": cv2.__version__, "photographs": answers}
    (HERE / "photographs.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
