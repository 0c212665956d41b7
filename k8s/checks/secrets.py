"""Secrets: nothing of them stands in a manifest, and a changed one reaches a running pod."""

from checks.build import at

WORDS = ("PASSWORD", "SECRET", "TOKEN", "ACCESS_KEY", "HEADERS", "API_KEY", "CREDENTIAL")
# Variables of AWS that are not secrets.
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


def check(build):
    for item in build.of("ConfigMap"):
        for name in item.get("data", {}):
            build.require(not is_secret(name), item, f"data.{name}", "looks like a secret: it belongs into a Secret that is mounted")
            build.require(name != "JHALAK_SLOT", item, f"data.{name}", "gives the runs of all coordinators one slot")
    for workload in build.workloads:
        variables(build, workload)
        arguments(build, workload)
        mounts(build, workload)


def is_secret(name):
    """Whether a variable of this name holds a secret, or access to one, and not the name of a file."""
    name = name.upper()
    if name.endswith("_FILE") or name in REGIONS:
        return False
    return name.startswith("AWS_") or any(word in name for word in WORDS)


def variables(build, workload):
    for variable in workload.container.get("env", []):
        name = variable["name"]
        build.require(
            not is_secret(name) or "value" not in variable, workload.item, f"{workload.container_path}.env.{name}",
            "looks like a secret and stands in the manifest: mount a Secret and name the file",
        )


def arguments(build, workload):
    path = f"{workload.container_path}.args"
    for word in workload.args:
        build.require(
            word != "--queue" and not word.startswith(("--queue=", "queue=", "--set=queue=")), workload.item, path,
            "name the queue, whose URL holds a password that the process list shows: JHALAK__QUEUE_FILE",
        )
        name = word.lstrip("-").partition("=")[0].replace("-", "_")
        has_value = not word.startswith("--") or "=" in word
        build.require(not (has_value and "=" in word and is_secret(name)), workload.item, path, f"{name} looks like a secret: the process list shows it")


def mounts(build, workload):
    volumes = {v["name"]: v for v in workload.pod.get("volumes", [])}
    for volume in volumes.values():
        for kind in ("secret", "configMap"):
            build.require(
                at(volume, f"{kind}.optional") is not True, workload.item, f"{workload.path}.spec.volumes.{volume['name']}.{kind}.optional",
                "must not be true: a pod would start without it, and fail later",
            )
    for source in workload.container.get("envFrom", []):
        build.require(at(source, "configMapRef.optional") is not True, workload.item, f"{workload.container_path}.envFrom.optional", "must not be true: a pod would start without its store")
    for mount in workload.container.get("volumeMounts", []):
        build.require(
            "subPath" not in mount and "subPathExpr" not in mount, workload.item, f"{workload.container_path}.volumeMounts.{mount['mountPath']}.subPath",
            "must not be set: what is mounted by subPath never changes, so that a rotated secret does not arrive",
        )
