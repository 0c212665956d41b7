"""Kinds, fields, words and quantities: Kubernetes' schema for its own kinds, tables for those of operators."""

import functools
import json
import os
import re
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

from checks.build import QUANTITY, walk

# The oldest Kubernetes that has every field used here as stable, and the newest whose schema is at hand.
VERSIONS = ("1.31.0", "1.37.0")

KINDS = {
    "Namespace": "v1", "ServiceAccount": "v1", "ConfigMap": "v1", "ResourceQuota": "v1", "LimitRange": "v1", "Service": "v1",
    "CronJob": "batch/v1", "Job": "batch/v1", "Deployment": "apps/v1",
    "PodDisruptionBudget": "policy/v1", "NetworkPolicy": "networking.k8s.io/v1",
    "PriorityClass": "scheduling.k8s.io/v1",
    "ScaledJob": "keda.sh/v1alpha1", "TriggerAuthentication": "keda.sh/v1alpha1",
    "PodMonitor": "monitoring.coreos.com/v1", "PrometheusRule": "monitoring.coreos.com/v1",
    "RabbitmqCluster": "rabbitmq.com/v1beta1",
    "LocalQueue": "kueue.x-k8s.io/v1beta1", "ClusterQueue": "kueue.x-k8s.io/v1beta1",
    "ResourceFlavor": "kueue.x-k8s.io/v1beta1",
}

# The words that are allowed for these fields, wherever they stand.
WORDS = {
    "concurrencyPolicy": {"Allow", "Forbid", "Replace"},
    "restartPolicy": {"Always", "OnFailure", "Never"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "preemptionPolicy": {"Never", "PreemptLowerPriority"},
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
    "unhealthyPodEvictionPolicy": {"AlwaysAllow", "IfHealthyBudget"},
    "policyTypes": {"Ingress", "Egress"},
    "protocol": {"TCP", "UDP", "SCTP", "http", "amqp", "auto"},
    "action": {"FailJob", "FailIndex", "Ignore", "Count"},
    "operator": {"In", "NotIn", "Exists", "DoesNotExist", "Equal", "Gt", "Lt"},
    "effect": {"NoSchedule", "PreferNoSchedule", "NoExecute"},
    "pod-security.kubernetes.io/enforce": {"privileged", "baseline", "restricted"},
    "pod-security.kubernetes.io/warn": {"privileged", "baseline", "restricted"},
}

ANY = object()
TRIGGER_METADATA = {
    name: str for name in (
        "activationValue", "excludeUnacknowledged", "host", "mode", "operation", "pageSize", "protocol", "queueName",
        "timeout", "unsafeSsl", "useRegex", "value", "vhostName",
    )
}
# The fields of operators' kinds that are used here, with their types: an unknown field is ignored by the API server or
# refused, and does in no case what was meant.
FIELDS = {
    "ScaledJob": {
        "jobTargetRef": ANY, "pollingInterval": int, "minReplicaCount": int, "maxReplicaCount": int,
        "successfulJobsHistoryLimit": int, "failedJobsHistoryLimit": int,
        "rollout": {"strategy": ("gradual", "immediate"), "propagationPolicy": ("foreground", "background")},
        "scalingStrategy": {
            "strategy": ("default", "custom", "accurate", "eager"), "customScalingQueueLengthDeduction": int,
            "customScalingRunningJobPercentage": str, "pendingPodConditions": [str],
            "multipleScalersCalculation": ("min", "avg", "sum", "max"),
        },
        "triggers": [{
            "type": str, "name": str, "useCachedMetrics": bool, "metricType": str, "metadata": TRIGGER_METADATA,
            "authenticationRef": {"name": str, "kind": ("TriggerAuthentication", "ClusterTriggerAuthentication")},
        }],
    },
    "TriggerAuthentication": {"secretTargetRef": [{"parameter": str, "name": str, "key": str}]},
    "PodMonitor": {
        "selector": {"matchLabels": ANY, "matchExpressions": ANY},
        "podMetricsEndpoints": [{
            "port": str, "path": str, "interval": str, "scrapeTimeout": str, "scheme": ("http", "https"),
            "honorLabels": bool, "relabelings": ANY, "metricRelabelings": ANY,
        }],
        "podTargetLabels": [str], "sampleLimit": int, "namespaceSelector": ANY, "jobLabel": str,
    },
    "PrometheusRule": {
        "groups": [{
            "name": str, "interval": str,
            "rules": [{"alert": str, "record": str, "expr": ANY, "for": str, "labels": ANY, "annotations": ANY}],
        }],
    },
    "RabbitmqCluster": {
        "replicas": int, "image": str, "persistence": {"storageClassName": str, "storage": str}, "resources": ANY,
        "rabbitmq": {"additionalConfig": str, "advancedConfig": str, "envConfig": str, "additionalPlugins": [str]},
        "tls": {"secretName": str, "caSecretName": str, "disableNonTLSListeners": bool}, "override": ANY,
        "service": ANY, "affinity": ANY, "tolerations": ANY, "terminationGracePeriodSeconds": int,
    },
    "LocalQueue": {"clusterQueue": str, "stopPolicy": ("None", "Hold", "HoldAndDrain")},
    "ResourceFlavor": {"nodeLabels": ANY, "nodeTaints": ANY, "tolerations": ANY},
    "ClusterQueue": {
        "namespaceSelector": ANY, "cohort": str, "queueingStrategy": ("BestEffortFIFO", "StrictFIFO"),
        "stopPolicy": ("None", "Hold", "HoldAndDrain"),
        "preemption": {
            "withinClusterQueue": ("Never", "LowerPriority", "LowerOrNewerEqualPriority"),
            "reclaimWithinCohort": ("Never", "LowerPriority", "Any"),
        },
        "resourceGroups": [{
            "coveredResources": [str],
            "flavors": [{
                "name": str,
                "resources": [{"name": str, "nominalQuota": ANY, "borrowingLimit": ANY, "lendingLimit": ANY}],
            }],
        }],
    },
}
# A kind whose specification may be absent.
MAY_BE_EMPTY = {"ResourceFlavor"}


def misfits(value, shape, path):
    """Where a value does not have the shape: path and reason."""
    if shape is ANY:
        return
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield path, "is not a mapping"
            return
        for key, inner in value.items():
            if key in shape:
                yield from misfits(inner, shape[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}", f"is not a field; there are {', '.join(sorted(shape))}"
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield path, "is not a list"
            return
        for number, inner in enumerate(value):
            yield from misfits(inner, shape[0], f"{path}[{number}]")
    elif isinstance(shape, tuple):
        if value not in shape:
            yield path, f"is {value!r}, not one of {', '.join(shape)}"
    elif not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
        yield path, f"is {value!r}, which is not of type {shape.__name__}"


def check(build):
    for item in build.items:
        kind, version = item["kind"], item["apiVersion"]
        if KINDS.get(kind) != version:
            build.fault(item, "apiVersion", f"{version} {kind} is not among the kinds that are checked")
            continue
        if kind in FIELDS:
            if "spec" in item or kind not in MAY_BE_EMPTY:
                for path, why in misfits(item.get("spec"), FIELDS[kind], "spec"):
                    build.fault(item, path, why)
            crd(build, item)
        else:
            kubernetes(build, item)
        if kind == "ScaledJob":
            # What KEDA makes of it: Kubernetes has a schema for that.
            job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": item["metadata"],
                   "spec": item.get("spec", {}).get("jobTargetRef", {})}
            kubernetes(build, job, item, "spec.jobTargetRef")
        words(build, item)


def kubernetes(build, item, shown=None, prefix=""):
    """Checks an object against the schema of each version, where no unknown field is let through."""
    for version in VERSIONS:
        fault = misfit(json.dumps(item, sort_keys=True), version)
        if fault:
            path, why = fault
            path = ".".join(part for part in (prefix, path.removeprefix("spec.") if prefix else path) if part)
            build.fault(shown or item, path or "the object", f"{why} (Kubernetes {version})")
            return


@functools.lru_cache(maxsize=None)
def misfit(text, version):
    """Where an object, as JSON, does not fit the schema of a version: path and reason; None where it does."""
    try:
        kubernetes_validate.validate(json.loads(text), version, strict=True)
    except kubernetes_validate.ValidationError as error:
        path = getattr(error, "absolute_path", None) or getattr(error, "path", [])
        return ".".join(str(part) for part in path), error.message
    return None


@functools.lru_cache(maxsize=None)
def operator_schema(folder, kind):
    """KEDA's own schema, from the folder that K8S_SCHEMAS names."""
    path = Path(folder) / f"keda.sh_{kind.lower()}s.yaml"
    if not path.is_file():
        return None
    definition = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    return jsonschema.Draft202012Validator(strict(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]))


