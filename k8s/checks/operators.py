"""Prometheus and Kueue: what their objects refer to."""

from checks.build import at

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def check(build):
    monitors(build)
    queues(build)
    flavors(build)


def monitors(build):
    """Prometheus asks pods that exist, at a port that they have."""
    for item in build.of("PodMonitor"):
        chosen = at(item, "spec.selector.matchLabels", {})
        pods = [w for w in build.workloads if chosen and chosen.items() <= w.labels.items()]
        build.require(pods, item, "spec.selector.matchLabels", "selects no pods")
        ports = [{p.get("name") for p in w.container.get("ports", [])} for w in pods]
        for number, endpoint in enumerate(at(item, "spec.podMetricsEndpoints", [])):
            name = endpoint.get("port")
            build.require(any(name in of for of in ports), item, f"spec.podMetricsEndpoints[{number}].port", f"{name} is not a port of these pods")
            build.require(endpoint.get("path", "/metrics") == "/metrics", item, f"spec.podMetricsEndpoints[{number}].path", "must be /metrics")
        opened = [rule for policy in build.of("NetworkPolicy") for rule in at(policy, "spec.ingress") or []]
        build.require(opened, item, "spec.podMetricsEndpoints", "no NetworkPolicy lets Prometheus in")


def queues(build):
    """All Jobs of the build wait in one queue, or none does."""
    names = {i["metadata"]["name"] for i in build.of("LocalQueue")}
    if not names:
        return
    for workload in build.workloads:
        kind = workload.item["kind"]
        if kind not in ("ScaledJob", "CronJob"):
            continue
        path = "metadata.labels" if kind == "ScaledJob" else "spec.jobTemplate.metadata.labels"
        name = at(workload.item, path, {}).get(QUEUE_LABEL)
        build.require(name in names, workload.item, f"{path}.{QUEUE_LABEL}", f"is {name or 'not set'}, not a LocalQueue of the build ({', '.join(sorted(names))})")


def flavors(build):
    """A quota covers what the pods request."""
    present = {i["metadata"]["name"] for i in build.of("ResourceFlavor")}
    for item in build.of("ClusterQueue"):
        for number, group in enumerate(at(item, "spec.resourceGroups", [])):
            path = f"spec.resourceGroups[{number}]"
            covered = set(group.get("coveredResources", []))
            missing = {"cpu", "memory", "ephemeral-storage"} - covered
            build.require(not missing, item, f"{path}.coveredResources", f"lacks {', '.join(sorted(missing))}, which every pod requests: Kueue would admit none")
            for flavor in group.get("flavors", []):
                build.require(flavor.get("name") in present, item, f"{path}.flavors", f"{flavor.get('name')} is not a ResourceFlavor of the build")
                named = {resource.get("name") for resource in flavor.get("resources", [])}
                build.require(named == covered, item, f"{path}.flavors", f"has quotas of {', '.join(sorted(named))}, not of the covered resources")
