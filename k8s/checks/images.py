"""The Dockerfiles: small, pinned where it is wanted, built in layers that stay."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LABELS = ("title", "description", "licenses", "version", "revision", "base.name")

# Rows of mutations.py, which build nothing.
RUNTIME, BUILD, CUDA = "runtime.Dockerfile", "build.Dockerfile", "cuda.Dockerfile"
MUTATIONS = [
    ("line tables in the image", BUILD, "    strip -o /out/programs/jhalak ", "    cp /out/programs/jhalak ", "strip", "images"),
    ("everything is compiled again", BUILD, "COPY Cargo.toml Cargo.lock ./", "COPY . .", "COPY . .", "images"),
    ("a crate whose dependencies are not built first", BUILD, "COPY worker/nn/Cargo.toml worker/nn/\n", "", "worker/nn/Cargo.toml", "images"),
    ("a crate that is gone", BUILD, "COPY worker/nn/Cargo.toml worker/nn/", "COPY worker/nn/Cargo.toml worker/nn/\nCOPY worker/old/Cargo.toml worker/old/", "worker/old/Cargo.toml", "images"),
    ("no cache of crates", BUILD, "--mount=type=cache,target=/usr/local/cargo/registry", "--network=host", "--mount=type=cache", "images"),
    ("another lock file", BUILD, "cargo build --release --locked", "cargo build --release", "--locked", "images"),
    ("base that cannot be pinned", RUNTIME, "FROM ${BASE}", "FROM debian:12-slim", "FROM", "images"),
    ("base without a version", RUNTIME, "ARG BASE=debian:12-slim", "ARG BASE=debian", "ARG BASE", "images"),
    ("latest base", BUILD, "ARG RUST=rust:1.95-bookworm", "ARG RUST=rust:latest", "ARG RUST", "images"),
    ("no label of the version", RUNTIME, "image.version=", "image.release=", "org.opencontainers.image.version", "images"),
    ("no label of the commit", CUDA, "image.revision=", "image.commit=", "org.opencontainers.image.revision", "images"),
    ("image that runs as root", RUNTIME, "USER 10001:10001", "USER root", "USER", "images"),
    ("another user in the CUDA image", CUDA, "USER 10001:10001", "USER 1000:1000", "USER", "images"),
    ("sources in the image", RUNTIME, "COPY --from=build /out/models", "COPY . /src\nCOPY --from=build /out/models", "COPY", "images"),
    ("a program is missing", RUNTIME, "/out/programs/jhalak /out/programs/jhalak-worker", "/out/programs/jhalak", "jhalak-worker", "images"),
    ("models elsewhere", CUDA, "JHALAK__MODELS__FOLDER=/usr/share/jhalak/models", "JHALAK__MODELS__FOLDER=/models", "JHALAK__MODELS__FOLDER", "images"),
    ("recommended packages", RUNTIME, "--no-install-recommends", "--fix-missing", "--no-install-recommends", "images"),
    ("lists of packages", RUNTIME, "    && rm -rf /var/lib/apt/lists/*\n", "    && true\n", "/var/lib/apt/lists", "images"),
    ("another ONNX Runtime", CUDA, "==1.31.1'", "==1.30.0'", "onnxruntime-gpu", "images"),
]


def instructions(text):
    """The instructions of a Dockerfile: comments left out, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [" ".join(line.split()) for line in joined.splitlines() if line.strip()]


def check(folder, root=ROOT):
    """The faults of the Dockerfiles of a folder."""
    faults = []

    def require(is_right, file, instruction, why):
        if not is_right:
            faults.append(f"k8s/{file}: {instruction}: {why}")

    for file in (BUILD, RUNTIME, CUDA):
        lines = instructions((folder / file).read_text())
        bases(lines, lambda *fault, file=file: require(fault[0], file, *fault[1:]))
    lines = instructions((folder / BUILD).read_text())
    build(lines, root, lambda *fault: require(fault[0], BUILD, *fault[1:]))
    for file in (RUNTIME, CUDA):
        lines = instructions((folder / file).read_text())
        runtime(lines, lambda *fault, file=file: require(fault[0], file, *fault[1:]))
    versions(folder, root, require)
    return faults


