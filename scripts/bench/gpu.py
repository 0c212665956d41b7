#!/usr/bin/env python3
"""`scripts/bench_gpu.sh run`: every model on the CPU, CUDA and TensorRT, by batch size.

    scripts/bench/gpu.py PROGRAM --models FOLDER --registry FILE --library FILE --shapes FILE [--seconds 0.5] [--providers cpu,cuda,tensorrt]

Needs Python 3.11 alone. Each provider runs in a process of its own. A row has the wall time of one input of the batch, the
ratio to the CPU at the same batch, and the difference of the outputs' sums, relative to the CPU's. A provider or a batch that
is refused is a row with the reason, and the exit code is then 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

BATCHES = [1, 2, 4, 8, 16, 32, 64]
# The largest difference of two sums, in parts of the CPU's: kernels of a GPU add in another order.
TOLERANCE = 1e-2


class Session:
    """Our program with one provider. It answers requests on its standard input."""

    def __init__(self, arguments, provider):
        self.log = tempfile.TemporaryFile("w+")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("JHALAK_")} | {
            "JHALAK__MODELS__FOLDER": str(arguments.models), "JHALAK__MODELS__REGISTRY": str(arguments.registry),
            "JHALAK__MODELS__ONNXRUNTIME": str(arguments.library), "JHALAK__INFERENCE__PROVIDER": provider,
            "JHALAK__INFERENCE__WAIT_MS": "0",
        }
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log}
        self.child = subprocess.Popen([arguments.program], text=True, env=environment, **pipes)

    def run(self, model, shapes, runs):
        """Returns the wall seconds of one run and the sum of the first output, or raises with the program's words."""
        try:
            self.child.stdin.write(json.dumps({"model": model, "shapes": shapes, "runs": runs}) + "\n")
            self.child.stdin.flush()
            line = self.child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.log.seek(0)
            words = self.log.read().strip().splitlines()
            raise RuntimeError(words[-1] if words else f"the program ended with {self.child.wait()}")
        answer = json.loads(line)
        return answer["wall_s"] / runs, answer["sum"]

    def close(self):
        try:
            self.child.stdin.close()
        except BrokenPipeError:
            pass
        self.child.wait()


def measure(arguments, provider, model, batch):
    shapes = [[batch, *shape[1:]] for shape in model["shapes"]]
    session = Session(arguments, provider)
    try:
        # The first run loads the model, and TensorRT builds its engine.
        once, _ = session.run(model["name"], shapes, 1)
        once, _ = session.run(model["name"], shapes, 1)
        return session.run(model["name"], shapes, max(1, min(500, round(arguments.seconds / max(once, 1e-5)))))
    finally:
        session.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="the built example inference_bench")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--registry", type=Path, required=True)
    parser.add_argument("--library", type=Path, required=True, help="libonnxruntime.so")
    parser.add_argument("--shapes", type=Path, required=True, help="JSON: the input shapes of each model by its name")
    parser.add_argument("--seconds", type=float, default=0.5, help="wall seconds of one measurement, about")
    parser.add_argument("--providers", default="cpu,cuda,tensorrt")
    arguments = parser.parse_args()
    shapes = json.loads(arguments.shapes.read_text())
    print("| model | batch | provider | ms an input | times the CPU's speed | difference |")
    print("|---|---|---|---|---|---|", flush=True)
    failed = False
    for model in tomllib.loads(arguments.registry.read_text())["model"]:
        if not (arguments.models / model["file"]).exists() or model["name"] not in shapes:
            print(f"gpu: {model['name']}: no file or no shapes: skipped", file=sys.stderr)
            continue
        model["shapes"] = shapes[model["name"]]["inputs"]
        for batch in BATCHES if shapes[model["name"]]["free_batch"] else [model["shapes"][0][0]]:
            of_cpu = None
            for provider in arguments.providers.split(","):
                row = f"| {model['name']} | {batch} | {provider} |"
                try:
                    seconds, total = measure(arguments, provider, model, batch)
                except RuntimeError as error:
                    failed = True
                    print(f"{row} refused: {error} | | |", flush=True)
                    continue
                of_cpu = of_cpu or (seconds, total)
                difference = abs(total - of_cpu[1]) / max(1.0, abs(of_cpu[1]))
                failed |= difference > TOLERANCE
                print(f"{row} {seconds / batch * 1e3:.3f} | {of_cpu[0] / seconds:.2f} | {difference:.1e} |", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
