"""What every pod must have: no rights, bounded resources, references that lead somewhere."""

import re
from collections import Counter

from checks.build import at, quantity

# ConfigMaps and Secrets that somebody else makes: k8s/README.md says how.
FOREIGN_CONFIG_MAPS = {"jhalak-ca"}
FOREIGN_SECRETS = {"jhalak-queue", "jhalak-s3"}
CLUSTER_WIDE = {"Namespace", "PriorityClass", "ClusterQueue", "ResourceFlavor"}
ACCOUNTS = {True: "jhalak-worker", False: "jhalak-coordinator"}
# Room for logs and layers in addition to the volumes.
LOG_BYTES = 512 << 20
PRUNING = {
    "argocd.argoproj.io/sync-options": "Prune=false",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}


def check(build):
    accounts = {i["metadata"]["name"] for i in build.of("ServiceAccount")}
    classes = {i["metadata"]["name"]: i for i in build.of("PriorityClass")}
    for account in build.of("ServiceAccount"):
        build.require(
            account.get("automountServiceAccountToken") is False, account, "automountServiceAccountToken",
            "must be false: nothing here talks to the Kubernetes API",
        )
    for workload in build.workloads:
        pod(build, workload, accounts, classes)
        for number, container in enumerate(workload.pod.get("containers", [])):
            containers(build, workload, container, f"{workload.path}.spec.containers[{number}]")
        environment(build, workload)
    one_namespace(build)
    places(build)
    namespaces(build)
    priorities(build, classes)
    kept = {name for workload in build.workloads if workload.job is not None for name in config_maps(workload)}
    for item in build.of("ConfigMap"):
        for name, value in PRUNING.items():
            build.require(
                item["metadata"]["name"] not in kept or at(item, "metadata.annotations", {}).get(name) == value, item, f"metadata.annotations.{name}",
                f"must be {value}: its name changes with its content, and a pod that is started again for an older Job"
                " still refers to the older name",
            )


def config_maps(workload):
    """The names of the ConfigMaps that a pod refers to."""
    sources = [at(volume, "configMap.name") for volume in workload.pod.get("volumes", [])]
    sources += [at(source, "configMapRef.name") for source in workload.container.get("envFrom", [])]
    return [name for name in sources if name]


