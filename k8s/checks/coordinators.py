"""Coordinators: the nightly run, one-off runs, backfills and reprocessing."""

import re
import zoneinfo

from checks.build import at, quantity

# Empty on a machine without tzdata: then no zone is refused.
ZONES = zoneinfo.available_timezones()

JOB_NAME = "metadata.labels['batch.kubernetes.io/job-name']"
# A table of 100,000 trailers for each of two kinds of embeddings, 512 MB each, and as much again while it is written.
SCRATCH_BYTES = 2 << 30
# A night's run of new trailers takes hours.
LEAST_NIGHT_S = 14_400
# How long a broker may be away that is restarted node by node.
PATIENCE_S = 900


# Flags of `jhalak submit` that a person may use and a pod must not.
NOT_IN_PODS = {
    "--detach": "leaves the coordinator in the background, where it ends with its pod",
    "--dry-run": "starts nothing",
    "--accept-existing": "takes a run of other settings for this one, in silence",
    "--resume": "undoes what a person cancelled",
}


def backoff_s(limit):
    """The time between the tries of a Job: 10 s, doubled each time, at most 6 minutes."""
    return sum(min(10 * 2**attempt, 360) for attempt in range(limit))


def is_schedule(text):
    """Whether a text is a schedule of five fields in their ranges, with lists, ranges and steps."""
    ranges = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    fields = text.split()
    return len(fields) == 5 and all(is_field(part, *limits) for field, limits in zip(fields, ranges) for part in field.split(","))


