"""Breaks the manifests, one line at a time, and requires that check.py refuses each.

    k8s/mutations.py [WORD]      all, or those whose name or file holds WORD

A check that nothing tests may have stopped checking. Every row of the table is a mistake that a person could make, or
that these manifests once had. It must be refused with a message that names the object's file and the field.
"""

import os
import shutil
import sys
import tempfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

K8S = Path(__file__).resolve().parent
sys.path.insert(0, str(K8S))

import check  # noqa: E402
from checks import images  # noqa: E402
from checks.programs import Programs, exit_codes  # noqa: E402

# name: what is wrong; file: of this folder; old, new: the text that is replaced, once; field: what the message must
# name beside the file (`~`: the file of another object, where the fault shows); where: the folder that is built, or the
# components on the base.
Mutation = namedtuple("Mutation", "name file old new field where")

EXTRACT, TRAIN, NIGHTLY = "base/extract.yaml", "base/train.yaml", "base/coordinators/nightly.yaml"
TEMPLATES, TOML, POLICY = "base/coordinators/templates.yaml", "base/jhalak.toml", "base/network-policy.yaml"
JOBS, PODS = "components/keda/jobs/scaled-jobs.yaml", "components/keda/pods/kustomization.yaml"
BASE, KEDA, GPU, MINIMAL = "base", "overlays/keda", "overlays/gpu", "overlays/minimal"

