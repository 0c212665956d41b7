#!/usr/bin/env bash
# Builds the image of k8s/runtime.Dockerfile around the built programs, and runs a coordinator and two workers in it
# through one whole small run: as user 10001, on a read-only root, without capabilities, with the arguments, settings and
# volumes of k8s/base, over a private RabbitMQ and a private S3 server.
#
#     scripts/image_test.sh [DATASET]      the demo dataset unless named
#
# PROGRAMS is the folder of jhalak and jhalak-worker ($CARGO_TARGET_DIR/release, else where the Makefile builds). Needs
# root, a Debian mirror, and: buildah skopeo umoci bubblewrap mmdebstrap. No container engine runs, and nothing is pushed.
# Not part of `make test`: the first run takes minutes, most of them for the base image, which is kept in the cache.
# shellcheck disable=SC1091,SC2154 # the servers' files are written when they start
set -euo pipefail
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
source scripts/servers/common.sh

cache=${JHALAK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/jhalak}
programs=${PROGRAMS:-${CARGO_TARGET_DIR:-$cache/target}/release}
dataset=$(readlink -f -- "${1:-.local/demo/dataset}")
kubectl=${KUBECTL:-.local/bin/kubectl}
python=${PYTHON:-.local/venv/bin/python}
image=localhost/jhalak:test

missing=()
for program in buildah:buildah skopeo:skopeo umoci:umoci bwrap:bubblewrap mmdebstrap:mmdebstrap; do
    command -v "${program%%:*}" >/dev/null || missing+=("${program##*:}")