def strict(schema):
    """The schema with unknown fields refused wherever fields are listed."""
    if isinstance(schema, dict):
        schema = {key: strict(inner) for key, inner in schema.items()}
        if "properties" in schema and schema.get("type") == "object" and "metadata" not in schema["properties"]:
            schema.setdefault("additionalProperties", False)
        if schema.get("x-kubernetes-int-or-string"):
            schema.pop("type", None)
            schema.pop("anyOf", None)
    return schema


def crd(build, item):
    folder = os.environ.get("K8S_SCHEMAS")
    schema = operator_schema(folder, item["kind"]) if folder else None
    for error in schema.iter_errors(item) if schema else []:
        path = ".".join(str(part) for part in error.absolute_path) or "the object"
        build.fault(item, path, f"{error.message[:200]} (KEDA's schema)")


def words(build, item):
    for key, value, path in walk(item):
        for word in value if isinstance(value, list) else [value]:
            if key in WORDS and isinstance(word, str):
                build.require(word in WORDS[key], item, path, f"is {word!r}, not one of {', '.join(sorted(WORDS[key]))}")
        if key in ("requests", "limits", "hard") and isinstance(value, dict):
            for name, amount in value.items():
                build.require(QUANTITY.match(str(amount)), item, f"{path}.{name}", f"{amount!r} is not a quantity of whole numbers (Ki, Mi, Gi)")
        if isinstance(value, str):
            has_password = re.search(r"://[^/\s]*:[^/\s]*@", value)
            build.require(not has_password, item, path, "holds a password: refer to a Secret")
