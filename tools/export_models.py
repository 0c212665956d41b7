#!/usr/bin/env python3
"""Exports the paper's embedders to ONNX and prints their entries for models.toml.

    tools/export_models.py official resnet50 timesformer-k600 wav2vec2-base --out .local/models
    tools/export_models.py seeded --size tiny --out FOLDER       same architectures, made-up weights (a few KB each)
    tools/export_models.py golden                                 the golden files of the tests: PyTorch's answers

`official` takes the weights from their official releases (torchvision, the TimeSformer checkpoints, facebook/wav2vec2-base), which
must be reachable. `seeded` needs no network: weights are integers from a formula in the ONNX file, which is folded on
loading: a full TimeSformer takes about 200 KB. Such models serve tests of agreement and
benchmarks of speed; their vectors mean nothing.

The first start makes a virtual environment in the cache folder ($JHALAK_CACHE, else ~/.cache/jhalak): PyTorch is several GB and
never part of `make setup`. To use an index of smaller CPU builds, set PIP_EXTRA_INDEX_URL, and PIP_FIND_LINKS for a folder.
"""

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(
    os.environ.get("JHALAK_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jhalak"
)
ENVIRONMENT = CACHE / "export-venv"


def enter_environment():
    """Restarts this program inside its virtual environment, which it creates if missing."""
    python = ENVIRONMENT / "bin" / "python"
    if Path(sys.prefix).resolve() == ENVIRONMENT.resolve():
        return
    wanted = (HERE / "export_requirements.txt").read_bytes()
    ready = ENVIRONMENT / "requirements.txt"
    if not ready.exists() or ready.read_bytes() != wanted:
        print(f"export_models: installing PyTorch and others into {ENVIRONMENT} (several GB)", file=sys.stderr)
        if not python.exists():
            venv.create(ENVIRONMENT, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "-r", str(HERE / "export_requirements.txt")]
        if subprocess.run(pip).returncode != 0:
            sys.exit("export_models: pip could not install them; see the lines above")
        ready.write_bytes(wanted)
    os.execv(python, [str(python), __file__, *sys.argv[1:]])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    official = commands.add_parser("official", help="weights from their official releases")
    official.add_argument("names", nargs="+", metavar="NAME", help="see the list of `list`")
    official.add_argument("--out", type=Path, default=Path("."), help="the folder for the ONNX files")
    official.add_argument(
        "--time-embedding", choices=["nearest", "linear"], default="nearest",
        help="how TimeSformer's 8 time embeddings become 16; nearest is what its authors' code does",
    )
    seeded = commands.add_parser("seeded", help="the same architectures with made-up weights")
    seeded.add_argument("names", nargs="*", metavar="NAME", help="all where none is named")
    seeded.add_argument("--size", choices=["tiny", "full"], default="tiny")
    seeded.add_argument("--out", type=Path, default=Path("."), help="the folder for the ONNX files")
    commands.add_parser("golden", help="tiny models, their registry and PyTorch's answers into worker/tests/seeded")
    commands.add_parser("list", help="the names")
    arguments = parser.parse_args()
    enter_environment()
    sys.path.insert(0, str(HERE))
    import export_architectures
    import export_golden
    import export_onnx

    if arguments.command == "list":
        print("\n".join(export_architectures.NAMES))
        return
    try:
        if arguments.command == "golden":
            export_golden.write(HERE.parent / "worker" / "tests" / "seeded")
            return
        arguments.out.mkdir(parents=True, exist_ok=True)
        entries = []
        for name in arguments.names or export_architectures.NAMES:
            if arguments.command == "official":
                made = export_architectures.official(name, arguments.time_embedding)
            else:
                made = export_architectures.seeded(name, arguments.size)
            entries.append(export_onnx.write(made, arguments.out))
            print(entries[-1], end="\n\n", flush=True)
        if arguments.command == "seeded":
            # A registry of their own: models.registry and models.folder can name them at once.
            (arguments.out / "models.toml").write_text("version = 1\n\n" + "\n\n".join(entries) + "\n")
    except export_architectures.ExportError as error:
        sys.exit(f"export_models: {error}")


if __name__ == "__main__":
    main()
