"""Workers: time to stop, scratch space, memory for each slot, probes, budgets, GPUs."""

from checks.build import UNITS, at, mebibytes, quantity

# Room in addition to the decodes: the worker itself with its models and the batches in flight.
OWN_BYTES = 1 << 30
# Between the end of the worker's grace period and SIGKILL: handing back what runs.
HAND_BACK_S = 10
# Beside the trailers: the heartbeat, temporary files.
SCRATCH_ROOM_MB = 64
# How long a worker may take until it serves its heartbeat: it waits for broker and store, which takes minutes, after that.
START_S = 60
# The longest that a probe may fail before anything happens.
MOST_S = {"startupProbe": 600, "livenessProbe": 300, "readinessProbe": 120}
PROBES = {"startupProbe": "--live", "livenessProbe": "--live", "readinessProbe": "--ready"}


def check(build):
    for workload in build.workloads:
        if workload.is_worker:
            stopping(build, workload)
            scratch(build, workload)
            memory(build, workload)
            probes(build, workload)
            limits(build, workload)
            attempts(build, workload)
            gpu(build, workload)
    deployments(build)
    budgets(build)


def setting(build, workload, key):
    """A setting that these checks need: it must stand in jhalak.toml or in the environment."""
    value = workload.settings.get(key)
    variable = "JHALAK__" + key.replace(".", "__").upper()
    build.require(value is not None, workload.item, f"jhalak.toml: {key}", f"is not set, nor is {variable}: the manifest is checked against it")
    return value if isinstance(value, int) else 0


def stopping(build, workload):
    item, path = workload.item, f"{workload.path}.spec.terminationGracePeriodSeconds"
    grace_s = setting(build, workload, "worker.grace_ms") / 1000
    period_s = workload.pod.get("terminationGracePeriodSeconds", 30)
    build.require(
        grace_s + HAND_BACK_S <= period_s, item, path,
        f"is {period_s}, but worker.grace_ms is {grace_s:.0f} s and handing back takes up to {HAND_BACK_S} s more",
    )
    build.require(
        "train" not in workload.kinds or period_s <= 120, item, path,
        f"is {period_s}: a training saves its state and resumes elsewhere, so more than 120 s only delays the node",
    )
    on_stop = workload.settings.get("worker.on_stop", "finish")
    build.require(
        "train" not in workload.kinds or on_stop == "finish", item, f"{workload.container_path}.env.JHALAK__WORKER__ON_STOP",
        "hands a training back without saving its state",
    )
    is_spot = any("spot" in f"{key}{value}".lower() for key, value in workload.pod.get("nodeSelector", {}).items())
    if is_spot:
        keys = [t.get("key") for t in workload.pod.get("tolerations", [])]
        build.require(
            any(key in workload.pod["nodeSelector"] for key in keys), item, f"{workload.path}.spec.tolerations",
            "lacks that of the spot nodes, which refuse other pods",
        )
        build.require(period_s <= 25, item, path, f"is {period_s} on spot nodes, which give as little as 25 s")
        build.require(
            "extract" not in workload.kinds or on_stop == "hand-back", item, f"{workload.container_path}.env.JHALAK__WORKER__ON_STOP",
            "must be hand-back on spot nodes: what is killed there counts as a crash of its job",
        )
        checkpoint_ms = workload.settings.get("worker.checkpoint_ms", 60_000)
        build.require(
            "train" not in workload.kinds or checkpoint_ms <= 30_000, item,
            f"{workload.container_path}.env.JHALAK__WORKER__CHECKPOINT_MS", "must be at most 30000 on spot nodes",
        )
    elif "extract" in workload.kinds:
        build.require(
            grace_s >= 120 and on_stop == "finish", item, "jhalak.toml: worker.grace_ms",
            f"is {grace_s:.0f} s (on_stop {on_stop}): most trailers need up to two minutes, and a shorter grace period throws their work away",
        )


def scratch(build, workload):
    item, folder = workload.item, workload.settings.get("worker.scratch", "/tmp")
    build.require(workload.can_write(folder), item, "jhalak.toml: worker.scratch", f"{folder} is not a volume that can be written")
    volume = workload.mounted_volume(folder) or {}
    room = quantity(at(volume, "emptyDir.sizeLimit", 0))
    wanted = setting(build, workload, "worker.scratch_mb") + SCRATCH_ROOM_MB
    build.require(
        wanted * UNITS["Mi"] <= room, item, f"{workload.path}.spec.volumes.{volume.get('name')}.emptyDir.sizeLimit",
        f"is {mebibytes(room)}, but worker.scratch_mb and the rest need {wanted}Mi: the pod is evicted at the limit",
    )
    heartbeat = str(workload.settings.get("worker.heartbeat_file", ""))
    build.require(heartbeat.startswith(f"{folder}/"), item, "jhalak.toml: worker.heartbeat_file", f"is not below worker.scratch ({folder})")


