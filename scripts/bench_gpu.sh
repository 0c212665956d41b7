#!/usr/bin/env bash
# Measures on one NVIDIA GPU: bench_gpu.sh prepare DIR | run DIR.
#
# prepare  on a machine with this checkout and a network: builds with `--features cuda` and collects programs, libraries,
#          models and the demo in DIR. Files above 48 MB are split, for ways of carrying that take small files alone.
#          PROVIDERS=cpu builds without CUDA and takes the CPU's ONNX Runtime, to try everything without a GPU.
# run      on the machine with the GPU, which needs bash, Python 3.11 and glibc 2.36: at most 12 minutes. Joins the files and
#          checks their SHA-256, then runs the doctor, every model by batch size and provider, and a small extraction. Writes
#          DIR/results.md.
set -euo pipefail

usage() {
    sed -n '2,10s/^# \?//p' "${BASH_SOURCE[0]}"
    exit 2
}

[ $# -eq 2 ] || usage
PROVIDERS=${PROVIDERS:-cpu,cuda,tensorrt}

prepare() {
    local out=$1 features=() version libraries
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    [ ! -e "$out" ] || { echo "bench_gpu.sh: $out exists: name another folder" >&2; exit 2; }
    scripts/setup.sh run
    [ "$PROVIDERS" = cpu ] || features=(--features jhalak-coordinator/cuda,jhalak-worker/cuda)
    cargo build --release --locked --workspace --bins --examples "${features[@]}"
    local target=${CARGO_TARGET_DIR:-${JHALAK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/jhalak}/target}/release
    mkdir -p "$out"/{bin,lib,ort,cuda}
    out=$(cd "$out" && pwd)
    cp "$target/jhalak" "$target/jhalak-worker" "$target/examples/inference_bench" scripts/bench/gpu.py "$out/bin/"
    cp "${BASH_SOURCE[0]}" "$out/"
    # FFmpeg and what it needs; the C library and the loader are those of the other machine.
    libraries=$(ldd "$target/jhalak" | awk '$3 ~ /^\// {print $3}' | grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux)[.-]')
    xargs -d '\n' cp -L -t "$out/lib" <<<"$libraries"
    version=$(awk -F'\t' '$4 == "onnxruntime" {print $5; exit}' scripts/setup/packages.tsv)
    if [ "$PROVIDERS" = cpu ]; then
        cp -L .local/onnxruntime/libonnxruntime.so "$out/ort/libonnxruntime.so.$version"
    else
        python3 -m pip install --quiet --target "$out/wheels" "onnxruntime-gpu[cuda,cudnn]==$version"
        cp "$out"/wheels/onnxruntime/capi/libonnxruntime*.so* "$out/ort/"
        find "$out/wheels/nvidia" -name '*.so*' -exec cp -L -t "$out/cuda" {} +
        rm -rf -- "$out/wheels"
    fi
    cp -rL .local/models "$out/models"
    cp -rL .local/demo/dataset "$out/dataset"
    cp models.toml demo/jhalak.toml "$out/"
    python3 scripts/bench/inference.py "$out/bin/inference_bench" --write-shapes "$out/shapes.json"
    cd "$out"
    find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum > SHA256SUMS
    find . -type f -size +48M -print0 | while IFS= read -r -d '' file; do
        split --bytes=48M --numeric-suffixes --suffix-length=3 "$file" "$file.piece-"
        rm -- "$file"
    done
    echo "bench_gpu.sh: carry $out to the machine with the GPU ($(du -sh . | cut -f1)), then there: bash bench_gpu.sh run ."
}

# section TITLE SECONDS COMMAND...: runs a command with a time limit; its output and exit code go into the results.
section() {
    local title=$1 limit=$2 code=0
    shift 2
    echo "bench_gpu.sh: $title" >&2
    {
        printf '\n## %s\n\n' "$title"
        timeout "$limit" "$@" 2>&1 || code=$?
        printf '\nexit code %s, %s s\n' "$code" "$SECONDS"
    } >> results.md
}

run() {
    cd "$1"
    find . -name '*.piece-000' -print0 | while IFS= read -r -d '' first; do
        cat -- "${first%000}"[0-9][0-9][0-9] > "${first%.piece-000}"
        rm -- "${first%000}"[0-9][0-9][0-9]
    done
    sha256sum --quiet --check SHA256SUMS
    chmod +x bin/*
    local library
    library=$(find "$PWD/ort" -name 'libonnxruntime.so.*' | head -1)
    export LD_LIBRARY_PATH=$PWD/lib:$PWD/ort:$PWD/cuda
    export JHALAK__MODELS__FOLDER=$PWD/models JHALAK__MODELS__ONNXRUNTIME=$library JHALAK__MODELS__REGISTRY=$PWD/models.toml
    SECONDS=0
    echo "# One NVIDIA GPU ($(date -u +%F))" > results.md
    section "Machine" 20 bash -c 'nvidia-smi; nproc; grep -m1 "model name" /proc/cpuinfo'
    local provider
    for provider in ${PROVIDERS//,/ }; do
        section "Doctor, $provider" 60 bin/jhalak doctor --store store --set "inference.provider=$provider"
    done
    section "Batch sizes" 360 python3 bin/gpu.py bin/inference_bench --models models --registry models.toml \
        --library "$library" --shapes shapes.json --providers "$PROVIDERS"
    for provider in ${PROVIDERS//,/ }; do
        [ "$provider" != tensorrt ] || continue
        section "The demo's trailers, $provider" 120 bin/jhalak extract --quiet --config jhalak.toml \
            --store "store-$provider" --set "inference.provider=$provider" dataset/trailers
    done
    echo "bench_gpu.sh: $PWD/results.md after $SECONDS s" >&2
}

case $1 in
    prepare) prepare "$2" ;;
    run) run "$2" ;;
    *) usage ;;
esac
