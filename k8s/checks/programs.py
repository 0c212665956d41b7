"""What the built programs say: do they take these arguments and settings, which exit codes do they have."""

import functools
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Programs:
    """The programs in a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.scratch = tempfile.TemporaryDirectory(prefix="jhalak-check-")

    def run(self, program, arguments, environment=()):
        return outcome(self.folder / program, tuple(arguments), tuple(sorted(environment)))


@functools.lru_cache(maxsize=None)
def outcome(path, arguments, environment):
    if not path.is_file():
        return 127, f"{path} does not exist"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JHALAK")}
    ended = subprocess.run([path, *arguments], env=inherited | dict(environment), capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, (ended.stderr or ended.stdout).strip()


def exit_codes(root=ROOT):
    """The constants of common/src/process/exit.rs."""
    text = (root / "common/src/process/exit.rs").read_text()
    return {name: int(code) for name, code in re.findall(r"pub const (\w+): u8 = (\d+);", text)}


def check(build, programs):
    for workload in build.workloads:
        if workload.program not in ("jhalak", "jhalak-worker"):
            build.fault(workload.item, f"{workload.container_path}.command", f"{workload.program or 'nothing'} is not a program of the image: jhalak or jhalak-worker")
            continue
        arguments(build, workload, programs)
        settings(build, workload, programs)
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            command = workload.container.get(name, {}).get("exec", {}).get("command", [])
            if command:
                accepted(build, workload, programs, command[0], command[1:], f"{workload.container_path}.{name}.exec.command")


def secret_file(programs):
    """A file that stands for every Secret."""
    file = Path(programs.scratch.name) / "secret"
    file.write_text("amqp://user:password@broker:5672\n")
    return file


def arguments(build, workload, programs):
    words = [re.sub(r"\$\((\w+)\)", lambda m: workload.environment.get(m[1], m[0]), word) for word in workload.args]
    accepted(build, workload, programs, workload.program, words, f"{workload.container_path}.args")
    if workload.program == "jhalak":
        is_expected = workload.is_coordinator or workload.is_page
        build.require(is_expected, workload.item, f"{workload.container_path}.args", "is neither `jhalak submit` nor `jhalak serve`")
        build.require(workload.is_page or workload.option("--dataset"), workload.item, f"{workload.container_path}.args", "lacks --dataset")


def accepted(build, workload, programs, program, words, path):
    """The program itself reads the arguments: after them `--help` ends it before it does anything."""
    code, text = programs.run(program, [*words, "--help"])
    first = next((line for line in text.splitlines() if line.strip()), "")
    build.require(code == 0, workload.item, path, f"{program} refuses them: {first}")


def settings(build, workload, programs):
    """The program itself reads jhalak.toml and the environment; only then it misses the heartbeat file."""
    text = build.settings_file(workload)
    if text is None:
        return
    file = Path(programs.scratch.name) / f"{hashlib.sha256(text.encode()).hexdigest()}.toml"
    file.write_text(text)
    # Secrets are not at hand.
    variables = {k: v for k, v in workload.environment.items() if k.startswith("JHALAK__")}
    for name in [name for name in variables if name.endswith("_FILE") and "HEARTBEAT" not in name]:
        variables[name] = str(secret_file(programs))
    code, said = programs.run("jhalak-worker", ["health", "--config", str(file)], variables.items())
    build.require(
        code == 0 or "the heartbeat file " in said, workload.item, "jhalak.toml and the variables JHALAK__*",
        f"jhalak-worker refuses them: {' '.join(said.split())}",
    )
