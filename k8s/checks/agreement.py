"""What all pods of a build have in common: one version of the program, one store, one broker's prefix."""

import re
from collections import Counter

# A version: numbers with dots, and what may follow them.
VERSION = re.compile(r"v?\d+\.\d+(\.\d+)?([-+.][0-9A-Za-z.-]+)?")
SHARED = ("store", "rabbitmq.prefix", "s3.endpoint", "rabbitmq.consumer_timeout_ms")


def check(build):
    pods = [w for w in build.workloads if w.is_worker or w.is_coordinator or w.is_page]
    images(build, pods)
    settings(build, pods)


def parts(image):
    """The name of an image without its registry, and its tag or digest."""
    name, at_sign, digest = image.partition("@")
    if at_sign:
        return name.rpartition("/")[2].partition(":")[0], digest
    name, _, tag = name.rpartition("/")[2].partition(":")
    return name, tag


def images(build, pods):
    """Coordinators plan for workers of their own version; the CUDA image is built of the same programs."""
    known = {}
    for is_cuda in (False, True):
        found = [w.container.get("image", "") for w in pods if parts(w.container.get("image", ""))[0].endswith("-cuda") == is_cuda]
        known |= {is_cuda: Counter(found).most_common(1)[0][0]} if found else {}
    for workload in pods:
        image, path = workload.container.get("image", ""), f"{workload.container_path}.image"
        name, version = parts(image)
        build.require(version.startswith("sha256:") or VERSION.fullmatch(version), workload.item, path, f"{image}: {version or 'no tag'} is not a version such as 0.1.0, nor a digest: another day it names another program")
        is_cuda = name.endswith("-cuda")
        build.require(known[is_cuda] == image, workload.item, path, f"is {image}, and that of other pods is {known[is_cuda]}: workers run jobs of their own version only")
    versions = {parts(image)[1] for image in known.values()}
    tags = {version for version in versions if not version.startswith("sha256:")}
    for workload in pods:
        build.require(len(tags) <= 1, workload.item, f"{workload.container_path}.image", f"{', '.join(sorted(known.values()))} are of several versions: workers run jobs of their own version only")


def settings(build, pods):
    """A pod that looks elsewhere waits for ever, and says nothing."""
    for key in SHARED:
        found = {str(w.settings.get(key)) for w in pods}
        for workload in pods:
            build.require(len(found) <= 1, workload.item, f"jhalak.toml or JHALAK__{key.replace('.', '__').upper()}", f"{key} is not the same in all pods: {', '.join(sorted(found))}; set it in jhalak-places")
