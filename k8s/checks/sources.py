"""Which files an object of a build comes from: where it is defined, and which patches change it."""

import functools
import re
from pathlib import Path

import yaml

# Components that may follow `keda`, which copies the pods of the Deployments, and those that must.
AFTER_KEDA = ("ca-keda", "kueue", "quota", "serve")
NEED_KEDA = ("ca-keda", "kueue")


@functools.lru_cache(maxsize=None)
def documents(text):
    try:
        return [d for d in yaml.load_all(text, Loader=yaml.CSafeLoader) if isinstance(d, dict)]
    except yaml.YAMLError:
        # Kustomize says so, with the line.
        return []


def read(path):
    return documents(path.read_text())


def shown(path):
    """A path from the folder `k8s` on."""
    parts = path.resolve().parts
    first = max((number for number, part in enumerate(parts) if part == "k8s"), default=len(parts) - 1)
    return "/".join(parts[first:])


class Sources:
    """The files of a kustomization and of all that it includes."""

    def __init__(self, folder):
        self.root = Path(folder)
        self.named = {}
        self.patched = []
        self.copied = {}
        self.components = []
        if (self.root / "kustomization.yaml").is_file():
            self.visit(self.root)

    def visit(self, folder):
        file = folder / "kustomization.yaml"
        if not file.is_file():
            return
        for kustomization in read(file):
            for name in kustomization.get("resources", []):
                self.include(folder / name)
            for name in kustomization.get("components", []):
                self.components.append((file, (folder / name).resolve().name))
                self.include(folder / name)
            for generator in kustomization.get("configMapGenerator", []):
                self.add("ConfigMap", generator["name"], file)
                for name in generator.get("files", []):
                    self.add("ConfigMap", generator["name"], folder / name)
            for patch in kustomization.get("patches", []):
                target, path = patch.get("target"), file
                if "path" in patch:
                    path = folder / patch["path"]
                    target = target or self.target(path)
                if target:
                    self.patched.append((target.get("kind"), target.get("name"), path))
            for replicas in kustomization.get("replicas", []):
                self.patched.append(("Deployment", replicas["name"], file))
            for copy in kustomization.get("replacements", []):
                for target in copy["targets"]:
                    key = (target["select"].get("kind"), target["select"].get("name"))
                    self.copied[key] = (copy["source"]["kind"], copy["source"]["name"])

    def include(self, path):
        if path.is_dir():
            self.visit(path)
        elif path.is_file():
            for document in read(path):
                self.add(document.get("kind"), document.get("metadata", {}).get("name"), path)

    def target(self, path):
        """The object that a patch file names, if it can be read."""
        for document in read(path) if path.is_file() else []:
            return {"kind": document.get("kind"), "name": document.get("metadata", {}).get("name")}
        return None

    def add(self, kind, name, path):
        self.named.setdefault((kind, name), []).append(path)

    def of(self, kind, name):
        """The files of an object, from the folder `k8s` on, the file that defines it first."""
        plain = re.sub(r"-[a-z0-9]{10}$", "", name) if kind == "ConfigMap" else name
        files = list(self.named.get((kind, plain), []))
        for origin in (self.copied.get((kind, plain)), self.copied.get((kind, None))):
            if origin and origin != (kind, plain):
                files += self.named.get(origin, [])
                files += [path for target, pattern, path in self.patched if self.matches(target, pattern, *origin)]
        files += [path for target, pattern, path in self.patched if self.matches(target, pattern, kind, plain)]
        return list(dict.fromkeys(shown(path) for path in files if path.is_file()))

    @staticmethod
    def matches(kind, pattern, of_kind, name):
        return kind in (None, of_kind) and (pattern is None or re.fullmatch(pattern, name or "") is not None)

    def misplaced(self):
        """Components in an order in which changes are lost: file, field and reason."""
        for listing in dict.fromkeys(file for file, _ in self.components):
            names = [name for file, name in self.components if file == listing]
            if "keda" not in names:
                continue
            for name in names[: names.index("keda")]:
                if name in NEED_KEDA:
                    yield f"{shown(listing)}: components: {name} stands before keda, whose objects it changes: list it after"
            for name in names[names.index("keda") + 1 :]:
                if name not in AFTER_KEDA:
                    yield f"{shown(listing)}: components: {name} stands after keda, which copies the workers' pods before {name} changes them: list it before"