TABLE = [
    # Scaling that stops busy workers.
    ("messages in hand not counted", JOBS, "protocol: http", "protocol: amqp", "metadata.protocol", KEDA),
    ("messages in hand excluded", JOBS, "mode: QueueLength", 'mode: QueueLength\n        excludeUnacknowledged: "true"', "excludeUnacknowledged", KEDA),
    ("rate instead of length", JOBS, "mode: QueueLength", "mode: MessageRate", "metadata.mode", KEDA),
    ("rollout deletes Jobs", JOBS, "strategy: gradual", "strategy: immediate", "spec.rollout.strategy", KEDA),
    ("no rollout strategy", JOBS, "  rollout:\n    strategy: gradual\n", "", "spec.rollout.strategy", KEDA),
    ("one Job per message", JOBS, "strategy: default", "strategy: accurate", "spec.scalingStrategy.strategy", KEDA),
    ("eager scaling", JOBS, "strategy: default", "strategy: eager", "spec.scalingStrategy.strategy", KEDA),
    ("unknown strategy", JOBS, "strategy: default", "strategy: quick", "scalingStrategy.strategy", KEDA),
    ("a field of ScaledObjects", JOBS, "  pollingInterval: 10\n", "  pollingInterval: 10\n  cooldownPeriod: 300\n", "spec.cooldownPeriod", KEDA),
    ("misspelt field", JOBS, "maxReplicaCount: 16", "maxReplicasCount: 16", "maxReplicasCount", KEDA),
    ("no upper limit", JOBS, "  maxReplicaCount: 16\n", "", "maxReplicaCount", KEDA),
    ("limits reversed", JOBS, "minReplicaCount: 0", "minReplicaCount: 17", "maxReplicaCount", KEDA),
    ("worker that never ends", PODS, "value: --until-idle", "value: --verbose", "args", KEDA),
    ("ends between two messages", PODS, 'value: "60"', 'value: "5"', "args", KEDA),
    ("idle for an hour", PODS, 'value: "60"', 'value: "3600"', "args", KEDA),
    ("deadline for busy workers", JOBS, "    backoffLimit: 6\n", "    backoffLimit: 6\n    activeDeadlineSeconds: 900\n", "activeDeadlineSeconds", KEDA),
    ("polls every five minutes", JOBS, "pollingInterval: 10", "pollingInterval: 300", "pollingInterval", KEDA),
    ("node made empty", PODS, 'safe-to-evict: "false"', 'safe-to-evict: "true"', "safe-to-evict", KEDA),
    ("node consolidated", PODS, 'do-not-disrupt: "true"', 'do-not-disrupt: "false"', "do-not-disrupt", KEDA),
    ("several pods per Job", JOBS, "    backoffLimit: 6\n", "    backoffLimit: 6\n    parallelism: 3\n", "parallelism", KEDA),
    ("restarts inside the pod", PODS, "value: Never", "value: OnFailure", "restartPolicy", KEDA),
    ("gives up at the first crash", JOBS, "backoffLimit: 6", "backoffLimit: 0", "backoffLimit", KEDA),
    ("history of 100 Jobs", JOBS, "  failedJobsHistoryLimit: 20\n", "", "failedJobsHistoryLimit", KEDA),
    ("budget for Jobs", PODS, "name: jhalak-(extract|train)\n    patch: |-\n      $patch: delete\n      apiVersion: policy/v1", "name: jhalak-(nothing)\n    patch: |-\n      $patch: delete\n      apiVersion: policy/v1", "~spec.selector.matchLabels", KEDA),
    # The trigger.
    ("queue of another kind", JOBS, "queueName: jhalak.work.extract", "queueName: jhalak.work.train", "metadata.queueName", KEDA),
    ("queue of another prefix", TOML, 'prefix = "jhalak"', 'prefix = "movies"', "metadata.queueName", KEDA),
    ("workers never grow", JOBS, 'value: "2"', 'value: "20"', "metadata.value", KEDA),
    ("workers just do not grow", JOBS, 'value: "2"', 'value: "4"', "metadata.value", KEDA),
    ("value without quotes", JOBS, 'value: "2"', "value: 2", "metadata.value", KEDA),
    ("unknown key of the trigger", JOBS, "mode: QueueLength", "mode: QueueLength\n        queueLength: \"2\"", "metadata.queueLength", KEDA),
    ("password in the address", "components/keda/jobs/trigger-authentication.yaml", "    - parameter: password\n      name: jhalak-management\n      key: password\n", "", "secretTargetRef", KEDA),
    ("no authentication", JOBS, "name: jhalak-management", "name: jhalak-queue", "authenticationRef", KEDA),
    ("no authority for the trigger", "overlays/keda/kustomization.yaml", "  - ../../components/ca-keda\n", "", "~secretTargetRef", KEDA),
    ("changes after the copy", "overlays/keda/kustomization.yaml", "  - ../../components/ca-keda\n", "  - ../../components/ca-keda\n  - ../../components/spot\n", "components", KEDA),
    # Memory and disk.
    ("memory promised twice", EXTRACT, "memory: 5Gi", "memory: 2Gi", "requests.memory", BASE),
    ("memory promised a little", TRAIN, "memory: 4Gi", "memory: 3Gi", "requests.memory", BASE),
    ("no memory request", EXTRACT, "              memory: 5Gi\n", "", "requests.memory", BASE),
    ("limit below the decodes", EXTRACT, "            limits:\n              memory: 5Gi", "            limits:\n              memory: 4Gi", "memory", BASE),
    ("another slot without memory", EXTRACT, 'cpu: "2"', 'cpu: "3"', "limits.memory", BASE),
    ("half a core", TRAIN, 'cpu: "2"', "cpu: 500m", "requests.cpu", BASE),
    ("larger decodes", TOML, "memory_mb = 2_048", "memory_mb = 4_096", "limits.memory", BASE),
    ("scratch larger than the volume", TOML, "scratch_mb = 3_072", "scratch_mb = 8_192", "sizeLimit", BASE),
    ("trainer's scratch", TRAIN, 'value: "384"', 'value: "3072"', "sizeLimit", BASE),
    ("trainer without its scratch", TRAIN, "            - name: JHALAK__WORKER__SCRATCH_MB\n              value: \"384\"\n", "", "sizeLimit", BASE),
    ("smaller volume", EXTRACT, "sizeLimit: 4Gi", "sizeLimit: 2Gi", "sizeLimit", BASE),
    ("volume without limit", TRAIN, "          emptyDir:\n            sizeLimit: 512Mi", "          emptyDir: {}", "sizeLimit", BASE),
    ("tables do not fit", NIGHTLY, "sizeLimit: 4Gi", "sizeLimit: 512Mi", "sizeLimit", BASE),
    ("volume beyond the pod", NIGHTLY, "sizeLimit: 4Gi", "sizeLimit: 8Gi", "ephemeral-storage", BASE),
    ("no room for logs", EXTRACT, "ephemeral-storage: 5Gi\n            limits:\n              memory: 5Gi\n              ephemeral-storage: 5Gi", "ephemeral-storage: 4Gi\n            limits:\n              memory: 5Gi\n              ephemeral-storage: 4Gi", "ephemeral-storage", BASE),
    ("temporary files in the image", EXTRACT, "            - name: TMPDIR\n              value: /scratch\n", "", "TMPDIR", BASE),
    ("coordinator's temporary files", NIGHTLY, "- name: TMPDIR", "- name: TMP", "TMPDIR", BASE),
    ("temporary files elsewhere", TRAIN, "            - name: TMPDIR\n              value: /scratch", "            - name: TMPDIR\n              value: /tmp", "TMPDIR", BASE),
    ("scratch that cannot be written", TOML, 'scratch = "/scratch"', 'scratch = "/data"', "worker.scratch", BASE),
    ("heartbeat elsewhere", TOML, '"/scratch/heartbeat"', '"/tmp/heartbeat"', "worker.heartbeat_file", BASE),
    ("quota below the workers", "components/quota/resource-quota.yaml", "requests.memory: 104Gi", "requests.memory: 64Gi", "requests.memory", KEDA),
    ("more workers than the quota", JOBS, "maxReplicaCount: 16", "maxReplicaCount: 64", "~jhalak-extract (up to 64)", KEDA),
    ("containers above the range", "components/quota/limit-range.yaml", "memory: 16Gi", "memory: 2Gi", "max.memory", KEDA),
    # Stopping.
    ("grace longer than the pod's", TOML, "grace_ms = 280_000", "grace_ms = 300_000", "terminationGracePeriodSeconds", BASE),
    ("pod's grace too short", EXTRACT, "terminationGracePeriodSeconds: 300", "terminationGracePeriodSeconds: 120", "terminationGracePeriodSeconds", BASE),
    ("default grace of the pod", TRAIN, "      terminationGracePeriodSeconds: 50\n", "", "terminationGracePeriodSeconds", BASE),
    ("trainer works on and hopes", TRAIN, 'value: "30000"', 'value: "280000"', "terminationGracePeriodSeconds", BASE),
    ("trailers thrown away", TOML, "grace_ms = 280_000", "grace_ms = 10_000", "worker.grace_ms", BASE),
    ("spot without notice", "components/spot/extract.patch.yaml", "terminationGracePeriodSeconds: 25", "terminationGracePeriodSeconds: 300", "terminationGracePeriodSeconds", ("spot",)),
    ("spot finishes its trailers", "components/spot/extract.patch.yaml", "value: hand-back", "value: finish", "ON_STOP", ("spot",)),
    ("spot loses a minute of training", "components/spot/train.patch.yaml", 'value: "15000"', 'value: "60000"', "CHECKPOINT_MS", ("spot",)),
    ("training handed back unsaved", "components/spot/train.patch.yaml", "- name: JHALAK__WORKER__CHECKPOINT_MS\n              value: \"15000\"", "- name: JHALAK__WORKER__ON_STOP\n              value: hand-back", "ON_STOP", ("spot",)),
    # Limits of time.
    ("job longer than the broker allows", TOML, "job_limit_ms = 1_500_000", "job_limit_ms = 2_400_000", "job_limit_ms", BASE),
    ("job as long as the broker allows", TOML, "job_limit_ms = 1_500_000", "job_limit_ms = 1_790_000", "worker.job_limit_ms", BASE),
    ("decode longer than its job", TOML, "wall_s = 900", "wall_s = 1_600", "decode.wall_s", BASE),
    ("broker of another timeout", "examples/rabbitmq-cluster.yaml", "consumer_timeout = 1800000", "consumer_timeout = 900000", "consumer_timeout", "examples"),
    ("broker with one node", "examples/rabbitmq-cluster.yaml", "replicas: 3", "replicas: 1", "spec.replicas", "examples"),
    # Coordinators.
    ("impatient with the broker", NIGHTLY, "backoffLimit: 8", "backoffLimit: 3", "backoffLimit", BASE),
    ("submit does not wait", TOML, "start_wait_ms = 600_000", "start_wait_ms = 1_000", "coordinator.start_wait_ms", BASE),
    ("nightly makes a backfill", NIGHTLY, "--only-new, ", "", "args", BASE),
    ("nightly without an end", NIGHTLY, "      activeDeadlineSeconds: 82800\n", "", "activeDeadlineSeconds", BASE),
    ("two nights at once", NIGHTLY, "concurrencyPolicy: Forbid", "concurrencyPolicy: Allow", "concurrencyPolicy", BASE),
    ("nightly without a slot", NIGHTLY, "- name: JHALAK_SLOT", "- name: JHALAK_SLOTS", "JHALAK_SLOT", BASE),
    ("slot of the pod", NIGHTLY, "metadata.labels['batch.kubernetes.io/job-name']", "metadata.name", "JHALAK_SLOT", BASE),
    ("schedule with six fields", NIGHTLY, '"0 2 * * *"', '"0 0 2 * * *"', "spec.schedule", BASE),
    ("backfill with a deadline", TEMPLATES, "backoffLimit: 20\n", "backoffLimit: 20\n      activeDeadlineSeconds: 82800\n", "activeDeadlineSeconds", BASE),
    ("backfill without a fixed slot", "base/coordinators/backfill.patch.yaml", "--slot, $(BACKFILL_SLOT), ", "", "args", BASE),
    ("backfill of new trailers", "base/coordinators/backfill.patch.yaml", "--json, -v]", "--only-new, --json, -v]", "args", BASE),
    ("one-off run under the Job's name", "base/coordinators/once.patch.yaml", "                  $patch: delete\n", "                  value: once\n", "JHALAK_SLOT", BASE),
    ("template that runs by itself", TEMPLATES, "  suspend: true\n", "", "args", BASE),
    ("reprocessing twice", TEMPLATES, "backoffLimit: 0", "backoffLimit: 8", "backoffLimit", BASE),
    ("reprocessing after a disruption", TEMPLATES, "          - action: FailJob\n            onPodConditions", "          - action: Ignore\n            onPodConditions", "DisruptionTarget", BASE),
    ("dataset that is set nowhere", NIGHTLY, "$(DATASET)", "$(DATASETS)", "args", BASE),
    ("hour of an unknown zone", NIGHTLY, "  timeZone: Etc/UTC\n", "", "timeZone", BASE),
    # Exit codes.
    ("exit code that does not exist", NIGHTLY, "[2, 3, 4, 8]", "[2, 3, 4, 8, 9]", "onExitCodes", BASE),
    ("retries what is unreachable never", NIGHTLY, "[2, 3, 4, 8]", "[2, 3, 4, 5, 8]", "onExitCodes", BASE),
    ("retries another slot's run", NIGHTLY, "[2, 3, 4, 8]", "[2, 3, 4]", "onExitCodes", BASE),
    ("codes of another container", NIGHTLY, "containerName: submit", "containerName: worker", "containerName", BASE),
    ("worker's final codes", JOBS, "values: [2, 3]", "values: [2, 3, 5]", "onExitCodes", KEDA),
    ("drained nodes count", JOBS, "        - action: Ignore\n", "        - action: Count\n", "DisruptionTarget", KEDA),
    ("two rules in one", TEMPLATES, "          - action: FailJob\n            onPodConditions", "            onPodConditions", "podFailurePolicy.rules", BASE),
    ("restarted inside the pod", NIGHTLY, "restartPolicy: Never", "restartPolicy: OnFailure", "restartPolicy", BASE),
    # Arguments and settings, as the programs read them.
    ("unknown flag", EXTRACT, "[--kinds, extract, --json]", "[--kinds, extract, --format, json]", "args", BASE),
    ("unknown kind", TRAIN, "[--kinds, train, --json]", "[--kinds, training, --json]", "args", BASE),
    ("unknown flag of submit", NIGHTLY, "--only-new", "--new-only", "args", BASE),
    ("unknown kind of artifact", "base/kustomization.yaml", "REPROCESS_KIND=video-embedding", "REPROCESS_KIND=videos", "args", BASE),
    ("unknown program", EXTRACT, "command: [jhalak-worker]\n          args", "command: [jhalak-extract]\n          args", "command", BASE),
    ("unknown setting", TOML, "wall_s = 900", "wall_s = 900\nwall_ms = 900", "jhalak.toml", BASE),
    ("setting out of range", TOML, "memory_mb = 2_048", "memory_mb = 20", "jhalak.toml", BASE),
    ("setting of a wrong type", TOML, "wall_s = 900", 'wall_s = "long"', "decode.wall_s", BASE),
    ("unknown variable", TRAIN, "JHALAK__WORKER__GRACE_MS", "JHALAK__WORKER__GRACE_S", "JHALAK__", BASE),
    ("unknown section", "base/kustomization.yaml", "JHALAK__WORKER__SOURCES", "JHALAK__WORKERS__SOURCES", "JHALAK__", BASE),
    ("worker in a Deployment that ends", EXTRACT, "[--kinds, extract, --json]", '[--kinds, extract, --json, --until-idle, "60"]', "args", BASE),
    ("slots by hand", EXTRACT, "[--kinds, extract, --json]", '[--kinds, extract, --json, --slots, "8"]', "args", BASE),
    ("slots from the limit", EXTRACT, "resource: requests.cpu", "resource: limits.cpu", "JHALAK__WORKER__SLOTS", BASE),
    # Probes.
    ("liveness asks for readiness", EXTRACT, "livenessProbe:\n            exec:\n              command: [jhalak-worker, health, --live]", "livenessProbe:\n            exec:\n              command: [jhalak-worker, health, --ready]", "livenessProbe", BASE),
    ("probe of a port that nobody serves", TRAIN, "livenessProbe:\n            exec:\n              command: [jhalak-worker, health, --live]", "livenessProbe:\n            tcpSocket:\n              port: 8080", "livenessProbe", BASE),
    ("probe with an unknown flag", TRAIN, "[jhalak-worker, health, --ready]", "[jhalak-worker, health, --readiness]", "readinessProbe", BASE),
    ("impatient liveness", EXTRACT, "periodSeconds: 30", "periodSeconds: 5", "livenessProbe", BASE),
    ("short start", EXTRACT, "failureThreshold: 12", "failureThreshold: 2", "startupProbe", BASE),
    ("short start on a GPU", "components/gpu/extract.patch.yaml", "failureThreshold: 60", "failureThreshold: 12", "startupProbe", GPU),
    # Budgets and rollouts.
    ("one worker at a time", EXTRACT, "maxUnavailable: 25%", "maxUnavailable: 1", "spec.maxUnavailable", BASE),
    ("all workers at once", TRAIN, "maxUnavailable: 25%", "maxUnavailable: 100%", "spec.maxUnavailable", BASE),
    ("selects other workers, too", TRAIN, "    matchLabels:\n      app.kubernetes.io/component: train\n  template", "    matchLabels: {}\n  template", "matchLabels", BASE),
    ("sick workers hold nodes", EXTRACT, "  unhealthyPodEvictionPolicy: AlwaysAllow\n", "", "unhealthyPodEvictionPolicy", BASE),
    ("budget of nothing", EXTRACT, "  selector:\n    matchLabels:\n      app.kubernetes.io/component: extract\n  template", "  selector:\n    matchLabels:\n      app.kubernetes.io/component: extraction\n  template", "matchLabels", BASE),
    ("rollout waits for a spare GPU", "components/gpu/extract.patch.yaml", "maxSurge: 0", "maxSurge: 25%", "rollingUpdate", GPU),
    ("GPU without the provider", "components/gpu/kustomization.yaml", "JHALAK__INFERENCE__PROVIDER=cuda", "JHALAK__INFERENCE__PROVIDER=cpu", "nvidia.com/gpu", GPU),
    ("provider without a GPU", "components/gpu/extract.patch.yaml", '              nvidia.com/gpu: "1"\n            limits:\n              memory: 20Gi\n              ephemeral-storage: 18Gi\n              nvidia.com/gpu: "1"\n', "            limits:\n              memory: 20Gi\n              ephemeral-storage: 18Gi\n", "nvidia.com/gpu", GPU),
    ("CPU image on a GPU", "components/gpu/extract.patch.yaml", "image: jhalak-cuda", "image: jhalak", "image", GPU),
    ("GPU nodes refuse it", "components/gpu/kustomization.yaml", "key: nvidia.com/gpu", "key: nvidia.com/card", "tolerations", GPU),
    # Network.
    ("every pod of the namespace is closed", POLICY, "  podSelector:\n    matchLabels:\n      app.kubernetes.io/name: jhalak\n", "  podSelector: {}\n", "spec.podSelector", BASE),
    ("workers connect anywhere", POLICY, "    # S3. A", "    - {}\n    # S3. A", "spec.egress", BASE),
    ("no limit of connections", POLICY, "    - Egress\n", "    - Ingress\n", "policyTypes", BASE),
    ("anybody connects", POLICY, "  policyTypes:\n    - Ingress\n", "  policyTypes:\n    - Ingress\n  ingress:\n    - {}\n", "spec.ingress", BASE),
    ("broker out of reach", POLICY, "port: 5671", "port: 5673", "spec.egress", BASE),
    ("collector out of reach", "components/traces/kustomization.yaml", "port: 4318", "port: 4317", "~OTEL_EXPORTER_OTLP_ENDPOINT", ("traces",)),
    ("store out of reach", POLICY, "port: 443", "port: 80", "spec.egress", BASE),
    ("store on another port", "overlays/minimal/kustomization.yaml", "svc:8333", "svc:9000", "spec.egress", MINIMAL),
    # Rights and secrets.
    ("one account for all", EXTRACT, "serviceAccountName: jhalak-worker", "serviceAccountName: jhalak-coordinator", "serviceAccountName", BASE),
    ("account that does not exist", NIGHTLY, "serviceAccountName: jhalak-coordinator", "serviceAccountName: jhalak", "serviceAccountName", BASE),
    ("API token", TRAIN, "automountServiceAccountToken: false", "automountServiceAccountToken: true", "automountServiceAccountToken", BASE),
    ("API token by the account", "base/accounts.yaml", "automountServiceAccountToken: false", "automountServiceAccountToken: true", "automountServiceAccountToken", BASE),
    ("root", EXTRACT, "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot", BASE),
    ("another user than the image's", EXTRACT, "runAsUser: 10001", "runAsUser: 1000", "runAsUser", BASE),
    ("image that can be written", TRAIN, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "readOnlyRootFilesystem", BASE),
    ("privileges may grow", EXTRACT, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "allowPrivilegeEscalation", BASE),
    ("capabilities stay", NIGHTLY, "drop: [ALL]", "drop: [NET_RAW]", "capabilities", BASE),
    ("no seccomp", NIGHTLY, "type: RuntimeDefault", "type: Unconfined", "seccompProfile", BASE),
    ("variables of services", EXTRACT, "enableServiceLinks: false", "enableServiceLinks: true", "enableServiceLinks", BASE),
    ("network of the node", EXTRACT, "enableServiceLinks: false", "enableServiceLinks: false\n      hostNetwork: true", "hostNetwork", BASE),
    ("namespace that allows more", "base/namespace.yaml", "enforce: restricted", "enforce: baseline", "enforce", BASE),
    ("namespace without a version", "base/namespace.yaml", "    pod-security.kubernetes.io/enforce-version: v1.31\n", "", "enforce-version", BASE),
    ("password in the manifest", "base/kustomization.yaml", "DATASET=s3://jhalak/dataset", "JHALAK__QUEUE=amqp://u:p@broker", "password", BASE),
    ("image without a version", "base/kustomization.yaml", "newTag: 0.1.0", "newTag: latest", "image", BASE),
    ("preempts other people's pods", "base/priorities.yaml", "value: 300\npreemptionPolicy: Never", "value: 300\npreemptionPolicy: PreemptLowerPriority", "preemptionPolicy", BASE),
    ("training before extraction", "base/priorities.yaml", "value: 200", "value: 400", "value", BASE),
    ("no priority", EXTRACT, "      priorityClassName: jhalak-extract\n", "", "priorityClassName", BASE),
    ("pruned while a Job needs it", "base/kustomization.yaml", "    argocd.argoproj.io/sync-options: Prune=false\n", "", "argocd.argoproj.io/sync-options", BASE),
    ("pruned by Flux", "base/kustomization.yaml", "kustomize.toolkit.fluxcd.io/prune: disabled", "kustomize.toolkit.fluxcd.io/prune: enabled", "kustomize.toolkit.fluxcd.io/prune", BASE),
    ("password as a variable", EXTRACT, "            - name: JHALAK__QUEUE_FILE\n              value: /etc/jhalak-queue/url\n", "            - name: JHALAK__QUEUE\n              valueFrom:\n                secretKeyRef:\n                  name: jhalak-queue\n                  key: url\n", "JHALAK__QUEUE", BASE),
    ("keys as variables", NIGHTLY, "                    name: jhalak-places\n", "                    name: jhalak-places\n                - secretRef:\n                    name: jhalak-s3\n", "secretRef", BASE),
    ("password in no mounted folder", TRAIN, "value: /etc/jhalak-queue/url", "value: /etc/queue/url", "JHALAK__QUEUE_FILE", BASE),
    ("password in a ConfigMap", TRAIN, "value: /etc/jhalak-queue/url", "value: /etc/jhalak/url", "JHALAK__QUEUE_FILE", BASE),
    ("Secret that nobody makes", EXTRACT, "secretName: jhalak-queue", "secretName: queue", "secretName", BASE),
    ("keys in no mounted folder", "components/s3-keys/kustomization.yaml", "/etc/jhalak-s3/access_key_id", "/etc/s3/access_key_id", "ACCESS_KEY_ID_FILE", ("s3-keys",)),
    ("port of another setting", "components/monitoring/kustomization.yaml", "containerPort: 9464", "containerPort: 9090", "containers[0].ports", ("monitoring",)),
    ("metrics on loopback", "components/monitoring/kustomization.yaml", "0.0.0.0:9464", "0.0.0.0:9000", "containers[0].ports", ("monitoring",)),
    ("anybody reads metrics", "components/monitoring/kustomization.yaml", "          - from:\n              - namespaceSelector:\n                  matchLabels:\n                    kubernetes.io/metadata.name: monitoring\n            ports:", "          - ports:", "~spec.ingress", ("monitoring",)),
    ("another port is opened", "components/monitoring/kustomization.yaml", "                port: 9464\n", "                port: 22\n", "~spec.ingress", ("monitoring",)),
    ("Prometheus asks for another port", "components/monitoring/pod-monitor.yaml", "port: metrics", "port: http", "podMetricsEndpoints", ("monitoring",)),
    ("Prometheus asks other pods", "components/monitoring/pod-monitor.yaml", "      app.kubernetes.io/name: jhalak\n  podM", "      app.kubernetes.io/name: films\n  podM", "selector.matchLabels", ("monitoring",)),
    ("settings that can be written", EXTRACT, "              mountPath: /etc/jhalak\n              readOnly: true\n", "              mountPath: /etc/jhalak\n", "readOnly", BASE),
    ("files in memory", EXTRACT, "            sizeLimit: 4Gi", "            sizeLimit: 4Gi\n            medium: Memory", "emptyDir.medium", BASE),
    ("hook that uses up the grace period", EXTRACT, "          image: jhalak\n", "          image: jhalak\n          lifecycle:\n            preStop:\n              exec:\n                command: [sleep, \"290\"]\n", "lifecycle", BASE),
    ("port of the node", TRAIN, "          image: jhalak\n", "          image: jhalak\n          ports:\n            - containerPort: 9464\n              hostPort: 9464\n", "hostPort", BASE),
    ("port that no setting names", TRAIN, "          image: jhalak\n", "          image: jhalak\n          ports:\n            - containerPort: 8080\n", "containers[0].ports", BASE),
    ("processes of the pod are shared", TRAIN, "enableServiceLinks: false", "enableServiceLinks: false\n      shareProcessNamespace: true", "shareProcessNamespace", BASE),
    ("masks of /proc removed", EXTRACT, "            readOnlyRootFilesystem: true", "            readOnlyRootFilesystem: true\n            procMount: Unmasked", "procMount", BASE),
    ("a key among the places", "base/kustomization.yaml", "      - BACKFILL_SLOT", "      - AWS_SECRET_ACCESS_KEY=x\n      - BACKFILL_SLOT", "AWS_SECRET_ACCESS_KEY", BASE),
    ("dataset that workers refuse", "base/kustomization.yaml", "SOURCES=s3://jhalak/dataset", "SOURCES=s3://jhalak/films", "JHALAK__WORKER__SOURCES", BASE),
    ("store inside the pod", "base/kustomization.yaml", "JHALAK__STORE=s3://jhalak/store", "JHALAK__STORE=/scratch/store", "JHALAK__STORE", BASE),
    ("window below the workers", TOML, "[coordinator]\n", "[coordinator]\nwindow = 8\n", "coordinator.window", KEDA),
    ("innocent trailers quarantined", TOML, "[worker]\n", "[worker]\nredeliveries = 1\n", "worker.redeliveries", BASE),
    ("no workers", EXTRACT, "replicas: 2", "replicas: 0", "spec.replicas", BASE),
    ("an hour that does not exist", NIGHTLY, '"0 2 * * *"', '"0 24 * * *"', "spec.schedule", BASE),
    ("a zone that does not exist", NIGHTLY, "timeZone: Etc/UTC", "timeZone: Europe/Bombay", "spec.timeZone", BASE),
    ("seconds to start", NIGHTLY, "startingDeadlineSeconds: 3600", "startingDeadlineSeconds: 10", "startingDeadlineSeconds", BASE),
    ("log gone before anybody looks", NIGHTLY, "ttlSecondsAfterFinished: 604800", "ttlSecondsAfterFinished: 60", "ttlSecondsAfterFinished", BASE),
    ("two coordinators", TEMPLATES, "      backoffLimit: 20\n", "      backoffLimit: 20\n      parallelism: 2\n", "parallelism", BASE),
    ("Jobs outside the queue", "components/kueue/kustomization.yaml", "value: jhalak\n", "value: jhalaks\n", "queue-name", ("keda", "kueue")),
    ("quota of an unknown flavor", "examples/cluster-queue.yaml", "name: default-flavor\n---", "name: other-flavor\n---", "flavors", "examples"),
    ("quota that covers too little", "examples/cluster-queue.yaml", "[cpu, memory, ephemeral-storage]", "[cpu, memory]", "coveredResources", "examples"),
    ("coordinator in the background", NIGHTLY, "--only-new, ", "--only-new, --detach, ", "args", BASE),
    ("coordinator that starts nothing", NIGHTLY, "--only-new, ", "--only-new, --dry-run, ", "args", BASE),
    ("run of other settings accepted", "base/coordinators/backfill.patch.yaml", "--json, -v]", "--accept-existing, --json, -v]", "args", BASE),
    ("image of the node alone", TRAIN, "          image: jhalak\n", "          image: jhalak\n          imagePullPolicy: Never\n", "imagePullPolicy", BASE),
    ("less processor than requested", EXTRACT, "            limits:\n", "            limits:\n              cpu: \"1\"\n", "limits.cpu", BASE),
    ("every taint tolerated", EXTRACT, "tolerations: []", "tolerations: [{operator: Exists}]", "tolerations", BASE),
    ("messages dropped after two crashes", TOML, "[rabbitmq]\n", "[rabbitmq]\ndelivery_limit = 2\n", "rabbitmq.delivery_limit", BASE),
    ("no heartbeat", TOML, "[rabbitmq]\n", "[rabbitmq]\nheartbeat_s = 0\n", "rabbitmq.heartbeat_s", BASE),
    ("a day between checkpoints", TOML, "[worker]\n", "[worker]\ncheckpoint_ms = 86_400_000\n", "worker.checkpoint_ms", BASE),
    ("two GPUs for one", "components/gpu/extract.patch.yaml", 'nvidia.com/gpu: "1"\n            limits:\n              memory: 20Gi\n              ephemeral-storage: 18Gi\n              nvidia.com/gpu: "1"', 'nvidia.com/gpu: "2"\n            limits:\n              memory: 20Gi\n              ephemeral-storage: 18Gi\n              nvidia.com/gpu: "2"', "nvidia.com/gpu", GPU),
    ("all workers stop at once", EXTRACT, "  replicas: 2\n", "  replicas: 2\n  strategy:\n    type: Recreate\n", "spec.strategy.type", BASE),
    ("workers that are started again each minute", JOBS, "minReplicaCount: 0", "minReplicaCount: 3", "minReplicaCount", KEDA),
    ("Jobs that never start", JOBS, "    backoffLimit: 6\n", "    backoffLimit: 6\n    suspend: true\n", "suspend", KEDA),
    ("broker without TLS", "examples/rabbitmq-cluster.yaml", "    disableNonTLSListeners: true\n", "", "disableNonTLSListeners", "examples"),
    # Once accepted.
    ("pod of the nightly run with a deadline", NIGHTLY, "          restartPolicy: Never\n", "          restartPolicy: Never\n          activeDeadlineSeconds: 600\n", "activeDeadlineSeconds", BASE),
    ("pod of the backfill with a deadline", "base/coordinators/backfill.patch.yaml", "          priorityClassName: jhalak-backfill\n", "          priorityClassName: jhalak-backfill\n          activeDeadlineSeconds: 3600\n", "activeDeadlineSeconds", BASE),
    ("nightly killed after a minute", NIGHTLY, "activeDeadlineSeconds: 82800", "activeDeadlineSeconds: 60", "activeDeadlineSeconds", BASE),
    ("nightly every hour", NIGHTLY, '"0 2 * * *"', '"0 * * * *"', "spec.schedule", BASE),
    ("one bad trailer fails every night", NIGHTLY, "--allow-quarantined, ", "", "args", BASE),
    ("one bad trailer fails the backfill", "base/coordinators/backfill.patch.yaml", "--allow-quarantined, ", "", "args", BASE),
    ("backfill with an empty slot", "base/kustomization.yaml", "BACKFILL_SLOT=backfill-1", "BACKFILL_SLOT=", "args", BASE),
    ("one-off run with a slot", "base/coordinators/once.patch.yaml", "$(DATASET), ", "$(DATASET), --slot, once, ", "args", BASE),
    ("reprocessing with a slot", "base/coordinators/reprocess.patch.yaml", "$(DATASET), ", "$(DATASET), --slot=again, ", "args", BASE),
    ("slot of all coordinators", "base/kustomization.yaml", "      - BACKFILL_SLOT", "      - JHALAK_SLOT=tonight\n      - BACKFILL_SLOT", "JHALAK_SLOT", BASE),
    ("workers of another version", EXTRACT, "          image: jhalak\n", "          image: registry/jhalak:0.0.9\n", "image", BASE),
    ("CUDA image of another version", "components/gpu/kustomization.yaml", "newTag: 0.1.0", "newTag: 0.0.9", "image", GPU),
    ("tag that moves", "base/kustomization.yaml", "newTag: 0.1.0", "newTag: stable", "image", BASE),
    ("liveness of an hour", EXTRACT, "            periodSeconds: 30\n            timeoutSeconds: 10\n            failureThreshold: 3", "            periodSeconds: 30\n            timeoutSeconds: 10\n            failureThreshold: 120", "livenessProbe", BASE),
    ("start of an hour", TRAIN, "failureThreshold: 12", "failureThreshold: 720", "startupProbe", BASE),
    ("readiness of an hour", TRAIN, "periodSeconds: 15", "periodSeconds: 1200", "readinessProbe", BASE),
    ("liveness begins late", EXTRACT, "periodSeconds: 30", "periodSeconds: 30\n            initialDelaySeconds: 3600", "initialDelaySeconds", BASE),
    ("egress limited for extraction alone", POLICY, "name: jhalak-egress\nspec:\n  podSelector:\n    matchLabels:\n", "name: jhalak-egress\nspec:\n  podSelector:\n    matchLabels:\n      app.kubernetes.io/component: extract\n", "spec.podSelector", BASE),
    ("egress limited by an expression", POLICY, "name: jhalak-egress\nspec:\n  podSelector:\n", "name: jhalak-egress\nspec:\n  podSelector:\n    matchExpressions: [{key: app.kubernetes.io/component, operator: In, values: [train]}]\n", "spec.podSelector", BASE),
    ("every namespace reads metrics", "components/monitoring/kustomization.yaml", "              - namespaceSelector:\n                  matchLabels:\n                    kubernetes.io/metadata.name: monitoring\n", "              - namespaceSelector: {}\n", "~spec.ingress", ("monitoring",)),
    ("the world reads metrics", "components/monitoring/kustomization.yaml", "              - namespaceSelector:\n                  matchLabels:\n                    kubernetes.io/metadata.name: monitoring\n", "              - ipBlock:\n                  cidr: 0.0.0.0/0\n", "~spec.ingress", ("monitoring",)),
    ("mail may be sent", POLICY, "          port: 443\n", "          port: 443\n        - protocol: TCP\n          port: 25\n", "spec.egress", BASE),
    ("password that never rotates", EXTRACT, "              mountPath: /etc/jhalak-queue\n", "              mountPath: /etc/jhalak-queue\n              subPath: queue\n", "subPath", BASE),
    ("password among the arguments", TRAIN, "[--kinds, train, --json]", "[--kinds, train, --json, --queue, $(QUEUE)]", "args", BASE),
    ("key of S3 in the manifest", EXTRACT, "            - name: TMPDIR\n", "            - name: AWS_ACCESS_KEY_ID\n              value: AKIA\n            - name: TMPDIR\n", "AWS_ACCESS_KEY_ID", BASE),
    ("headers of the collector in the manifest", NIGHTLY, "                - name: TMPDIR\n", "                - name: OTEL_EXPORTER_OTLP_HEADERS\n                  value: authorization=x\n                - name: TMPDIR\n", "OTEL_EXPORTER_OTLP_HEADERS", BASE),
    ("headers of the collector among the places", "base/kustomization.yaml", "      - BACKFILL_SLOT", "      - OTEL_EXPORTER_OTLP_TRACES_HEADERS=authorization=x\n      - BACKFILL_SLOT", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", BASE),
    ("Secret that may be missing", EXTRACT, "            secretName: jhalak-queue\n", "            secretName: jhalak-queue\n            optional: true\n", "optional", BASE),
    ("priority of all pods", "base/priorities.yaml", "value: 300\n", "value: 300\nglobalDefault: true\n", "globalDefault", BASE),
    ("log of a worker gone at once", JOBS, "ttlSecondsAfterFinished: 86400", "ttlSecondsAfterFinished: 1", "ttlSecondsAfterFinished", KEDA),
    ("workers of ten seconds", PODS, 'value: "60"\n', 'value: "60"\n      - op: add\n        path: /spec/jobTargetRef/template/spec/containers/0/args/-\n        value: --max-age=10\n', "args", KEDA),
    ("one pod with another store", TRAIN, "            - name: TMPDIR\n", "            - name: JHALAK__STORE\n              value: s3://jhalak/other\n            - name: TMPDIR\n", "JHALAK__STORE", BASE),
    ("one pod with another prefix", NIGHTLY, "                - name: TMPDIR\n", "                - name: JHALAK__RABBITMQ__PREFIX\n                  value: other\n                - name: TMPDIR\n", "JHALAK__RABBITMQ__PREFIX", BASE),
    ("all GPU workers stop at once", "components/gpu/extract.patch.yaml", "maxUnavailable: 1", "maxUnavailable: 100%", "maxUnavailable", GPU),
    # Shape.
    ("misspelt field of a pod", EXTRACT, "readinessProbe:", "readyProbe:", "readyProbe", BASE),
    ("misspelt field of a Job", NIGHTLY, "ttlSecondsAfterFinished", "ttlSecondsAfterFinish", "ttlSecondsAfterFinish", BASE),
    ("a word that is not allowed", EXTRACT, "whenUnsatisfiable: ScheduleAnyway", "whenUnsatisfiable: ScheduleAnyhow", "whenUnsatisfiable", BASE),
    ("quantity with a wrong unit", EXTRACT, "sizeLimit: 4Gi", "sizeLimit: 4GB", "sizeLimit", BASE),
    ("Jobs outside the namespace", JOBS, "  namespace: jhalak\n", "", "", ("keda",)),
]


def apply(mutation, folder):
    """Makes the change in a copy of this folder."""
    file = folder / mutation.file
    text = file.read_text()
    if mutation.old not in text:
        return f"{mutation.file} does not hold {mutation.old!r}: mend the table"
    file.write_text(text.replace(mutation.old, mutation.new, 1))
    return None


def verdict(mutation, programs, codes):
    """None where the change is refused as it should be, else what happened."""
    with tempfile.TemporaryDirectory(prefix="jhalak-mutation-") as parent:
        copy = Path(parent) / "k8s"
        shutil.copytree(K8S, copy, ignore=shutil.ignore_patterns("__pycache__"))
        wrong = apply(mutation, copy)
        if wrong:
            return wrong
        if mutation.where == "images":
            faults = images.check(copy)
        else:
            folder = check.combination(copy, mutation.where, parent) if isinstance(mutation.where, tuple) else copy / mutation.where
            faults, _ = check.faults_of(folder, folder.name, programs, codes, copy)
    if not faults:
        return "is accepted"
    file = "" if mutation.field.startswith("~") else mutation.file
    if not any(mutation.field.lstrip("~") in fault and file in fault for fault in faults):
        return f"is refused, but no message names {mutation.field} and {mutation.file}:\n    " + "\n    ".join(faults[:5])
    return None


def main():
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    programs, codes = Programs(check.programs_folder()), exit_codes()
    table = [Mutation(*row) for row in [*TABLE, *images.MUTATIONS]]
    chosen = [m for m in table if word in m.name or word in m.file]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = list(pool.map(lambda m: verdict(m, programs, codes), chosen))
    failed = [(m, said) for m, said in zip(chosen, verdicts) if said]
    for mutation, said in failed:
        print(f"{mutation.file}: {mutation.name}: {said}")
    print(f"{len(chosen) - len(failed)} of {len(chosen)} mutations are refused")
    sys.exit(bool(failed) or not chosen)


if __name__ == "__main__":
    main()
