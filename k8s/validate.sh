#!/usr/bin/env bash
# Checks the manifests and the Dockerfiles, then breaks them in every way of the table in mutations.py and requires that
# each is refused. Needs no cluster: see check.py.
#
# KUBECTL and PYTHON name the programs (.local/bin/kubectl, .local/venv/bin/python: 'scripts/setup.sh test' brings both),
# PROGRAMS the folder of the built jhalak and jhalak-worker.
set -euo pipefail
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

export KUBECTL=${KUBECTL:-.local/bin/kubectl} PYTHONDONTWRITEBYTECODE=1
python=${PYTHON:-.local/venv/bin/python}

for program in "$KUBECTL" "$python"; do
    command -v "$program" >/dev/null || { echo "k8s/validate.sh: $program is missing: run 'scripts/setup.sh test'" >&2; exit 3; }
done
if [[ -z ${K8S_SCHEMAS:-} && -d ../shared/k8s-schemas ]]; then
    export K8S_SCHEMAS=../shared/k8s-schemas
fi
[[ -n ${K8S_SCHEMAS:-} ]] || echo "k8s/validate.sh: K8S_SCHEMAS is not set: KEDA's own schemas are left out, the table of checks/schema.py stands for them"

"$python" k8s/check.py
"$python" k8s/mutations.py
