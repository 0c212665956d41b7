"""Checks built manifests, read from standard input, against what Jhalak promises and Kubernetes' schema cannot say.

    kubectl kustomize FOLDER | python check.py FOLDER

The schema accepts any word where only a few are allowed, and does not know Jhalak's settings: a grace period longer than the
pod's, or a memory limit below one decode per slot. Prints one line per fault; exit code 1 if there is any.
"""

import re
import sys
import tomllib

import yaml

# What may be built. Kinds beside these have no schema that was checked.
KINDS = {
    "Namespace": "v1",
    "ServiceAccount": "v1",
    "ConfigMap": "v1",
    "CronJob": "batch/v1",
    "Deployment": "apps/v1",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "ScaledObject": "keda.sh/v1alpha1",
    "TriggerAuthentication": "keda.sh/v1alpha1",
}

# The words that are allowed for these fields, wherever they stand.
WORDS = {
    "concurrencyPolicy": {"Allow", "Forbid", "Replace"},
    "restartPolicy": {"Always", "OnFailure", "Never"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
    "unhealthyPodEvictionPolicy": {"AlwaysAllow", "IfHealthyBudget"},
    "policyTypes": {"Ingress", "Egress"},
    "action": {"FailJob", "FailIndex", "Ignore", "Count"},
    "operator": {"In", "NotIn", "Exists", "DoesNotExist"},
    "pod-security.kubernetes.io/enforce": {"privileged", "baseline", "restricted"},
    "pod-security.kubernetes.io/warn": {"privileged", "baseline", "restricted"},
}

UNITS = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
QUANTITY = re.compile(r"^(\d+)(Ki|Mi|Gi|m)?$")

# Room beside the decodes: the worker itself with its models and the batches in flight.
WORKER_OWN_BYTES = 1 << 30
# Between the end of the worker's grace period and SIGKILL: handing back what runs.
HAND_BACK_S = 10


def walk(value, path=""):
    """Every key of a tree with its value and where it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner, f"{path}.{key}"
            yield from walk(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from walk(inner, f"{path}[{number}]")


def quantity(text):
    """Bytes of a quantity as written here: whole numbers with Ki, Mi or Gi."""
    number, unit = QUANTITY.match(str(text)).groups()
    return int(number) * UNITS[unit or ""]


def template_of(item):
    """The pod template of a workload, or None."""
    spec = item.get("spec", {})
    if item["kind"] == "CronJob":
        return spec["jobTemplate"]["spec"]["template"]
    return spec.get("template")


def selects(selector, labels):
    return bool(selector) and selector.items() <= labels.items()


class Check:
    """One build and the faults found in it."""

    def __init__(self, items):
        self.items = items
        self.faults = []
        self.config = {i["metadata"]["name"]: i["data"] for i in items if i["kind"] == "ConfigMap"}
        self.accounts = {i["metadata"]["name"] for i in items if i["kind"] == "ServiceAccount"}

    def require(self, true, item, words):
        if not true:
            self.faults.append(f"{item['kind']} {item['metadata']['name']}: {words}")

    def run(self):
        for item in self.items:
            self.fields(item)
            template = template_of(item)
            if template:
                self.pod(item, template)
            if item["kind"] == "Deployment":
                self.deployment(item, template)
            elif item["kind"] == "CronJob":
                self.cron_job(item)
            elif item["kind"] == "ScaledObject":
                self.scaled(item)
            elif item["kind"] == "PodDisruptionBudget":
                labels = [template_of(i)["metadata"]["labels"] for i in self.items if i["kind"] == "Deployment"]
                chosen = sum(selects(item["spec"]["selector"]["matchLabels"], of) for of in labels)
                self.require(chosen == 1, item, f"selects the pods of {chosen} Deployments, not of one")
        return self.faults

    def fields(self, item):
        self.require(KINDS.get(item["kind"]) == item["apiVersion"], item, f"{item['apiVersion']} is not among the kinds that are checked")
        for key, value, path in walk(item):
            for word in value if isinstance(value, list) else [value]:
                if key in WORDS and isinstance(word, str):
                    self.require(word in WORDS[key], item, f"{path} is {word!r}, not one of {sorted(WORDS[key])}")
            if key in ("requests", "limits") and isinstance(value, dict):
                for name, amount in value.items():
                    self.require(QUANTITY.match(str(amount)), item, f"{path}.{name}: {amount!r} is no quantity")
            if isinstance(value, str):
                self.require(not re.search(r"://[^/\s]*:[^/\s]*@", value), item, f"{path} holds a password: refer to a Secret")

    def pod(self, item, template):
        pod = template["spec"]
        security = pod.get("securityContext", {})
        self.require(security.get("runAsNonRoot") is True and security.get("runAsUser", 0) > 0, item, "the pod may run as root")
        self.require(security.get("seccompProfile") == {"type": "RuntimeDefault"}, item, "the seccomp profile is not RuntimeDefault")
        self.require(pod.get("automountServiceAccountToken") is False, item, "the pod is given an API token")
        self.require(pod.get("serviceAccountName") in self.accounts, item, "its service account is not part of the build")
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for volume in volumes.values():
            if "emptyDir" in volume:
                self.require("sizeLimit" in volume["emptyDir"], item, f"the volume {volume['name']} has no sizeLimit")
            if "configMap" in volume:
                self.require(volume["configMap"]["name"] in self.config, item, f"the volume {volume['name']} is of no ConfigMap of the build")
        for container in pod["containers"]:
            own = container.get("securityContext", {})
            self.require(own.get("readOnlyRootFilesystem") is True, item, f"{container['name']} can write to its image")
            self.require(own.get("allowPrivilegeEscalation") is False, item, f"{container['name']} may gain privileges")
            self.require(own.get("capabilities") == {"drop": ["ALL"]}, item, f"{container['name']} keeps capabilities")
            _, colon, tag = container["image"].rpartition("/")[2].partition(":")
            self.require(colon and tag != "latest", item, f"the image {container['image']} has no version")
            resources = container.get("resources", {})
            for name in ("memory", "ephemeral-storage"):
                self.require(name in resources.get("limits", {}), item, f"{container['name']} has no limit of {name}")
            self.require("cpu" in resources.get("requests", {}), item, f"{container['name']} requests no cpu")
            for source in container.get("envFrom", []):
                if "configMapRef" in source:
                    name = source["configMapRef"]["name"]
                    self.require(name in self.config, item, f"envFrom refers to {name}, which is no ConfigMap of the build")
            for mount in container.get("volumeMounts", []):
                self.require(mount["name"] in volumes, item, f"mounts {mount['name']}, which is no volume of the pod")
            queue = [e for e in container.get("env", []) if e["name"] == "JHALAK__QUEUE"]
            self.require(queue and "secretKeyRef" in queue[0].get("valueFrom", {}), item, "JHALAK__QUEUE does not come from a Secret")

    def settings(self, item, container, pod):
        """jhalak.toml as the container reads it, with the environment that is written out in the manifest laid over it."""
        volume = next(v["name"] for v in container["volumeMounts"] if v["mountPath"] == "/etc/jhalak")
        name = next(v["configMap"]["name"] for v in pod["volumes"] if v["name"] == volume)
        settings = tomllib.loads(self.config[name]["jhalak.toml"])
        for variable in container["env"]:
            match = re.fullmatch(r"JHALAK__([A-Z0-9]+)__([A-Z0-9_]+)", variable["name"])
            if match and "value" in variable:
                settings.setdefault(match[1].lower(), {})[match[2].lower()] = int(variable["value"])
        return settings

    def deployment(self, item, template):
        labels, pod = template["metadata"]["labels"], template["spec"]
        self.require(selects(item["spec"]["selector"]["matchLabels"], labels), item, "its selector does not select its own pods")
        container = pod["containers"][0]
        settings = self.settings(item, container, pod)
        worker, scratch = settings["worker"], settings["worker"]["scratch"]
        grace_s = worker["grace_ms"] / 1000
        self.require(
            grace_s + HAND_BACK_S <= pod["terminationGracePeriodSeconds"], item,
            f"worker.grace_ms ({grace_s:.0f} s) leaves less than {HAND_BACK_S} s of the pod's grace period to hand jobs back",
        )
        writable = [m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")]
        self.require(scratch in writable, item, f"worker.scratch ({scratch}) is no volume that can be written")
        room = next(v["emptyDir"]["sizeLimit"] for v in pod["volumes"] if v["name"] == next(m["name"] for m in container["volumeMounts"] if m["mountPath"] == scratch))
        if "extract" in container["args"]:
            self.require(worker["scratch_mb"] * UNITS["Mi"] < quantity(room), item, f"worker.scratch_mb ({worker['scratch_mb']}) has no room in a volume of {room}")
        self.require(worker["heartbeat_file"].startswith(f"{scratch}/"), item, "worker.heartbeat_file is not below worker.scratch")
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            command = container[probe]["exec"]["command"]
            self.require(command[:2] == ["jhalak-worker", "health"], item, f"its {probe} does not ask jhalak-worker health")
        slots = next(e for e in container["env"] if e["name"] == "JHALAK__WORKER__SLOTS")
        self.require(slots["valueFrom"]["resourceFieldRef"]["resource"] == "requests.cpu", item, "its slots do not follow the cores it asks for")
        if "extract" in container["args"]:
            need = int(container["resources"]["requests"]["cpu"]) * settings["decode"]["memory_mb"] * UNITS["Mi"] + WORKER_OWN_BYTES
            limit = quantity(container["resources"]["limits"]["memory"])
            self.require(limit >= need, item, f"a memory limit of {limit >> 20} Mi, but a decode of decode.memory_mb in each slot wants {need >> 20} Mi")

    def cron_job(self, item):
        spec, job = item["spec"], item["spec"]["jobTemplate"]["spec"]
        self.require(len(spec["schedule"].split()) == 5, item, f"the schedule {spec['schedule']!r} has not five fields")
        self.require(spec.get("concurrencyPolicy") == "Forbid", item, "two coordinators may run at once")
        for name, where in (("startingDeadlineSeconds", spec), ("backoffLimit", job), ("activeDeadlineSeconds", job)):
            self.require(name in where, item, f"{name} is not set")
        slot = [e for e in template_of(item)["spec"]["containers"][0]["env"] if e["name"] == "JHALAK_SLOT"]
        path = slot[0].get("valueFrom", {}).get("fieldRef", {}).get("fieldPath") if slot else None
        self.require(path == "metadata.labels['batch.kubernetes.io/job-name']", item, "its runs have no slot: JHALAK_SLOT is not the Job's name")
        final = [code for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailJob" for code in rule["onExitCodes"]["values"]]
        self.require(set(final) == {2, 3, 4}, item, "other exit codes than 2, 3 and 4 are final")
        for argument in template_of(item)["spec"]["containers"][0]["args"]:
            for name in re.findall(r"\$\((\w+)\)", argument):
                self.require(any(name in data for data in self.config.values()), item, f"$({name}) is set nowhere")


    def scaled(self, item):
        """KEDA's kinds have no schema here: the fields that Jhalak uses are checked one by one."""
        spec = item["spec"]
        unknown = spec.keys() - {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod", "triggers"}
        self.require(not unknown, item, f"unknown fields {sorted(unknown)}")
        targets = {i["metadata"]["name"]: i for i in self.items if i["kind"] == "Deployment"}
        target = targets.get(spec["scaleTargetRef"]["name"])
        self.require(target is not None, item, "scales no Deployment of the build")
        self.require(0 <= spec["minReplicaCount"] <= spec["maxReplicaCount"], item, "its replica counts do not ascend")
        self.require(target is None or "replicas" not in target["spec"], item, "its Deployment sets replicas too: they would fight")
        secrets = {i["metadata"]["name"] for i in self.items if i["kind"] == "TriggerAuthentication"}
        for trigger in spec["triggers"]:
            meta = trigger["metadata"]
            self.require(trigger["type"] == "rabbitmq" and meta["mode"] == "QueueLength" and meta["protocol"] in ("amqp", "http"), item, "its trigger is not the length of a RabbitMQ queue")
            self.require(meta["queueName"] in ("jhalak.work.extract", "jhalak.work.train"), item, f"{meta['queueName']} is no work queue")
            self.require(meta["value"].isdigit(), item, "the value of its trigger is no number in quotes")
            self.require(trigger["authenticationRef"]["name"] in secrets, item, "its authentication is not part of the build")


def main():
    folder = sys.argv[1]
    items = [item for item in yaml.safe_load_all(sys.stdin) if item]
    faults = Check(items).run()
    for fault in faults:
        print(f"{folder}: {fault}")
    if not faults:
        print(f"{folder}: {len(items)} objects are well")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
