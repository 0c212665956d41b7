#!/usr/bin/env python3
"""CPU time of detection, compared with Python (tools/detect_reference.py), and of scene-object keyframes.

    detection.py RELEASE_FOLDER --venv FOLDER [--yolox YOLOX_NANO.onnx] [--video VIDEO]

RELEASE_FOLDER holds the release build. A virtual environment with tools/requirements-reference.txt is made in FOLDER if it is
missing. Python uses OpenCV, numpy and onnxruntime. Both sides take turns with the same JPEG of 1280 x 720, one thread and the
same version of ONNX Runtime; the minimum counts. Run it on a quiet machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "tools/requirements-reference.txt"
TURNS, ROUNDS = 7, 15


def python_of(venv):
    python = venv / "bin/python"
    if not (venv / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS], check=True)
        (venv / "ready").touch()
    return python


def peer():
    """The Python side: answers each line (a number of rounds) with one line of JSON."""
    sys.path.insert(0, str(ROOT / "tools"))
    import cv2
    import detect_reference
    import numpy as np

    cv2.setNumThreads(1)
    registry, folder, model, picture = sys.argv[2:6]
    detector = detect_reference.load(registry, folder, model)
    data = np.frombuffer(Path(picture).read_bytes(), np.uint8)
    shown = cv2.imdecode(data, cv2.IMREAD_COLOR)

    def cpu_ms(rounds, work):
        start = time.process_time()
        for _ in range(rounds):
            work()
        return (time.process_time() - start) * 1e3 / rounds

    for line in sys.stdin:
        rounds = int(line)
        print(json.dumps({
            "letterbox_416_ms": cpu_ms(rounds, lambda: detect_reference.preprocess(shown, detector.entry)),
            "decode_ms": cpu_ms(rounds, lambda: cv2.imdecode(data, cv2.IMREAD_COLOR)),
            "detect_ms": cpu_ms(rounds, lambda: detector.detect(cv2.imdecode(data, cv2.IMREAD_COLOR))),
        }), flush=True)


def turns(commands):
    """Returns the minimum of each figure of each command; the commands take turns."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS")} | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    running = [subprocess.Popen(c, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean) for c in commands]
    least = [{} for _ in commands]
    for turn in range(TURNS + 1):
        for process, best in zip(running, least):
            process.stdin.write(f"{ROUNDS}\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            if turn:  # the first one warms up
                best.update({k: min(v, best.get(k, v)) for k, v in answer.items()})
    for process in running:
        process.stdin.close()
        process.wait()
    return least


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", type=Path)
    parser.add_argument("--venv", type=Path, required=True)
    parser.add_argument("--yolox", type=Path)
    parser.add_argument("--video", type=Path, default=ROOT / ".local/demo/sources/sintel_trailer-720p.mp4")
    arguments = parser.parse_args()
    python = python_of(arguments.venv)
    library = ROOT / ".local/onnxruntime/libonnxruntime.so"
    models = [("nanodet-g", ROOT / "models.toml", ROOT / ".local/models")]
    if arguments.yolox and arguments.yolox.is_file():
        models.append(("yolox-nano", ROOT / "worker/tests/golden/detector/yolox_nano.toml", arguments.yolox.parent))
    with tempfile.TemporaryDirectory() as folder:
        picture = f"{folder}/frame.jpg"
        subprocess.run(
            ["ffmpeg", "-v", "error", "-ss", "23", "-i", arguments.video, "-frames:v", "1", "-vf", "scale=1280:720", "-q:v", "3", picture], check=True
        )
        for name, registry, models_folder in models:
            rust, peer_ = turns([
                [arguments.release / "examples/detection_bench", registry, models_folder, library, name, picture],
                [python, __file__, "--peer", registry, models_folder, name, picture],
            ])
            print(f"{name}: ms of CPU time a 1280 x 720 JPEG")
            for figure in rust:
                other = peer_.get(figure)
                beside = f"Python {other:6.2f}  {rust[figure] / other:.2f}x" if other else ""
                print(f"  {figure:18} Rust {rust[figure]:6.2f}  {beside}")
        print(f"scene-object keyframes of {arguments.video.name}: seconds by stride")
        for stride in (1, 2, 5, 10):
            start, before = time.monotonic(), os.times()
            command = [arguments.release / "jhalak", "keyframes", arguments.video, "--strategy", "scene-object", "--stride", str(stride), "--out", f"{folder}/{stride}", "--json"]
            answer = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)
            after = os.times()
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            print(f"  stride {stride:2}: {time.monotonic() - start:6.1f} s, {cpu:6.1f} s of CPU time, {len(answer['keyframes'])} keyframes")


if __name__ == "__main__":
    if len(sys.argv) == 6 and sys.argv[1] == "--peer":
        peer()
    else:
        main()
