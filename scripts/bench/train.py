#!/usr/bin/env python3
"""Training speed: the classifier compared with PyTorch, two trainings with one, and the genre grid from end to end.

    train.py --programs target/release [--torch PYTHON] [--reference classifier_reference.py] [--dataset DIR [--movies FILE]]
             [--seconds 10] [--rounds 3]

Needs examples/train_speed and jhalak among the programs. Measures samples per CPU second, one thread each. The programs take
turns, so that load on the machine affects all of them; figures are medians of the rounds. What is missing (PyTorch, the
reference program, the dataset) is named and skipped.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
EMBEDDINGS = ["L", "L+D", "L+N", "L+D+N"]


def speed(command):
    """(samples a second, samples a CPU second) that a program prints."""
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=ONE_THREAD).stdout
    wall, cpu = re.search(r"samples/s ([\d.]+) samples/cpu-s ([\d.]+)", out).groups()
    return float(wall), float(cpu)


def has_torch(python):
    try:
        return subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0
    except OSError:
        return False


def beside_torch(ours, options):
    programs = {"ours": [ours, str(options.seconds)]}
    if not options.reference.is_file():
        print(f"skipped PyTorch: no {options.reference}")
    elif not has_torch(options.torch):
        print(f"skipped PyTorch: {options.torch} cannot import torch (a virtual environment with `pip install torch` can; --torch names it)")
    else:
        reference = [options.torch, str(options.reference), "bench", "--seconds", str(options.seconds)]
        programs["PyTorch, nn.MultiheadAttention"] = reference
        programs["PyTorch, collapsed"] = [*reference, "--collapsed"]
    figures = {name: [] for name in programs}
    for _ in range(options.rounds):
        for name, command in programs.items():
            figures[name].append(speed(command)[1])
    own = statistics.median(figures["ours"])
    print("\nclassifier, dim 512, batch 32, RMSprop, one thread: samples a CPU second")
    for name, each in figures.items():
        middle = statistics.median(each)
        ratio = "" if name == "ours" else f"  ours is {own / middle:.2f} times as fast"
        print(f"  {name:32} {middle:8.0f}  ({min(each):.0f} to {max(each):.0f}){ratio}")


def side_by_side(ours, options):
    one = statistics.median(speed([ours, str(options.seconds)])[0] for _ in range(options.rounds))
    two = statistics.median(speed([ours, str(options.seconds), "2"])[0] for _ in range(options.rounds))
    print(f"\ntwo trainings at once on {os.cpu_count()} cores: {two:.0f} samples a second, one {one:.0f}: {two / one:.2f} times")


def grid(options):
    if options.dataset is None or not options.dataset.is_dir():
        print(f"\nskipped the genre grid: no dataset at {options.dataset}")
        return
    jhalak = [str(options.programs / "jhalak"), "evaluate", "--quiet", "--json", "--dataset", str(options.dataset)]
    if options.movies and options.movies.is_file():
        jhalak += ["--movies", str(options.movies)]
    start = time.monotonic()
    for user in EMBEDDINGS:
        for gl in [[], ["--no-gl-score"]]:
            cell = ["--protocol", "paper", "--modality", "genre", "--user-embedding", user, *gl]
            subprocess.run(jhalak + cell, check=True, stdout=subprocess.DEVNULL)
    print(f"\ngenre grid, {len(EMBEDDINGS)} user embeddings x with and without GL x 5 folds: {time.monotonic() - start:.1f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--torch", default=sys.executable)
    parser.add_argument("--reference", type=Path, default=Path("../shared/reference/classifier_reference.py"))
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--movies", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ours = str(options.programs / "examples" / "train_speed")
    beside_torch(ours, options)
    side_by_side(ours, options)
    grid(options)


if __name__ == "__main__":
    main()
