"""The example broker: what the workers' settings say of it."""

import re
import tomllib
from pathlib import Path

from checks.build import at

SETTINGS = Path(__file__).resolve().parents[1] / "base/jhalak.toml"


def check(build, settings=SETTINGS):
    for item in build.of("RabbitmqCluster"):
        replicas = at(item, "spec.replicas", 1)
        build.require(replicas >= 3 and replicas % 2 == 1, item, "spec.replicas", f"is {replicas}: the work queues are quorum queues, which need 3 or 5 nodes")
        build.require(at(item, "spec.persistence.storage"), item, "spec.persistence.storage", "is not set: messages would be lost with a pod")
        build.require(at(item, "spec.tls.secretName"), item, "spec.tls.secretName", "is not set: passwords would cross the network in the clear")
        build.require(at(item, "spec.tls.disableNonTLSListeners") is True, item, "spec.tls.disableNonTLSListeners", "must be true: passwords would cross the network in the clear")
        text = at(item, "spec.rabbitmq.additionalConfig", "")
        match = re.search(r"^consumer_timeout\s*=\s*(\d+)\s*$", text, re.MULTILINE)
        expected = tomllib.loads(Path(settings).read_text()).get("rabbitmq", {}).get("consumer_timeout_ms")
        build.require(
            match is not None and int(match[1]) == expected, item, "spec.rabbitmq.additionalConfig: consumer_timeout",
            f"is {match[1] if match else 'not set'}, but rabbitmq.consumer_timeout_ms of base/jhalak.toml is {expected}",
        )
