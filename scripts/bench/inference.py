#!/usr/bin/env python3
"""`make bench-inference`: the CPU time of one inference, compared with Python's onnxruntime of the same version.

    scripts/bench/inference.py PROGRAM [--rounds 7] [--seconds 1.0] [--also REGISTRY FOLDER] [--markdown FILE]

Measures each model of models.toml that is in .local/models, those of each REGISTRY that are in its FOLDER, and full-size models
of the paper's architectures if `tools/export_models.py seeded --size full --out .local/seeded` has made them. Both sides take
turns with the same file and inputs, one thread. The ratio is ours divided by theirs within a round; the median over the rounds
is reported. The outputs are compared too. Exit code 1 if a median is above 1.05.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT = 1.05
# Where a model's length is free: a second or so of sound, a batch as trailers make it.
ROWS = {"image-embedding": 16, "detector": 1, "clip-embedding": 1, "audio-embedding": 64}


def enter_environment():
    """Starts again inside a virtual environment with numpy and the onnxruntime of packages.tsv."""
    rows = [line.split("\t") for line in (ROOT / "scripts/setup/packages.tsv").read_text().splitlines()]
    version = next(row[4] for row in rows if len(row) > 4 and row[3] == "onnxruntime")
    cache = Path(os.environ.get("JHALAK_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jhalak")
    folder = cache / f"bench-venv-{version}"
    python = folder / "bin/python"
    if Path(sys.prefix).resolve() == folder.resolve():
        return
    if not (folder / "ready").exists():
        print(f"bench: installing onnxruntime {version} and numpy into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"onnxruntime=={version}", "numpy"], check=True)
        (folder / "ready").touch()
    os.execv(python, [str(python), __file__, *sys.argv[1:]])


def shapes_of(model, session):
    """Returns a shape for each input: the file's fixed extents, and those of its section where the file leaves them free."""
    waveform, sound, windows = model.get("waveform"), model.get("sound"), model.get("windows")
    if waveform:
        length = waveform["frame_samples"] + waveform["hop_samples"] * (16_000 * 5 // waveform["hop_samples"])
        rows = 1
    else:
        length = 16_000 if sound else windows["window_frames"] if windows else 0
        rows = 1 if sound else ROWS.get(model["role"], 1)
    shapes = []
    for tensor in session.get_inputs():
        free = lambda extent: not isinstance(extent, int) or extent < 0
        shapes.append([(rows if axis == 0 else length) if free(extent) else extent for axis, extent in enumerate(tensor.shape)])
    return shapes


class Ours:
    """Runs our program, which answers requests on its standard input."""

    def __init__(self, program, registry, folder, library):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("JHALAK_")} | {
            "JHALAK__MODELS__FOLDER": str(folder), "JHALAK__MODELS__ONNXRUNTIME": str(library),
            "JHALAK__MODELS__REGISTRY": str(registry), "JHALAK__INFERENCE__WAIT_MS": "0",
        }
        self.child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def run(self, name, shapes, runs):
        self.child.stdin.write(json.dumps({"model": name, "shapes": shapes, "runs": runs}) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            sys.exit(f"bench: our program ended at the model {name}; see the lines above")
        answer = json.loads(line)
        return answer["cpu_s"], answer["sum"]

    def close(self):
        self.child.stdin.close()
        self.child.wait()


class Theirs:
    """onnxruntime in this process."""

    def __init__(self, path):
        # Before the import: without it the library sends facts about this process to its maker.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, inputs, runs):
        before = time.process_time()
        for _ in range(runs):
            output = self.session.run(None, inputs)
        return time.process_time() - before, float(output[0].astype("float64").sum())


def example(number, shape):
    import numpy

    i = numpy.arange(numpy.prod(shape), dtype=numpy.int64)
    middle = 0.5 if number == 0 else -0.1  # a second input is moments, whose variances are above 0
    return ((i * 7919 + number) % 1009 / 1009 - middle).astype(numpy.float32).reshape(shape)


def measure(model, path, ours, rounds, seconds):
    """The medians of one model: ratio, and milliseconds a run of both sides."""
    theirs = Theirs(path)
    shapes = shapes_of(model, theirs.session)
    inputs = {t.name: example(n, shape) for n, (t, shape) in enumerate(zip(theirs.session.get_inputs(), shapes))}
    once, _ = theirs.run(inputs, 1)
    ours.run(model["name"], shapes, 1)
    runs = max(1, min(200, round(seconds / max(once, 1e-4))))
    ratios, our_ms, their_ms = [], [], []
    for turn in range(rounds):
        order = [("ours", None), ("theirs", None)] if turn % 2 == 0 else [("theirs", None), ("ours", None)]
        took = {}
        for side, _ in order:
            took[side] = ours.run(model["name"], shapes, runs) if side == "ours" else theirs.run(inputs, runs)
        (our_s, our_sum), (their_s, their_sum) = took["ours"], took["theirs"]
        if abs(our_sum - their_sum) > 1e-3 * max(1.0, abs(their_sum)):
            sys.exit(f"bench: {model['name']}: the outputs differ: {our_sum} and {their_sum}")
        ratios.append(our_s / their_s)
        our_ms.append(our_s / runs * 1e3)
        their_ms.append(their_s / runs * 1e3)
    return shapes, statistics.median(ratios), min(ratios), max(ratios), statistics.median(our_ms), statistics.median(their_ms)


def write_shapes(file):
    """Writes the input shapes of the models of models.toml, and whether their batch is free, for gpu.py."""
    found = {}
    for model in tomllib.loads((ROOT / "models.toml").read_text())["model"]:
        path = ROOT / ".local/models" / model["file"]
        if path.exists():
            session = Theirs(path).session
            first = session.get_inputs()[0].shape[0]
            found[model["name"]] = {"inputs": shapes_of(model, session), "free_batch": not isinstance(first, int) or first < 0}
    file.write_text(json.dumps(found, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="the built example inference_bench")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU seconds of one side in one round, about")
    parser.add_argument("--also", type=Path, nargs=2, action="append", default=[], metavar=("REGISTRY", "FOLDER"), help="more models")
    parser.add_argument("--markdown", type=Path, help="write the table to this file, too")
    parser.add_argument("--write-shapes", type=Path, help="write the input shapes of the models to this file, and measure nothing")
    arguments = parser.parse_args()
    enter_environment()
    library = ROOT / ".local/onnxruntime/libonnxruntime.so"
    places = [(ROOT / "models.toml", ROOT / ".local/models"), *arguments.also, (ROOT / ".local/seeded/models.toml", ROOT / ".local/seeded")]
    if arguments.write_shapes:
        return write_shapes(arguments.write_shapes)
    lines, slow = ["| model | input | ours, ms | Python, ms | ratio | least, most |", "|---|---|---|---|---|---|"], []
    for registry, folder in places:
        if not registry.exists():
            print(f"bench: {registry} does not exist: skipped (see tools/export_models.py)", file=sys.stderr)
            continue
        models = tomllib.loads(registry.read_text())["model"]
        ours = Ours(arguments.program, registry, folder, library)
        for model in models:
            path = folder / model["file"]
            if not path.exists():
                print(f"bench: {path} does not exist: skipped", file=sys.stderr)
                continue
            shapes, ratio, least, most, our_ms, their_ms = measure(model, path, ours, arguments.rounds, arguments.seconds)
            given = ", ".join("x".join(map(str, shape)) for shape in shapes)
            lines.append(f"| {model['name']} | {given} | {our_ms:.2f} | {their_ms:.2f} | {ratio:.3f} | {least:.3f}, {most:.3f} |")
            print(lines[-1], file=sys.stderr, flush=True)
            if ratio > LIMIT:
                slow.append(model["name"])
        ours.close()
    print("\n".join(lines))
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n")
    if slow:
        sys.exit(f"bench: above {LIMIT} times Python's CPU time: {', '.join(slow)}")


if __name__ == "__main__":
    main()
