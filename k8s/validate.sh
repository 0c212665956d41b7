#!/usr/bin/env bash
# Builds every kustomize folder here and checks what comes out: against Kubernetes' schema, where no unknown field is let through, and
# against what Jhalak promises (check.py). Needs no cluster.
#
# KUBECTL and PYTHON name the programs (.local/bin/kubectl, .local/venv/bin/python: 'scripts/setup.sh test' brings both).
set -euo pipefail
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

kubectl=${KUBECTL:-.local/bin/kubectl}
python=${PYTHON:-.local/venv/bin/python}
# The oldest Kubernetes that has every field used here as stable, and the newest whose schema is at hand.
versions=(1.31.0 1.37.0)

for program in "$kubectl" "$python"; do
    command -v "$program" >/dev/null || { echo "k8s/validate.sh: $program is missing: run 'scripts/setup.sh test'" >&2; exit 3; }
done

built=$(mktemp -d)
trap 'rm -rf -- "$built"' EXIT
failed=0
for folder in k8s/base k8s/overlays/*/; do
    folder=${folder%/}
    file=$built/${folder//\//-}.yaml
    "$kubectl" kustomize "$folder" >"$file" || { failed=1; continue; }
    # KEDA's kinds are not Kubernetes' own: check.py looks at them.
    "$python" - "$file" >"$file.own" <<'PY'
import sys, yaml
items = [item for item in yaml.safe_load_all(open(sys.argv[1])) if item and not item["apiVersion"].startswith("keda.sh/")]
yaml.safe_dump_all(items, sys.stdout)
PY
    for version in "${versions[@]}"; do
        "$python" -m kubernetes_validate --strict --quiet -k "$version" "$file.own" || failed=1
    done
    "$python" k8s/check.py "$folder" <"$file" || failed=1
done
exit "$failed"