def pod(build, workload, accounts, classes):
    item, spec, path = workload.item, workload.pod, f"{workload.path}.spec"
    security = spec.get("securityContext", {})
    build.require(security.get("runAsNonRoot") is True, item, f"{path}.securityContext.runAsNonRoot", "must be true")
    for name in ("runAsUser", "runAsGroup", "fsGroup"):
        build.require(security.get(name) == 10001, item, f"{path}.securityContext.{name}", "must be 10001, the image's user, which is not root")
    build.require(
        security.get("seccompProfile") == {"type": "RuntimeDefault"}, item, f"{path}.securityContext.seccompProfile",
        "must be RuntimeDefault",
    )
    build.require(spec.get("automountServiceAccountToken") is False, item, f"{path}.automountServiceAccountToken", "must be false: the pod would get an API token")
    build.require(spec.get("enableServiceLinks") is False, item, f"{path}.enableServiceLinks", "must be false: names of services would become JHALAK_ variables")
    build.require("activeDeadlineSeconds" not in spec, item, f"{path}.activeDeadlineSeconds", "must not be set: it ends a pod at work, and counts as its failure")
    for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostAliases"):
        build.require(not spec.get(name), item, f"{path}.{name}", "must not be set")
    extra = security.keys() - {"runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "seccompProfile", "fsGroupChangePolicy"}
    build.require(not extra, item, f"{path}.securityContext", f"{', '.join(sorted(extra))} is not expected")
    account = spec.get("serviceAccountName")
    build.require(account in accounts, item, f"{path}.serviceAccountName", f"{account} is not an account of the build")
    if workload.is_worker or workload.is_coordinator:
        expected = ACCOUNTS[workload.is_worker]
        build.require(
            account == expected, item, f"{path}.serviceAccountName",
            f"must be {expected}: coordinators may delete from the store, workers may not",
        )
    build.require(
        workload.is_page or spec.get("priorityClassName") in classes, item, f"{path}.priorityClassName",
        f"{spec.get('priorityClassName')} is not a PriorityClass of the build",
    )
    for toleration in spec.get("tolerations", []):
        build.require(toleration.get("key"), item, f"{path}.tolerations", "tolerates every taint, also that of a node which goes away")
    used = {m["name"] for c in spec.get("containers", []) for m in c.get("volumeMounts", [])}
    for volume in spec.get("volumes", []):
        where = f"{path}.volumes.{volume['name']}"
        build.require(volume["name"] in used, item, where, "is mounted nowhere")
        build.require("hostPath" not in volume, item, where, "is a folder of the node")
        if "emptyDir" in volume:
            build.require("sizeLimit" in (volume["emptyDir"] or {}), item, f"{where}.emptyDir.sizeLimit", "is not set: the pod could fill its node")
            build.require("medium" not in (volume["emptyDir"] or {}), item, f"{where}.emptyDir.medium", "must not be set: files in memory count against the memory limit")
        secret_name = at(volume, "secret.secretName")
        build.require(
            secret_name is None or workload.is_page or secret_name in FOREIGN_SECRETS, item, f"{where}.secret.secretName",
            f"{secret_name} is not one of {', '.join(sorted(FOREIGN_SECRETS))}, which docs/kubernetes.md makes",
        )
        name = at(volume, "configMap.name")
        if name:
            build.require(
                name in build.config or name in FOREIGN_CONFIG_MAPS, item, f"{where}.configMap.name",
                f"{name} is not a ConfigMap of the build",
            )
    build.require(len(spec.get("containers", [])) == 1, item, f"{path}.containers", "must be one container, whose settings are checked")
    build.require("initContainers" not in spec, item, f"{path}.initContainers", "is not expected, and not checked")


def containers(build, workload, container, path):
    item = workload.item
    own = container.get("securityContext", {})
    build.require(own.get("readOnlyRootFilesystem") is True, item, f"{path}.securityContext.readOnlyRootFilesystem", "must be true")
    build.require(own.get("allowPrivilegeEscalation") is False, item, f"{path}.securityContext.allowPrivilegeEscalation", "must be false")
    build.require(own.get("capabilities") == {"drop": ["ALL"]}, item, f"{path}.securityContext.capabilities", "must be drop: [ALL] and nothing else")
    build.require(not own.get("privileged"), item, f"{path}.securityContext.privileged", "must not be set")
    for name in sorted(own.keys() - {"readOnlyRootFilesystem", "allowPrivilegeEscalation", "capabilities", "privileged"}):
        build.fault(item, f"{path}.securityContext.{name}", "is not expected here: what belongs to the pod would be overridden")
    build.require("lifecycle" not in container, item, f"{path}.lifecycle", "must not be set: a hook uses up the grace period of the worker")
    for port in container.get("ports", []):
        build.require("hostPort" not in port, item, f"{path}.ports.hostPort", "must not be set: it opens a port of the node")
    image = container.get("image", "")
    _, colon, tag = image.rpartition("/")[2].partition(":")
    build.require("@sha256:" in image or (colon and tag != "latest"), item, f"{path}.image", f"{image} has no version: set newTag or digest under `images`")
    build.require(container.get("imagePullPolicy") != "Never", item, f"{path}.imagePullPolicy", "is Never: a new node does not have the image")
    cpu = {which: container.get("resources", {}).get(which, {}).get("cpu") for which in ("requests", "limits")}
    build.require(
        cpu["limits"] is None or quantity(cpu["limits"]) >= quantity(cpu["requests"] or 0), item, f"{path}.resources.limits.cpu",
        f"is {cpu['limits']}, below the requested {cpu['requests']}",
    )
    for name in ("memory", "ephemeral-storage"):
        wanted, limit = (workload.container.get("resources", {}).get(which, {}).get(name) for which in ("requests", "limits"))
        build.require(limit is not None, item, f"{path}.resources.limits.{name}", "is not set")
        build.require(wanted is not None, item, f"{path}.resources.requests.{name}", "is not set")
        build.require(
            wanted is None or limit is None or quantity(wanted) == quantity(limit), item, f"{path}.resources.requests.{name}",
            f"is {wanted}, but {limit} may be used: the node is promised to more pods than it has room for, and evicts"
            " them in the middle of their jobs",
        )
    build.require(quantity(container.get("resources", {}).get("requests", {}).get("cpu", 0)) > 0, item, f"{path}.resources.requests.cpu", "is not set")
    volumes = {v["name"]: v for v in workload.pod.get("volumes", [])}
    together = sum(quantity((v.get("emptyDir") or {}).get("sizeLimit", 0)) for v in volumes.values() if "emptyDir" in v)
    limit = quantity(container.get("resources", {}).get("limits", {}).get("ephemeral-storage", 0))
    build.require(
        limit >= together + LOG_BYTES, item, f"{path}.resources.limits.ephemeral-storage",
        f"must exceed the sizeLimit of the volumes by {LOG_BYTES >> 20}Mi for logs: the pod is evicted at the limit",
    )
    for mount in container.get("volumeMounts", []):
        build.require(mount["name"] in volumes, item, f"{path}.volumeMounts", f"{mount['name']} is not a volume of the pod")
        is_written = "emptyDir" in volumes.get(mount["name"], {})
        build.require(is_written or mount.get("readOnly") is True, item, f"{path}.volumeMounts.{mount['mountPath']}.readOnly", "must be true")
    for source in container.get("envFrom", []):
        name = at(source, "configMapRef.name")
        build.require(name is None or name in build.config, item, f"{path}.envFrom", f"{name} is not a ConfigMap of the build")


def environment(build, workload):
    item, path = workload.item, f"{workload.container_path}.env"
    names = [v["name"] for v in workload.container.get("env", [])]
    for name in sorted({name for name in names if names.count(name) > 1}):
        build.fault(item, f"{path}.{name}", "is set twice")
    folder = workload.environment.get("TMPDIR")
    build.require(
        folder is not None and workload.can_write(folder), item, f"{path}.TMPDIR",
        "must name a volume that can be written: the image cannot, and temporary files go to /tmp otherwise",
    )
    build.require(build.settings_file(workload) is not None, item, f"{path}.JHALAK_CONFIG", "does not lead to jhalak.toml of a ConfigMap of the build")
    secret(build, workload, path)
    for argument in workload.args:
        for name in references(argument):
            build.require(name in workload.environment, item, f"{workload.container_path}.args", f"$({name}) is set nowhere")


def secret(build, workload, path):
    """Secrets are files: a variable keeps its value for as long as the process lives."""
    for variable in workload.container.get("env", []):
        build.require(
            at(variable, "valueFrom.secretKeyRef") is None, workload.item, f"{path}.{variable['name']}",
            "comes from a Secret as a variable, which cannot change under a running process: mount the Secret and name the file",
        )
    for source in workload.container.get("envFrom", []):
        build.require("secretRef" not in source, workload.item, f"{workload.container_path}.envFrom.secretRef", "makes variables of a Secret, which cannot change under a running process: mount it")
    if not workload.is_page:
        build.require("JHALAK__QUEUE_FILE" in workload.environment, workload.item, f"{path}.JHALAK__QUEUE_FILE", "is not set: the queue's URL is a secret, and comes from a file")
        build.require("JHALAK__QUEUE" not in workload.environment, workload.item, f"{path}.JHALAK__QUEUE", "must not be set together with JHALAK__QUEUE_FILE")
    for name, file in workload.environment.items():
        if not re.fullmatch(r"JHALAK__\w+_FILE", name) or name == "JHALAK__WORKER__HEARTBEAT_FILE":
            continue
        volume = workload.mounted_volume(file.rpartition("/")[0]) or {}
        build.require("secret" in volume or "configMap" in volume, workload.item, f"{path}.{name}", f"{file} is not in a folder where a Secret or a ConfigMap is mounted")
        is_key = not name.endswith("__CA_FILE")
        build.require(not is_key or "secret" in volume or "configMap" not in volume, workload.item, f"{path}.{name}", f"{file} comes from a ConfigMap: it is a secret")


def places(build):
    """Where store and dataset are: both reachable from every pod, and the dataset allowed to workers."""
    for workload in build.workloads:
        if not (workload.is_worker or workload.is_coordinator):
            continue
        store, dataset = str(workload.settings.get("store", "")), workload.environment.get("DATASET", "")
        where = "data.JHALAK__STORE and DATASET of the ConfigMap"
        build.require(store.startswith("s3://"), workload.item, where, f"the store is {store or 'not set'}: pods share nothing but s3://")
        if workload.is_worker:
            sources = str(workload.settings.get("worker.sources", "")).split(",")
            is_allowed = any(place and (dataset + "/").startswith(place.rstrip("/") + "/") for place in [*sources, store])
            build.require(is_allowed, workload.item, "JHALAK__WORKER__SOURCES", f"{', '.join(sources)} does not hold the dataset {dataset or '(not set)'}: workers refuse its trailers")


def references(argument):
    return re.findall(r"\$\((\w+)\)", argument)


def one_namespace(build):
    """Every object that has a namespace is in the same one."""
    found = Counter(i["metadata"].get("namespace") for i in build.items if i["kind"] not in CLUSTER_WIDE)
    expected = found.most_common(1)[0][0] if found else None
    for item in build.items:
        own = item["metadata"].get("namespace")
        build.require(
            item["kind"] in CLUSTER_WIDE or own == expected, item, "metadata.namespace",
            f"is {own or 'not set'}, and that of the other objects is {expected or 'not set'}",
        )


def namespaces(build):
    for item in build.of("Namespace"):
        labels = at(item, "metadata.labels", {})
        build.require(
            labels.get("pod-security.kubernetes.io/enforce") == "restricted", item,
            "metadata.labels.pod-security.kubernetes.io/enforce", "must be restricted",
        )
        version = str(labels.get("pod-security.kubernetes.io/enforce-version", ""))
        build.require(
            version.startswith("v1."), item, "metadata.labels.pod-security.kubernetes.io/enforce-version",
            "must be a fixed version such as v1.31: with `latest` an upgrade of the cluster may refuse running workloads",
        )


def priorities(build, classes):
    """Coordinators before extraction before training before backfills; nobody takes nodes from others but them."""
    values = [classes[name]["value"] for name in ("jhalak-backfill", "jhalak-train", "jhalak-extract", "jhalak-coordinator") if name in classes]
    for name, item in classes.items():
        build.require(not item.get("globalDefault"), item, "globalDefault", "must not be true: every other pod of the cluster would get this priority")
        build.require(values == sorted(set(values)), item, "value", "the order must be coordinator > extract > train > backfill")
        build.require(
            name == "jhalak-coordinator" or item.get("preemptionPolicy") == "Never", item, "preemptionPolicy",
            "must be Never: only coordinators may take a node from other pods",
        )
