"""A built folder: its objects, its workloads with their settings, and the faults found in it."""

import json
import re
import tomllib

from checks.sources import Sources

UNITS = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
QUANTITY = re.compile(r"^(\d+)(Ki|Mi|Gi|Ti|m)?$")

# Where each kind of workload has its pod, and the specification of its Job if it has one.
TEMPLATES = {
    "Deployment": ("spec.template", None),
    "Job": ("spec.template", "spec"),
    "CronJob": ("spec.jobTemplate.spec.template", "spec.jobTemplate.spec"),
    "ScaledJob": ("spec.jobTargetRef.template", "spec.jobTargetRef"),
}


def at(value, path, default=None):
    """The value at a dotted path of mappings."""
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return default
        value = value[key]
    return value


def walk(value, path=""):
    """Every key of a tree with its value and its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            where = f"{path}.{key}" if path else str(key)
            yield key, inner, where
            yield from walk(inner, where)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from walk(inner, f"{path}[{number}]")


def quantity(text, default=0):
    """The bytes of a memory quantity, or the cores of a processor quantity (thousandths count as a part)."""
    match = QUANTITY.match(str(text))
    if not match:
        return default
    number, unit = match.groups()
    return int(number) / 1000 if unit == "m" else int(number) * UNITS[unit or ""]


def mebibytes(amount):
    return f"{amount / UNITS['Mi']:.0f}Mi"


class Workload:
    """Pods of one kind: what they run, with which settings."""

    def __init__(self, item, build):
        self.item = item
        self.path, self.job_path = TEMPLATES[item["kind"]]
        self.template = at(item, self.path, {})
        self.pod = self.template.get("spec", {})
        self.labels = at(self.template, "metadata.labels", {})
        containers = self.pod.get("containers") or [{}]
        self.container = containers[0]
        self.job = at(item, self.job_path) if self.job_path else None
        self.program = (self.container.get("command") or [""])[0]
        self.args = [str(argument) for argument in self.container.get("args", [])]
        self.environment = build.environment(self.container)
        self.settings = build.settings(self)

    @property
    def container_path(self):
        return f"{self.path}.spec.containers[0]"

    @property
    def is_worker(self):
        return self.program == "jhalak-worker"

    @property
    def is_coordinator(self):
        return self.program == "jhalak" and "submit" in self.args

    @property
    def is_page(self):
        return self.program == "jhalak" and "serve" in self.args

    @property
    def kinds(self):
        return self.option("--kinds", "extract,train").split(",")

    def option(self, name, default=None):
        """The value of an option among the arguments."""
        for number, argument in enumerate(self.args):
            if argument == name and number + 1 < len(self.args):
                return self.args[number + 1]
            if argument.startswith(f"{name}="):
                return argument.partition("=")[2]
        return default

    def resource(self, which, name):
        """A resource of the container: `requests` or `limits`; limits stand in for requests, as in Kubernetes."""
        resources = self.container.get("resources", {})
        amount = at(resources, which, {}).get(name)
        return at(resources, "limits", {}).get(name) if amount is None and which == "requests" else amount

    @property
    def slots(self):
        return int(quantity(self.resource("requests", "cpu") or 1))

    def variable(self, name):
        """An entry of `env`."""
        return next((v for v in self.container.get("env", []) if v.get("name") == name), None)

    def mounted_volume(self, mount_path):
        """The volume that is mounted there."""
        for mount in self.container.get("volumeMounts", []):
            if mount["mountPath"] == mount_path:
                return next((v for v in self.pod.get("volumes", []) if v["name"] == mount["name"]), None)
        return None

    def can_write(self, folder):
        return any(m["mountPath"] == folder and not m.get("readOnly") for m in self.container.get("volumeMounts", []))


class Build:
    """The objects that kustomize made of one folder."""

    def __init__(self, folder, shown, items):
        self.folder = shown
        self.items = items
        self.faults = []
        self.sources = Sources(folder)
        self.config = {i["metadata"]["name"]: i.get("data", {}) for i in self.of("ConfigMap")}
        self.workloads = [Workload(item, self) for item in items if item["kind"] in TEMPLATES]

    def of(self, *kinds):
        return [item for item in self.items if item["kind"] in kinds]

    def fault(self, item, path, why):
        """Notes a fault: the object and the files that it comes from, the field, the reason."""
        name = item["metadata"]["name"]
        files = self.sources.of(item["kind"], name)
        if item["kind"] in TEMPLATES:
            # A pod is what its settings say, too.
            text = json.dumps(item)
            settings = [file for config in self.config if f'"{config}"' in text for file in self.sources.of("ConfigMap", config)]
            files += [file for file in dict.fromkeys(settings) if file not in files]
        self.faults.append(f"{self.folder}: {item['kind']} {name} ({', '.join(files)}): {path}: {why}")

    def require(self, is_right, item, path, why):
        if not is_right:
            self.fault(item, path, why)

    def environment(self, container):
        """The variables of a container whose values stand in the build; a Secret's value is a stand-in."""
        values = {}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                values |= self.config.get(source["configMapRef"]["name"], {})
        for variable in container.get("env", []):
            origin = variable.get("valueFrom", {})
            if "value" in variable:
                values[variable["name"]] = variable["value"]
            elif "secretKeyRef" in origin:
                values[variable["name"]] = "amqp://user:password@broker:5672"
            elif "resourceFieldRef" in origin:
                which, _, name = origin["resourceFieldRef"]["resource"].partition(".")
                amount = at(container, f"resources.{which}", {}).get(name, "0")
                values[variable["name"]] = str(int(quantity(amount)))
            elif "fieldRef" in origin:
                values[variable["name"]] = "jhalak-nightly-1"
        return values

    def settings_file(self, workload):
        """The text of jhalak.toml as the container reads it, or None."""
        folder = (workload.environment.get("JHALAK_CONFIG") or "").rpartition("/")[0]
        volume = workload.mounted_volume(folder) or {}
        return self.config.get(at(volume, "configMap.name"), {}).get("jhalak.toml")

    def settings(self, workload):
        """jhalak.toml with the environment over it: `section.key` -> value."""
        text = self.settings_file(workload)
        try:
            tree = tomllib.loads(text or "")
        except tomllib.TOMLDecodeError:
            # The program refuses it, too, with the line.
            tree = {}
        merged = {path: value for _, value, path in walk(tree) if not isinstance(value, dict)}
        for name in ("store", "queue"):
            if f"JHALAK__{name.upper()}" in workload.environment:
                merged[name] = workload.environment[f"JHALAK__{name.upper()}"]
        for name, value in workload.environment.items():
            match = re.fullmatch(r"JHALAK__([A-Z0-9_]+?)__([A-Z0-9_]+)", name)
            if match:
                value = int(value) if re.fullmatch(r"[0-9_]+", value) else value
                merged[f"{match[1]}.{match[2]}".lower()] = value
        return merged