def memory(build, workload):
    item, path = workload.item, f"{workload.container_path}.resources"
    slots = workload.variable("JHALAK__WORKER__SLOTS")
    build.require(
        slots is not None and at(slots, "valueFrom.resourceFieldRef.resource") == "requests.cpu", item,
        f"{workload.container_path}.env.JHALAK__WORKER__SLOTS", "must be the requested cores (resourceFieldRef requests.cpu)",
    )
    build.require("--slots" not in workload.args, item, f"{workload.container_path}.args", "--slots overrides the requested cores")
    cpu = str(workload.resource("requests", "cpu"))
    build.require(cpu.isdigit() and int(cpu) >= 1, item, f"{path}.requests.cpu", f"is {cpu}: slots follow it, so it must be whole cores")
    if "extract" in workload.kinds:
        each = setting(build, workload, "decode.memory_mb") * UNITS["Mi"]
        need = workload.slots * each + OWN_BYTES
        limit = quantity(workload.resource("limits", "memory") or 0)
        build.require(
            limit >= need, item, f"{path}.limits.memory",
            f"is {mebibytes(limit)}, but {workload.slots} slots that decode with decode.memory_mb each need {mebibytes(need)}",
        )


def probes(build, workload):
    for name, flag in PROBES.items():
        path = f"{workload.container_path}.{name}"
        probe = workload.container.get(name)
        if probe is None:
            build.fault(workload.item, path, "is missing")
            continue
        command = at(probe, "exec.command", [])
        build.require(
            command == ["jhalak-worker", "health", flag], workload.item, f"{path}.exec.command",
            f"must be [jhalak-worker, health, {flag}]: it reads the heartbeat file, and nothing listens",
        )
        build.require(probe.get("timeoutSeconds", 1) >= 5, workload.item, f"{path}.timeoutSeconds", "must be at least 5: starting a program on a busy node takes seconds")
        patience = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
        build.require(patience <= MOST_S[name], workload.item, f"{path}.failureThreshold", f"with periodSeconds gives {patience} s, more than {MOST_S[name]}: a worker that hangs is noticed too late")
        build.require(probe.get("initialDelaySeconds", 0) <= 30, workload.item, f"{path}.initialDelaySeconds", "must be at most 30: the startup probe waits for the start")
        build.require(probe.get("timeoutSeconds", 1) <= 60, workload.item, f"{path}.timeoutSeconds", "must be at most 60")
    start = workload.container.get("startupProbe", {})
    budget = start.get("periodSeconds", 10) * start.get("failureThreshold", 3)
    need = 300 if workload.resource("limits", "nvidia.com/gpu") else START_S
    build.require(budget >= need, workload.item, f"{workload.container_path}.startupProbe", f"allows {budget} s, and a start may take {need} s")
    live = workload.container.get("livenessProbe", {})
    patience = live.get("periodSeconds", 10) * live.get("failureThreshold", 3)
    build.require(patience >= 60, workload.item, f"{workload.container_path}.livenessProbe", f"kills after {patience} s: a busy node needs more than 60 s of patience")


def limits(build, workload):
    """A job is stopped by the worker before the broker gives it to another one, and a decode before its job."""
    item = workload.item
    job_s, decode_s = setting(build, workload, "worker.job_limit_ms") / 1000, setting(build, workload, "decode.wall_s")
    broker_s = setting(build, workload, "rabbitmq.consumer_timeout_ms") / 1000
    build.require(decode_s < job_s, item, "jhalak.toml: decode.wall_s", f"is {decode_s} s, which is not below worker.job_limit_ms ({job_s:.0f} s)")
    build.require(
        job_s <= 0.9 * broker_s, item, "jhalak.toml: worker.job_limit_ms",
        f"is {job_s:.0f} s, which is not well below the broker's consumer_timeout ({broker_s:.0f} s): it would deliver the job twice",
    )


def attempts(build, workload):
    """Crashes of nodes are not the fault of a trailer."""
    for key, least in (("worker.attempts", 3), ("worker.redeliveries", 5), ("rabbitmq.delivery_limit", 10)):
        value = workload.settings.get(key, least)
        build.require(isinstance(value, int) and value >= least, workload.item, f"jhalak.toml: {key}", f"is {value}: nodes that go away would quarantine innocent trailers; at least {least}")


    for key, least, most, default in (("rabbitmq.heartbeat_s", 5, 120, 30), ("worker.checkpoint_ms", 0, 600_000, 60_000)):
        value = workload.settings.get(key, default)
        build.require(isinstance(value, int) and least <= value <= most, workload.item, f"jhalak.toml: {key}", f"is {value}, not {least} to {most}: what a lost node or connection costs would be noticed late")


