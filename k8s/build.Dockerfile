# syntax=docker/dockerfile:1
# Builds the programs into /out. runtime.Dockerfile and cuda.Dockerfile take them from there; nothing else of this image
# is in theirs.
#
#     docker build -f k8s/build.Dockerfile -t jhalak-build:0.1.0 .
#
# To pin the base, name it by what your registry holds: --build-arg RUST=rust:1.95-bookworm@sha256:...
ARG RUST=rust:1.95-bookworm
FROM ${RUST}
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /jhalak
# Set-up first: a changed source file does not repeat it. It brings FFmpeg's headers, ONNX Runtime and the models, each
# checked by its SHA-256; the demo that it also makes stays behind in this image.
COPY scripts scripts
COPY tools tools
COPY demo demo
COPY models.toml .
RUN scripts/setup.sh run

# The dependencies alone, from the manifests and empty crates: this layer is built again only when they change.
COPY Cargo.toml Cargo.lock ./
COPY common/Cargo.toml common/
COPY coordinator/Cargo.toml coordinator/
COPY tests/Cargo.toml tests/
COPY worker/Cargo.toml worker/
COPY worker/media/Cargo.toml worker/media/
COPY worker/models/Cargo.toml worker/models/
COPY worker/nn/Cargo.toml worker/nn/
COPY worker/onnx/Cargo.toml worker/onnx/
COPY worker/recommend/Cargo.toml worker/recommend/
COPY worker/simd/Cargo.toml worker/simd/
# For the CUDA image: --build-arg FEATURES=--features=cuda
ARG FEATURES=
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    for manifest in common coordinator tests worker worker/*/; do \
        mkdir -p "$manifest/src" "$manifest/benches"; \
        touch "$manifest/src/lib.rs" "$manifest/benches/queue.rs"; \
        echo 'fn main() {}' >"$manifest/src/main.rs"; \
    done; \
    # shellcheck disable=SC2086 # no features are no argument
    cargo build --release --locked --workspace --bins --target-dir /target ${FEATURES}; \
    rm -r common/src coordinator/src tests/src worker/src worker/*/src

COPY . .
# The empty crates are newer than the sources: cargo must not take them for built.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    find . -name '*.rs' -exec touch {} +; \
    # shellcheck disable=SC2086 # no features are no argument
    cargo build --release --locked --workspace --bins --target-dir /target ${FEATURES}; \
    mkdir -p /out/programs; \
    # Line tables are five sixths of a program.
    strip -o /out/programs/jhalak /target/release/jhalak; \
    strip -o /out/programs/jhalak-worker /target/release/jhalak-worker; \
    cp -r .local/onnxruntime .local/models /out/