def is_field(part, least, most):
    match = re.fullmatch(r"(\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
    if not match:
        return False
    first, last, step = (int(n) if n else None for n in match.group(2, 3, 4))
    return all(n is None or least <= n <= most for n in (first, last)) and (last is None or first <= last) and step != 0


def check(build):
    for workload in build.workloads:
        if not workload.is_coordinator:
            continue
        job(build, workload)
        if workload.item["kind"] == "CronJob":
            schedule(build, workload)
        slots(build, workload)
        scratch(build, workload)


def is_template(workload):
    return at(workload.item, "spec.suspend") is True


def job(build, workload):
    item, spec, path = workload.item, workload.job, workload.job_path
    build.require(workload.pod.get("restartPolicy") == "Never", item, f"{workload.path}.spec.restartPolicy", "must be Never: podFailurePolicy needs it")
    build.require("backoffLimit" in spec, item, f"{path}.backoffLimit", "is not set")
    limit = spec.get("backoffLimit", 0)
    if workload.option("--reprocess"):
        build.require(
            limit == 0, item, f"{path}.backoffLimit",
            f"is {limit}: another try of --reprocess removes what the first has made again; it must be 0",
        )
    else:
        build.require(
            backoff_s(limit) >= PATIENCE_S, item, f"{path}.backoffLimit",
            f"is {limit}: its tries are over after {backoff_s(limit)} s, and a broker's rolling restart takes up to {PATIENCE_S} s",
        )
    if item["kind"] == "CronJob" and ("backfill" in item["metadata"]["name"] or not is_template(workload)):
        build.require(
            "--allow-quarantined" in workload.args, item, f"{workload.container_path}.args",
            "lacks --allow-quarantined: one trailer that nobody can repair would fail every Job",
        )
    for flag, why in NOT_IN_PODS.items():
        build.require(flag not in workload.args, item, f"{workload.container_path}.args", f"{flag} {why}")
    wait_ms = workload.settings.get("coordinator.start_wait_ms", 60_000)
    build.require(wait_ms >= 300_000, item, "jhalak.toml: coordinator.start_wait_ms", f"is {wait_ms}: a broker's rolling restart takes minutes")
    build.require("ttlSecondsAfterFinished" in spec, item, f"{path}.ttlSecondsAfterFinished", "is not set: ended Jobs stay for ever")
    build.require(spec.get("ttlSecondsAfterFinished", 86_400) >= 86_400, item, f"{path}.ttlSecondsAfterFinished", "is less than a day: nobody has read its log then")
    for name in ("parallelism", "completions"):
        build.require(spec.get(name, 1) == 1, item, f"{path}.{name}", "must be 1: one coordinator drives a run")


def schedule(build, workload):
    item, spec = workload.item, workload.item["spec"]
    build.require(is_schedule(spec.get("schedule", "")), item, "spec.schedule", f"{spec.get('schedule')!r} is not minute, hour, day, month and day of the week")
    build.require(spec.get("concurrencyPolicy") == "Forbid", item, "spec.concurrencyPolicy", "must be Forbid: two coordinators would run at once")
    build.require(
        spec.get("startingDeadlineSeconds", 0) >= 300, item, "spec.startingDeadlineSeconds",
        "must be set, and at least 300: a controller that is away for minutes would skip the night",
    )
    zone = spec.get("timeZone")
    build.require(zone is not None or is_template(workload), item, "spec.timeZone", "is not set: the controller's own would decide")
    build.require(zone is None or zone in ZONES or not ZONES, item, "spec.timeZone", f"{zone} is not a time zone")
    deadline = workload.job.get("activeDeadlineSeconds")
    if is_template(workload):
        build.require(
            deadline is None, item, f"{workload.job_path}.activeDeadlineSeconds",
            f"is {deadline}: a run that is longer would be killed, and never end",
        )
        return
    build.require(
        "--only-new" in workload.args, item, f"{workload.container_path}.args",
        "lacks --only-new: a changed model would make a night of weeks; that is the work of a backfill (jhalak-backfill)",
    )
    build.require(
        deadline is not None and LEAST_NIGHT_S <= deadline < 86_400, item, f"{workload.job_path}.activeDeadlineSeconds",
        f"must be set, at least {LEAST_NIGHT_S}, and end before the next night",
    )
    minute, hour = (spec.get("schedule", "").split() + ["", ""])[:2]
    build.require(minute.isdigit() and hour.isdigit(), item, "spec.schedule", f"{spec.get('schedule')!r} fires more than once a day, and a run may take all night")
    for flag in ("--reprocess", "--slot"):
        build.require(workload.option(flag) is None and flag not in workload.args, item, f"{workload.container_path}.args", f"{flag} does not belong to a run that repeats")


def slots(build, workload):
    item, path = workload.item, f"{workload.container_path}.env.JHALAK_SLOT"
    variable = workload.variable("JHALAK_SLOT")
    source = at(variable or {}, "valueFrom.fieldRef.fieldPath")
    if item["kind"] == "CronJob" and not is_template(workload):
        build.require(source == JOB_NAME, item, path, f"must be the Job's name ({JOB_NAME}): one run per night, however often it fires")
        return
    build.require(
        variable is None and "JHALAK_SLOT" not in workload.environment, item, path,
        "must not be set: under a name that was used before, `kubectl create job` would find the old run and do nothing",
    )
    name = item["metadata"]["name"]
    if "backfill" not in name:
        build.require(
            workload.option("--slot") is None and "--slot" not in workload.args, item, f"{workload.container_path}.args",
            "--slot does not belong here: the next Job would find the old run and do nothing",
        )
    else:
        slot = re.sub(r"\$\((\w+)\)", lambda m: workload.environment.get(m[1], ""), workload.option("--slot", ""))
        build.require(
            slot.strip() not in ("", "--json") and not slot.startswith("-"), item, f"{workload.container_path}.args",
            "lacks --slot with a fixed word: a Job that is started again would plan another run once the dataset has grown",
        )
        build.require("--only-new" not in workload.args, item, f"{workload.container_path}.args", "--only-new is for the nightly run: a backfill makes everything that is missing")


def scratch(build, workload):
    folder = workload.environment.get("TMPDIR", "/tmp")
    volume = workload.mounted_volume(folder) or {}
    room = quantity(at(volume, "emptyDir.sizeLimit", 0))
    build.require(
        room >= SCRATCH_BYTES, workload.item, f"{workload.path}.spec.volumes.{volume.get('name')}.emptyDir.sizeLimit",
        f"must be at least {SCRATCH_BYTES >> 30}Gi: tables of embeddings are put together there",
    )
