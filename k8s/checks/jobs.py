"""Exit codes and disruptions: which end of a pod ends its Job."""

# Constants of common/src/process/exit.rs whose codes end a Job: another try changes nothing.
FINAL = {
    "jhalak": ("USAGE", "INVALID", "QUARANTINED", "DIFFERENT"),
    "jhalak-worker": ("USAGE", "INVALID"),
}


def check(build, exit_codes):
    """`exit_codes`: the constants of the programs, name -> code."""
    for workload in build.workloads:
        if workload.job is None or workload.program not in FINAL:
            continue
        item, path = workload.item, f"{workload.job_path}.podFailurePolicy.rules"
        rules = workload.job.get("podFailurePolicy", {}).get("rules", [])
        found = set()
        for number, rule in enumerate(rules):
            codes = rule.get("onExitCodes")
            build.require(
                ("onExitCodes" in rule) != ("onPodConditions" in rule), item, f"{path}[{number}]",
                "must have either onExitCodes or onPodConditions: Kubernetes refuses both",
            )
            if codes is None:
                continue
            where = f"{path}[{number}].onExitCodes"
            build.require(
                codes.get("containerName") == workload.container.get("name"), item, f"{where}.containerName",
                f"{codes.get('containerName')} is not the container {workload.container.get('name')}",
            )
            build.require(codes.get("operator") == "In" and rule.get("action") == "FailJob", item, where, "must be action FailJob with operator In")
            for code in codes.get("values", []):
                build.require(code in exit_codes.values(), item, f"{where}.values", f"{code} is not an exit code of {workload.program}")
            found |= set(codes.get("values", []))
        expected = {exit_codes[name] for name in FINAL[workload.program] if name in exit_codes}
        build.require(
            found == expected, item, f"{path}: onExitCodes.values",
            f"are {sorted(found)}, but another try changes nothing after {sorted(expected)} ({', '.join(FINAL[workload.program])} in common/src/process/exit.rs), and may help after others",
        )
        disrupted = [r.get("action") for r in rules for c in r.get("onPodConditions", []) if c.get("type") == "DisruptionTarget" and c.get("status", "True") == "True"]
        is_single = "--reprocess" in workload.args
        expected = "FailJob" if is_single else "Ignore"
        why = "a second pod would remove what the first has made" if is_single else "a drained node would count as a failure"
        build.require(disrupted == [expected], item, f"{path}: onPodConditions DisruptionTarget", f"must have the action {expected}: {why}")
