"""KEDA: workers that end by themselves, and a trigger that counts what they hold."""

from checks.build import at, quantity

PARAMETERS = {"host", "username", "password"}


def check(build):
    authentications = {i["metadata"]["name"]: i for i in build.of("TriggerAuthentication")}
    for item in authentications.values():
        authentication(build, item)
    for workload in build.workloads:
        if workload.item["kind"] == "ScaledJob":
            scaled_job(build, workload)
            for number, trigger in enumerate(at(workload.item, "spec.triggers", [])):
                check_trigger(build, workload, trigger, f"spec.triggers[{number}]", authentications)
    quotas(build)


def scaled_job(build, workload):
    item, spec = workload.item, workload.item["spec"]
    idle = workload.option("--until-idle")
    build.require(
        idle is not None and idle.isdigit(), item, f"{workload.container_path}.args",
        "lacks --until-idle SECONDS: the worker would never end, and its Job neither",
    )
    polling = spec.get("pollingInterval", 30)
    idle = int(idle) if idle and idle.isdigit() else 0
    build.require(
        polling <= idle <= 600, item, f"{workload.container_path}.args",
        f"--until-idle {idle} must be between pollingInterval ({polling} s), or workers end while the next jobs are sent, and 600 s",
    )
    build.require(polling <= 60, item, "spec.pollingInterval", f"is {polling}: workers double at each poll, so a run waits long for them")
    build.require(
        at(spec, "rollout.strategy") == "gradual", item, "spec.rollout.strategy",
        "must be gradual: the other one deletes running Jobs when this object changes, or KEDA is restarted",
    )
    build.require(
        at(spec, "scalingStrategy.strategy") == "default", item, "spec.scalingStrategy.strategy",
        "must be default: the others fit Jobs that take one message each, and start too many of these",
    )
    for name in ("customScalingQueueLengthDeduction", "customScalingRunningJobPercentage"):
        build.require(name not in spec.get("scalingStrategy", {}), item, f"spec.scalingStrategy.{name}", "belongs to the strategy custom")
    least, most = spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
    build.require(0 <= least <= most and most >= 1, item, "spec.maxReplicaCount", f"{least} to {most} Jobs is not a range")
    build.require(least == 0, item, "spec.minReplicaCount", f"is {least}: idle workers end, and would be started again each minute")
    build.require("maxReplicaCount" in spec, item, "spec.maxReplicaCount", "is not set: KEDA would start up to 100")
    for name, limit in (("successfulJobsHistoryLimit", 20), ("failedJobsHistoryLimit", 50)):
        build.require(1 <= spec.get(name, 100) <= limit, item, f"spec.{name}", f"must be set, 1 to {limit}: KEDA keeps 100 ended Jobs otherwise, and with 0 their logs are gone")
    window = workload.settings.get("coordinator.window", 2_000)
    build.require(
        window >= 2 * workload.slots * most, item, "jhalak.toml: coordinator.window",
        f"is {window}: it holds the messages of {most} workers back, so that they never start",
    )
    job, path = workload.job, workload.job_path
    build.require(workload.pod.get("restartPolicy") == "Never", item, f"{workload.path}.spec.restartPolicy", "must be Never: podFailurePolicy needs it")
    build.require(
        "activeDeadlineSeconds" not in job and "activeDeadlineSeconds" not in workload.pod, item, f"{path}.activeDeadlineSeconds",
        "kills a busy worker: use --max-age, after which it finishes its jobs",
    )
    build.require(job.get("backoffLimit", 6) >= 3, item, f"{path}.backoffLimit", "must be at least 3: workers crash with bad nodes")
    build.require("ttlSecondsAfterFinished" in job, item, f"{path}.ttlSecondsAfterFinished", "is not set: ended Jobs stay for ever")
    build.require(job.get("ttlSecondsAfterFinished", 3600) >= 3600, item, f"{path}.ttlSecondsAfterFinished", "is less than an hour: nobody has read its log then")
    age = workload.option("--max-age")
    build.require(age is None or (age.isdigit() and int(age) >= 600), item, f"{workload.container_path}.args", f"--max-age {age} must be at least 600 s: workers would start all the time")
    build.require(not job.get("suspend"), item, f"{path}.suspend", "must not be set: no worker would ever start")
    for name in ("parallelism", "completions"):
        build.require(job.get(name, 1) == 1, item, f"{path}.{name}", "must be 1: each Job is one worker")
    notes = at(workload.template, "metadata.annotations", {})
    for name, value in (("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), ("karpenter.sh/do-not-disrupt", "true")):
        build.require(notes.get(name) == value, item, f"{workload.path}.metadata.annotations.{name}", f"must be \"{value}\": a busy worker would be moved to save a node")


def check_trigger(build, workload, trigger, path, authentications):
    item, meta = workload.item, trigger.get("metadata", {})
    build.require(trigger.get("type") == "rabbitmq", item, f"{path}.type", "must be rabbitmq")
    build.require(
        meta.get("protocol") == "http", item, f"{path}.metadata.protocol",
        "must be http: over amqp only waiting messages are counted, not those that workers hold",
    )
    build.require(meta.get("mode") == "QueueLength", item, f"{path}.metadata.mode", "must be QueueLength")
    build.require(
        str(meta.get("excludeUnacknowledged", "false")).lower() == "false", item, f"{path}.metadata.excludeUnacknowledged",
        "must not be set: messages that workers hold must be counted",
    )
    for name in ("host", "useRegex", "operation", "unsafeSsl", "activationValue"):
        build.require(name not in meta, item, f"{path}.metadata.{name}", "is not expected: one queue, and its address from the Secret")
    kinds = workload.kinds
    expected = f"{workload.settings.get('rabbitmq.prefix')}.work.{kinds[0]}"
    build.require(
        len(kinds) == 1 and meta.get("queueName") == expected, item, f"{path}.metadata.queueName",
        f"is {meta.get('queueName')}, but workers of --kinds {','.join(kinds)} take jobs from {expected} (rabbitmq.prefix, --kinds)",
    )
    value = str(meta.get("value", ""))
    build.require(
        value.isdigit() and 1 <= int(value) <= workload.slots, item, f"{path}.metadata.value",
        f"is {value or 'not set'}, and a worker has {workload.slots} slots: a run keeps two messages for each slot on the"
        " queue, so with more than one message per slot and worker no further worker would ever start",
    )
    name = at(trigger, "authenticationRef.name")
    build.require(name in authentications, item, f"{path}.authenticationRef.name", f"{name} is not a TriggerAuthentication of the build")


def authentication(build, item):
    found = {entry["parameter"]: entry for entry in at(item, "spec.secretTargetRef", [])}
    missing = PARAMETERS - found.keys()
    build.require(
        not missing, item, "spec.secretTargetRef",
        f"lacks {', '.join(sorted(missing))}: a password inside the address breaks with special characters",
    )
    has_authority = any("rabbitmq.ca_file" in w.settings for w in build.workloads)
    build.require(
        not has_authority or {"tls", "ca"} <= found.keys(), item, "spec.secretTargetRef",
        "lacks tls and ca, but rabbitmq.ca_file is set: add components/ca-keda after components/keda",
    )


def quotas(build):
    """A quota must have room for all workers that KEDA may start, and for the coordinators."""
    for item in build.of("LimitRange"):
        ranges(build, item)
    for item in build.of("ResourceQuota"):
        hard = at(item, "spec.hard", {})
        need = {name: 0 for name in ("pods", "requests.cpu", "requests.memory", "limits.memory", "requests.ephemeral-storage")}
        for workload in build.workloads:
            kind = workload.item["kind"]
            count = {"ScaledJob": at(workload.item, "spec.maxReplicaCount", 1), "Deployment": at(workload.item, "spec.replicas", 1)}.get(kind, 1)
            need["pods"] += count
            for name in need:
                which, _, resource = name.partition(".")
                if resource:
                    need[name] += count * quantity(workload.resource(which, resource) or 0)
        most = ", ".join(f"{w.item['metadata']['name']} (up to {at(w.item, 'spec.maxReplicaCount')})" for w in build.workloads if w.item["kind"] == "ScaledJob")
        most = f"{most or 'all workers'} and the coordinators"
        for name, amount in need.items():
            if name in hard:
                build.require(
                    quantity(hard[name]) >= amount, item, f"spec.hard.{name}",
                    f"is {hard[name]}, but {most} need {amount / (1 << 30 if amount > 1 << 30 else 1):.0f}{'Gi' if amount > 1 << 30 else ''}: the last would never start",
                )


def ranges(build, item):
    """No container of the build may be larger than a LimitRange allows: its pod would be refused."""
    for number, entry in enumerate(at(item, "spec.limits", [])):
        for resource, most in entry.get("max", {}).items():
            for workload in build.workloads:
                limit = workload.resource("limits", resource)
                build.require(
                    limit is None or quantity(limit) <= quantity(most), item, f"spec.limits[{number}].max.{resource}",
                    f"is {most}, and {workload.item['metadata']['name']} has a limit of {limit}: its pods would be refused",
                )