def bases(lines, require):
    defaults = dict(re.match(r"ARG (\w+)=(.*)", line).groups() for line in lines if re.match(r"ARG \w+=", line))
    for line in lines:
        if line.startswith("FROM "):
            name = re.match(r"FROM \$\{(\w+)\}", line)
            require(name, line, "must be an ARG, so that a build can pin it by its digest")
            base = defaults.get(name[1], "") if name else ""
            _, _, tag = base.rpartition(":")
            require(not name or (":" in base and tag != "latest"), f"ARG {name[1] if name else ''}={base}", "must name a version")
        if line.startswith("RUN") and "apt-get install" in line:
            require("--no-install-recommends" in line, "RUN apt-get install", "lacks --no-install-recommends")
            require("rm -rf /var/lib/apt/lists/*" in line, "RUN apt-get install", "leaves /var/lib/apt/lists in the layer")


def build(lines, root, require):
    sources = [n for n, line in enumerate(lines) if line == "COPY . ."]
    compiles = [n for n, line in enumerate(lines) if "cargo build" in line]
    manifests = [n for n, line in enumerate(lines) if line == "COPY Cargo.toml Cargo.lock ./"]
    require(
        len(sources) == 1 and len(compiles) == 2 and manifests and manifests[0] < compiles[0] < sources[0] < compiles[1], "COPY . .",
        "must stand once, after the dependencies are built from Cargo.toml and Cargo.lock: a changed source file builds them again otherwise",
    )
    for number in compiles:
        require("--locked" in lines[number], "cargo build", "lacks --locked: other versions than the tested ones could be built")
        require("--mount=type=cache,target=/usr/local/cargo/registry" in lines[number], "cargo build", "lacks --mount=type=cache of cargo's registry: every build downloads all crates")
    members = set(tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["members"])
    copied = {m[1] for line in lines if (m := re.fullmatch(r"COPY (\S+)/Cargo.toml \1/", line))}
    for member in sorted(members - copied):
        require(False, f"COPY {member}/Cargo.toml {member}/", "is missing: the dependencies of this crate are not built before the sources")
    for member in sorted(copied - members):
        require(False, f"COPY {member}/Cargo.toml", "is not a crate of the workspace")
    for program in ("jhalak", "jhalak-worker"):
        require(any(re.search(rf"strip -o /out/programs/{program} ", line) for line in lines), "RUN strip", f"{program} keeps its line tables, five sixths of its size")


def runtime(lines, require):
    last = max(n for n, line in enumerate(lines) if line.startswith("FROM "))
    lines = lines[last:]
    users = [line for line in lines if line.startswith("USER ")]
    require(users and users[-1] == "USER 10001:10001", users[-1] if users else "USER", "must be USER 10001:10001, which the manifests run as")
    label = " ".join(line for line in lines if line.startswith("LABEL "))
    for name in LABELS:
        require(f"org.opencontainers.image.{name}=" in label, "LABEL", f"lacks org.opencontainers.image.{name}")
    for line in lines:
        if line.startswith(("COPY ", "ADD ")):
            require(line.startswith("COPY --from="), line, "must take a file of the build: sources do not belong into the image")
    for program in ("jhalak", "jhalak-worker"):
        require(any(re.search(rf"COPY --from=build .*/out/programs/{program} ", line) for line in lines), "COPY --from=build /out/programs", f"does not bring {program}")
    environment = " ".join(line for line in lines if line.startswith("ENV "))
    for name, place in (("JHALAK__MODELS__FOLDER", "/usr/share/jhalak/models"), ("JHALAK__MODELS__ONNXRUNTIME", "/usr/lib/jhalak/libonnxruntime.so")):
        require(f"{name}={place}" in environment, f"ENV {name}", f"must be {place}, where the files are copied")


def versions(folder, root, require):
    """The ONNX Runtime of the CUDA image is the tested one."""
    table = (root / "scripts/setup/packages.tsv").read_text()
    tested = re.search(r"\tonnxruntime\t([\d.]+)\t", table)[1]
    found = re.search(r"onnxruntime-gpu\[cuda,cudnn\]==([\d.]+)", (folder / CUDA).read_text())
    require(found and found[1] == tested, CUDA, "RUN pip install onnxruntime-gpu", f"must be version {tested}, as in scripts/setup/packages.tsv")
    links = f"libonnxruntime.so.{tested} " in (folder / CUDA).read_text()
    require(links, CUDA, "RUN ln", f"must link libonnxruntime.so.{tested}")
