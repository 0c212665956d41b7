"""Builds kustomize folders and refuses what Jhalak, Kubernetes or KEDA would do wrong with them.

    k8s/check.py FOLDER...

Kubernetes' schema accepts a grace period that is shorter than the worker's, a trigger that kills busy workers, or a
flag that the program does not have. `checks/` has a file for each topic. Each fault is one line: the folder, the
object, the files it comes from, the field, and why. Exit code 1 if there is any.

KUBECTL names the program that builds, PROGRAMS the folder of the built jhalak and jhalak-worker, K8S_SCHEMAS a folder
with KEDA's own schemas (keda.sh_scaledjobs.yaml and so on), which are used in addition where they are.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

K8S = Path(__file__).resolve().parent
sys.path.insert(0, str(K8S))

from checks import agreement, brokers, coordinators, images, jobs, network, operators, pods, scaling, schema, secrets, workers  # noqa: E402
from checks.build import Build  # noqa: E402
from checks.sources import NEED_KEDA, Sources  # noqa: E402
from checks.programs import Programs, check as check_programs, exit_codes  # noqa: E402

ROOT = K8S.parent


def programs_folder():
    """Where cargo puts the programs that `make test` builds; ends the check where they are not."""
    cache = os.environ.get("JHALAK_CACHE") or f"{os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'}/jhalak"
    target = os.environ.get("CARGO_TARGET_DIR") or f"{cache}/target"
    folder = Path(os.environ.get("PROGRAMS") or f"{target}/debug")
    for name in ("jhalak", "jhalak-worker"):
        if not (folder / name).is_file():
            print(f"k8s/check.py: {folder / name} does not exist: build it (cargo build --workspace --bins), or set PROGRAMS", file=sys.stderr)
            sys.exit(3)
    return folder


def combination(k8s, components, parent):
    """Writes a kustomization of the base with these components into a new folder of `parent`."""
    folder = Path(parent) / "+".join(["base", *components])
    folder.mkdir()
    lines = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization", "resources:"]
    lines += [f"  - {os.path.relpath(k8s / 'base', folder)}", "components:"]
    lines += [f"  - {os.path.relpath(k8s / 'components' / name, folder)}" for name in components]
    (folder / "kustomization.yaml").write_text("\n".join(lines) + "\n")
    return folder


def combinations(k8s, parent):
    """Each component alone, and those together that change each other."""
    # Certificates and keys are mounted into the pods that are there: `serve` comes before them.
    names = (path.name for path in (k8s / "components").iterdir())
    present = sorted(names, key=lambda name: (name != "serve", name))
    before = [name for name in present if name not in (*NEED_KEDA, "keda", "quota")]
    chosen = [[name] for name in before] + [["keda", "quota"], ["keda", "kueue"]]
    chosen.append([*before, "keda", *NEED_KEDA])
    return [combination(k8s, components, parent) for components in chosen]


def built(folder):
    """The objects that kustomize makes of a folder, or its error."""
    kubectl = os.environ.get("KUBECTL") or ROOT / ".local/bin/kubectl"
    ended = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        return None, ended.stderr.strip()
    return [item for item in yaml.load_all(ended.stdout, Loader=yaml.CSafeLoader) if item], None


def faults_of(folder, shown, programs, codes, k8s=K8S):
    """The faults of one folder, which messages call `shown`, and the number of its objects."""
    misplaced = [f"{shown}: {fault}" for fault in Sources(folder).misplaced()]
    if misplaced:
        return misplaced, 0
    items, error = built(folder)
    if items is None:
        return [f"{shown}: kustomize refuses it: {error}"], 0
    for item in items:
        if not all(isinstance(item.get(field), kind) for field, kind in (("apiVersion", str), ("kind", str), ("metadata", dict))):
            return [f"{shown}: {item.get('kind', 'an object')} {item.get('metadata')}: apiVersion, kind or metadata is missing"], 0
    build = Build(folder, shown, items)
    schema.check(build)
    if build.faults:
        # The other checks rely on the shape of the objects.
        return build.faults, len(items)
    for topic in (pods, agreement, secrets, workers, coordinators, scaling, network, operators):
        topic.check(build)
    jobs.check(build, codes)
    brokers.check(build, k8s / "base/jhalak.toml")
    check_programs(build, programs)
    return build.faults, len(items)


def main():
    programs, codes = Programs(programs_folder()), exit_codes()
    faults = images.check(K8S)
    with tempfile.TemporaryDirectory() as parent:
        own = [K8S / "base", *sorted((K8S / "overlays").iterdir()), K8S / "examples"]
        for folder in [Path(name) for name in sys.argv[1:]] or [*own, *combinations(K8S, parent)]:
            shown = folder.name if folder.is_relative_to(parent) else os.path.relpath(folder)
            found, count = faults_of(folder, shown, programs, codes)
            faults += found
            if not found:
                print(f"{shown}: {count} objects are well")
    for fault in faults:
        print(fault)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
