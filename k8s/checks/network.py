"""Who may connect to whom."""

import re
from urllib.parse import urlparse

from checks.build import at

OWN = {"app.kubernetes.io/name": "jhalak"}
# DNS, the broker, and S3 unless s3.endpoint says otherwise.
PAGE = OWN | {"app.kubernetes.io/component": "serve"}
REQUIRED = {"UDP": {53}, "TCP": {53, 5671, 5672}}


def check(build):
    if not build.workloads:
        return
    policies = build.of("NetworkPolicy")
    for item in policies:
        chosen = at(item, "spec.podSelector.matchLabels", {})
        is_of_page = item["metadata"]["name"] == "jhalak-serve" and chosen == PAGE
        build.require(
            (chosen == OWN or is_of_page) and "matchExpressions" not in at(item, "spec.podSelector", {}), item, "spec.podSelector.matchLabels",
            f"must be {OWN} and nothing else: other pods of the build would have no limit",
        )
        build.require(
            OWN.items() <= chosen.items(), item, "spec.podSelector",
            "must select app.kubernetes.io/name: jhalak: an empty one closes every pod of the namespace, also a broker's or a store's",
        )
    for direction in ("Ingress", "Egress"):
        chosen = [item for item in policies if direction in at(item, "spec.policyTypes", [])]
        if not chosen:
            files = ", ".join(build.sources.of("NetworkPolicy", f"jhalak-{direction.lower()}"))
            build.faults.append(f"{build.folder}: NetworkPolicy ({files}): spec.policyTypes: no policy limits {direction}")
    for workload in build.workloads:
        own = workload.labels.items() >= OWN.items()
        build.require(own, workload.item, f"{workload.path}.metadata.labels", "lacks app.kubernetes.io/name: jhalak, by which the NetworkPolicies select it")
    egress(build, policies)
    ingress(build, policies)


def egress(build, policies):
    ports = {"TCP": set(), "UDP": set()}
    for item in policies:
        for number, rule in enumerate(at(item, "spec.egress") or []):
            path = f"spec.egress[{number}].ports"
            build.require(rule.get("ports"), item, path, "is not set: a worker reads files of strangers, and could connect anywhere")
            for port in rule.get("ports") or []:
                build.require(isinstance(port.get("port"), int) and "endPort" not in port, item, path, "must be single ports, by number")
                ports.setdefault(port.get("protocol", "TCP"), set()).add(port.get("port"))
    stores = {store_port(w.settings.get("s3.endpoint")) for w in build.workloads}
    collectors = {port for w in build.workloads for port in collector_ports(w.environment)}
    needed = {"UDP": {53}, "TCP": {53, 443, 5671, 5672} | stores | collectors}
    for item in policies:
        for number, rule in enumerate(at(item, "spec.egress") or []):
            for port in rule.get("ports") or []:
                protocol = port.get("protocol", "TCP")
                build.require(
                    port.get("port") in needed.get(protocol, set()), item, f"spec.egress[{number}].ports",
                    f"opens {protocol} {port.get('port')}, which nothing here uses: names, the broker, the store, the collector",
                )
    for item in policies:
        if "Egress" not in at(item, "spec.policyTypes", []):
            continue
        for protocol, wanted in REQUIRED.items():
            missing = wanted - ports[protocol]
            build.require(not missing, item, "spec.egress", f"does not allow {protocol} {', '.join(map(str, sorted(missing)))}: names and the broker (amqp, amqps) need them")
        for port in sorted({store_port(w.settings.get("s3.endpoint")) for w in build.workloads}):
            build.require(port in ports["TCP"], item, "spec.egress", f"does not allow TCP {port}, where the store listens (JHALAK__S3__ENDPOINT)")
        for port in sorted({port for w in build.workloads for port in collector_ports(w.environment)}):
            build.require(port in ports["TCP"], item, "spec.egress", f"does not allow TCP {port}, where the collector of traces listens (OTEL_EXPORTER_OTLP_ENDPOINT)")


def is_narrow(source):
    """Whether a source of connections names somebody: empty selectors and the whole of a network name everybody."""
    selectors = [source[name] for name in ("namespaceSelector", "podSelector") if name in source]
    named = [bool(at(s or {}, "matchLabels")) or any(e.get("operator") == "In" for e in at(s or {}, "matchExpressions", [])) for s in selectors]
    if "namespaceSelector" in source and not named[0]:
        return False
    prefix = str(at(source, "ipBlock.cidr", "/")).rpartition("/")[2]
    return any(named) or (prefix.isdigit() and int(prefix) >= 8)


def store_port(endpoint):
    parsed = urlparse(str(endpoint or "https://s3.amazonaws.com"))
    return parsed.port or (443 if parsed.scheme == "https" else 80)


def collector_ports(environment):
    endpoints = [environment.get(f"OTEL_EXPORTER_OTLP_{which}ENDPOINT") for which in ("", "TRACES_")]
    return {store_port(endpoint) for endpoint in endpoints if endpoint}


def ingress(build, policies):
    """Only the port of the metrics may be open, and only where it is served and asked."""
    served = {p.get("containerPort") for w in build.workloads for p in w.container.get("ports", [])}
    listen = {str(w.settings.get("telemetry.listen", "")) for w in build.workloads}
    settings = {int(m[1]) for m in (re.search(r":(\d+)$", text) for text in listen) if m}
    for workload in build.workloads:
        for port in workload.container.get("ports", []):
            if workload.is_page and any(f":{port.get('containerPort')}" in text for text in [*workload.args, *workload.environment.values()]):
                continue
            build.require(
                port.get("containerPort") in settings, workload.item, f"{workload.container_path}.ports.{port.get('name')}",
                f"{port.get('containerPort')} is not the port of telemetry.listen ({', '.join(sorted(listen - {''})) or 'not set'})",
            )
    for item in policies:
        for number, rule in enumerate(at(item, "spec.ingress") or []):
            path = f"spec.ingress[{number}]"
            build.require(rule.get("from"), item, f"{path}.from", "is not set: anybody may connect")
            for source in rule.get("from") or []:
                build.require(is_narrow(source), item, f"{path}.from", "names everybody: a namespace or pods by their labels, or a network of your own")
            allowed = {p.get("port") for p in rule.get("ports") or []}
            names = {p.get("name") for w in build.workloads for p in w.container.get("ports", [])}
            build.require(allowed and allowed <= served | names, item, f"{path}.ports", f"{sorted(map(str, allowed))} are not ports of a container ({sorted(served)})")