def gpu(build, workload):
    item, cards = workload.item, workload.resource("limits", "nvidia.com/gpu")
    provider = workload.settings.get("inference.provider", "cpu")
    is_cuda = provider in ("cuda", "tensorrt")
    if "extract" in workload.kinds:
        build.require(
            is_cuda == (cards is not None), item, f"{workload.container_path}.resources.limits.nvidia.com/gpu",
            f"is {cards}, but inference.provider is {provider}",
        )
        is_image = "jhalak-cuda" in workload.container.get("image", "")
        build.require(is_cuda == is_image, item, f"{workload.container_path}.image", f"inference.provider is {provider}, which {'needs' if is_cuda else 'does not use'} the CUDA image")
    if cards is not None:
        build.require(str(cards) == "1", item, f"{workload.container_path}.resources.limits.nvidia.com/gpu", f"is {cards}: a worker uses one GPU")
        keys = {t.get("key") for t in workload.pod.get("tolerations", [])}
        build.require("nvidia.com/gpu" in keys, item, f"{workload.path}.spec.tolerations", "lacks nvidia.com/gpu: GPU nodes refuse other pods")


def deployments(build):
    for workload in build.workloads:
        item = workload.item
        if item["kind"] != "Deployment":
            continue
        build.require(at(item, "spec.replicas", 1) >= 1, item, "spec.replicas", "is 0: nothing takes the jobs")
        build.require(at(item, "spec.strategy.type", "RollingUpdate") == "RollingUpdate", item, "spec.strategy.type", "must be RollingUpdate: all workers would stop at once")
        rolling = str(at(item, "spec.strategy.rollingUpdate.maxUnavailable", "25%"))
        share = int(rolling[:-1]) if rolling.endswith("%") and rolling[:-1].isdigit() else 0
        is_few = share <= 50 if rolling.endswith("%") else rolling in ("0", "1")
        build.require(is_few, item, "spec.strategy.rollingUpdate.maxUnavailable", f"is {rolling}: an update stops too many workers at once; at most 50%, or 1")
        chosen = at(item, "spec.selector.matchLabels", {})
        build.require(bool(chosen) and chosen.items() <= workload.labels.items(), item, "spec.selector.matchLabels", "does not select its own pods")
        others = [w.item["metadata"]["name"] for w in build.workloads if w is not workload and chosen.items() <= w.labels.items()]
        build.require(not others, item, "spec.selector.matchLabels", f"selects the pods of {', '.join(others)}, too")
        for number, spread in enumerate(workload.pod.get("topologySpreadConstraints", [])):
            counted = at(spread, "labelSelector.matchLabels", {})
            build.require(
                counted and counted.items() <= workload.labels.items() and not any(counted.items() <= w.labels.items() for w in build.workloads if w is not workload),
                item, f"{workload.path}.spec.topologySpreadConstraints[{number}].labelSelector", "does not count its own pods alone",
            )
        for flag in ("--until-idle", "--max-jobs", "--max-age"):
            build.require(
                workload.option(flag) is None, item, f"{workload.container_path}.args",
                f"{flag} ends the worker, and a Deployment starts it again for ever: it belongs to Jobs",
            )
        if workload.resource("limits", "nvidia.com/gpu"):
            rolling = at(item, "spec.strategy.rollingUpdate", {})
            build.require(
                str(rolling.get("maxSurge")) in ("0", "0%") and str(rolling.get("maxUnavailable", "0")) not in ("0", "0%"), item,
                "spec.strategy.rollingUpdate", "must have maxSurge 0 and maxUnavailable 1: a surge waits for a GPU that no node has to spare",
            )


def budgets(build):
    for item in build.of("PodDisruptionBudget"):
        chosen = at(item, "spec.selector.matchLabels", {})
        selected = [w for w in build.workloads if chosen and chosen.items() <= w.labels.items()]
        kinds = sorted(w.item["kind"] for w in selected)
        build.require(
            kinds == ["Deployment"], item, "spec.selector.matchLabels",
            f"selects the pods of {', '.join(kinds) or 'nothing'}, not of one Deployment: Jobs cannot have a budget like this",
        )
        build.require(
            at(item, "spec.unhealthyPodEvictionPolicy") == "AlwaysAllow", item, "spec.unhealthyPodEvictionPolicy",
            "must be AlwaysAllow: workers that cannot reach the broker would hold up the upgrade of their nodes",
        )
        most = str(at(item, "spec.maxUnavailable", ""))
        share = int(most[:-1]) if most.endswith("%") and most[:-1].isdigit() else 0
        build.require(
            10 <= share <= 50, item, "spec.maxUnavailable",
            f"is {most or 'not set'}: with a number the upgrade of a node pool takes one worker after the other; set 10% to 50%",
        )
    covered = [i["metadata"]["name"] for i in build.of("PodDisruptionBudget")]
    for workload in build.workloads:
        if workload.item["kind"] == "Deployment" and workload.is_worker:
            build.require(workload.item["metadata"]["name"] in covered, workload.item, "metadata.name", "has no PodDisruptionBudget of its name")