done
if ((${#missing[@]} > 0)); then
    say "missing; install them: apt-get install --no-install-recommends ${missing[*]}"
    exit 3
fi
[ "$(id -u)" = 0 ] || die "root is needed to unpack the image with its owners"
[ -x "$programs/jhalak-worker" ] || die "no programs in $programs: build them first (make build), or set PROGRAMS"

work=$(mktemp -d "${TMPDIR:-/tmp}/jhalak-image-XXXXXX")
finish() {
    local job
    # The coordinator and the workers, if something failed before they ended.
    for job in $(jobs -p); do kill -- "$job" 2>/dev/null || true; done
    wait || true
    scripts/servers/rabbitmq.sh stop "$work/rabbitmq" 2>/dev/null || true
    scripts/servers/seaweedfs.sh stop "$work/seaweedfs" 2>/dev/null || true
    buildah rm --all >/dev/null 2>&1 || true
    rm -rf -- "$work"
}
trap finish EXIT

# A storage of its own: images of the machine are not touched. The driver that needs no kernel module.
export CONTAINERS_STORAGE_CONF=$work/storage.conf BUILDAH_ISOLATION=chroot
printf '[storage]\ndriver = "vfs"\nrunroot = "%s"\ngraphroot = "%s"\n' "$work/run" "$work/storage" >"$CONTAINERS_STORAGE_CONF"

make_base() {
    local base=$cache/image/debian-12-slim container
    if [ ! -d "$base" ]; then
        say "making a base like debian:12-slim from Debian's packages, once"
        mkdir -p -- "${base%/*}"
        rm -rf -- "$base.new"
        mmdebstrap --quiet --format=directory --variant=minbase --include=ca-certificates bookworm "$base.new"
        mv -- "$base.new" "$base"
    fi
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$base" / >/dev/null
    buildah commit --quiet "$container" localhost/jhalak-base:12 >/dev/null
    buildah rm "$container" >/dev/null
}

build_image() {
    local out=$work/build/out
    mkdir -p -- "$out/programs"
    strip -o "$out/programs/jhalak" "$programs/jhalak"
    strip -o "$out/programs/jhalak-worker" "$programs/jhalak-worker"
    cp -rL .local/onnxruntime .local/models "$out/"
    buildah bud --quiet --pull-never --network host --timestamp 0 --build-context "build=$work/build" \
        --build-arg BASE=localhost/jhalak-base:12 --build-arg VERSION=test \
        --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
        -f k8s/runtime.Dockerfile -t "$image" k8s >"$work/build.log" 2>&1 || die "the build failed: $(tail -n 20 "$work/build.log")"
    skopeo copy --quiet "containers-storage:$image" "oci:$work/oci:test"
    umoci --log=error unpack --image "$work/oci:test" "$work/bundle"
    # What the kubelet makes: the places where volumes are mounted.
    mkdir -p -- "$work/bundle/rootfs/scratch" "$work/bundle/rootfs/etc/jhalak" "$work/bundle/rootfs/etc/jhalak-queue" "$work/bundle/rootfs/dataset"
    say "the image has $(du -sm "$work/bundle/rootfs" | cut -f1) MB, the programs" \
        "$(du -m "$out/programs/jhalak" | cut -f1) MB and $(du -m "$out/programs/jhalak-worker" | cut -f1) MB"
}

check_configuration() {
    skopeo inspect --config "oci:$work/oci:test" >"$work/config.json"
    "$python" - "$work/config.json" <<'PY'
import json, sys

config = json.load(open(sys.argv[1]))["config"]
assert config["User"] == "10001:10001", config["User"]
labels = config["Labels"]
for name in ("title", "version", "revision", "licenses", "description", "base.name"):
    assert labels.get(f"org.opencontainers.image.{name}"), f"the label {name} is missing"
PY
}

# Writes the arguments and variables of a workload of k8s/base, one per line, as the kubelet would set them.
read_pod() {
    "$kubectl" kustomize k8s/base >"$work/base.yaml"
    "$python" - "$work/base.yaml" "$work" <<'PY'
import sys, yaml

items = [item for item in yaml.safe_load_all(open(sys.argv[1])) if item]
settings = next(i for i in items if i["metadata"]["name"].startswith("jhalak-settings"))
open(f"{sys.argv[2]}/jhalak.toml", "w").write(settings["data"]["jhalak.toml"])
for item in items:
    name, spec = item["metadata"]["name"], item.get("spec", {})
    pod = spec.get("template") or spec.get("jobTemplate", {}).get("spec", {}).get("template")
    if not pod:
        continue
    container = pod["spec"]["containers"][0]
    variables = {v["name"]: v["value"] for v in container["env"] if "value" in v}
    with open(f"{sys.argv[2]}/{name}.args", "w") as out:
        out.write("\n".join([*container["command"], *container["args"]]) + "\n")
    with open(f"{sys.argv[2]}/{name}.env", "w") as out:
        out.writelines(f"{key}={value}\n" for key, value in variables.items())
PY
}

# pod NAME ENV_OF COMMAND...: runs a command as a pod of the manifests would: COMMAND in the image, with the variables of
# the workload ENV_OF. `bwrap` gives what the securityContext asks for.
pod() {
    local name=$1 environment=$2 variables=() line
    shift 2
    while read -r line; do
        variables+=(--setenv "${line%%=*}" "${line#*=}")
    done < <(cat "$work/$environment.env" "$work/places.env")
    exec bwrap --ro-bind "$work/bundle/rootfs" / --proc /proc --dev /dev --tmpfs /scratch \
        --ro-bind "$work/settings" /etc/jhalak --ro-bind "$work/queue" /etc/jhalak-queue --ro-bind "$dataset" /dataset --ro-bind /etc/resolv.conf /etc/resolv.conf \
        --unshare-user --unshare-pid --unshare-ipc --uid 10001 --gid 10001 --cap-drop ALL --die-with-parent --clearenv \
        --setenv PATH /usr/bin:/bin --setenv HOSTNAME "$name" \
        --setenv JHALAK__MODELS__FOLDER /usr/share/jhalak/models \
        --setenv JHALAK__MODELS__ONNXRUNTIME /usr/lib/jhalak/libonnxruntime.so \
        "${variables[@]}" -- "$@" >"$work/$name.out" 2>"$work/$name.log"
}

make_base
build_image
check_configuration
read_pod
mkdir -p -- "$work/settings"
cp -- "$work/jhalak.toml" "$work/settings/"
chmod -R a+rX "$work/settings" "$work/bundle/rootfs"
chmod a+rx "$work"

scripts/servers/rabbitmq.sh start "$work/rabbitmq"
scripts/servers/seaweedfs.sh start "$work/seaweedfs"
scripts/servers/seaweedfs.sh bucket "$work/seaweedfs" jhalak
source "$work/rabbitmq/env"
source "$work/seaweedfs/env"
mkdir -p -- "$work/queue"
printf '%s\n' "$AMQP_URL" >"$work/queue/url"
chmod -R a+rX "$work/queue"
cat >"$work/places.env" <<ENV
JHALAK__STORE=s3://jhalak/image
JHALAK__S3__ENDPOINT=$S3_ENDPOINT
JHALAK__S3__REGION=$AWS_REGION
AWS_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID
AWS_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY
JHALAK__WORKER__SLOTS=1
JHALAK__EVALUATE__FOLDS=2
JHALAK__EVALUATE__EPOCHS=2
ENV

# The rights of a pod, as the kernel reports them.
(pod rights jhalak-extract sh -c 'id -u; grep -E "^(CapEff|NoNewPrivs)" /proc/self/status; touch /usr/probe /etc/jhalak/probe 2>&1; touch /scratch/probe && echo scratch') || true
for expected in '^10001$' '^CapEff:.0000000000000000$' '^NoNewPrivs:.1$' 'usr/probe.*Read-only' 'jhalak/probe.*Read-only' '^scratch$'; do
    grep -Eq "$expected" "$work/rights.out" || die "a pod has other rights than expected ($expected): $(cat "$work/rights.out" "$work/rights.log")"
done

(pod doctor jhalak-nightly jhalak doctor) || die "doctor fails in the image: $(cat "$work/doctor.out" "$work/doctor.log")"
say "doctor is content in the image"

mapfile -t extract <"$work/jhalak-extract.args"
mapfile -t train <"$work/jhalak-train.args"
mapfile -t submit < <(sed 's,^\$(DATASET)$,/dataset,' "$work/jhalak-once.args")
began=$SECONDS
pod extract jhalak-extract "${extract[@]}" --until-idle 90 & extract_pid=$!
pod train jhalak-train "${train[@]}" --until-idle 90 & train_pid=$!
pod submit jhalak-once "${submit[@]}" & submit_pid=$!
wait "$submit_pid" || die "the coordinator failed: $(tail -n 5 "$work/submit.log"; tail -n 3 "$work/extract.log" "$work/train.log")"
say "the run took $((SECONDS - began)) s: $(tail -c 300 "$work/submit.out" | tr -d '\n')"
# Nothing is left: the workers end by themselves.
wait "$extract_pid" || die "the extraction worker failed: $(tail -n 5 "$work/extract.log")"
wait "$train_pid" || die "the training worker failed: $(tail -n 5 "$work/train.log")"
! grep -h 'Read-only file system\|Permission denied' "$work"/*.log || die "a program tried to write outside its volumes"
(pod report jhalak-nightly jhalak status) || die "the run cannot be read: $(cat "$work/report.log")"
cat "$work/report.out"
say "the image runs"
