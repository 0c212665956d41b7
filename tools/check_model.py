#!/usr/bin/env python3
"""Checks the ONNX files of a fitted model with the onnx package and runs them in Python's onnxruntime.

    python3 tools/check_model.py DIR        (DIR: what `jhalak fit --out DIR` wrote; needs: pip install onnx onnxruntime)

Prints the largest difference between onnxruntime's probabilities and those in check.json; exit code 1 if it is above 1e-5.
"""
import json
import os
import pathlib
import sys

# Before the import: without it the library sends facts about this process to its maker.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

try:
    import numpy
    import onnx
    import onnxruntime
except ModuleNotFoundError as missing:
    sys.exit(f"check_model.py: no module {missing.name}: pip install onnx onnxruntime, in a virtual environment")

AGREEMENT = 1e-5


def main(folder):
    folder = pathlib.Path(folder)
    for path in sorted(folder.glob("*.onnx")):
        onnx.checker.check_model(onnx.load(path), full_check=True)
        print(f"{path.name}: well-formed, operator set {onnx.load(path).opset_import[0].version}")
    check = json.loads((folder / "check.json").read_text())
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    inputs = {name: numpy.array(rows, numpy.float32) for name, rows in check["inputs"].items()}
    wanted = numpy.array(check["probabilities"], numpy.float32)
    given = session.run(["probabilities"], inputs)[0]
    difference = float(numpy.abs(given - wanted).max())
    print(f"onnxruntime {onnxruntime.__version__}: {len(wanted)} pairs, largest difference {difference:.2e}")
    return 0 if difference <= AGREEMENT else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
