# syntax=docker/dockerfile:1
# The image that runs on NVIDIA GPUs (components/gpu): runtime.Dockerfile with the ONNX Runtime for CUDA 13 and NVIDIA's
# libraries, all from PyPI. `build` is the image of build.Dockerfile, built with FEATURES=--features=cuda:
#
#     docker build -f k8s/build.Dockerfile --build-arg FEATURES=--features=cuda -t jhalak-build-cuda:0.1.0 .
#     docker build -f k8s/cuda.Dockerfile --build-context build=docker-image://jhalak-build-cuda:0.1.0 \
#         --build-arg VERSION=0.1.0 --build-arg REVISION=$(git rev-parse HEAD) -t jhalak-cuda:0.1.0 k8s
#
# To pin the bases: --build-arg BASE=debian:12-slim@sha256:... --build-arg PYTHON=python:3.11-slim-bookworm@sha256:...
ARG BASE=debian:12-slim
ARG PYTHON=python:3.11-slim-bookworm
FROM ${PYTHON} AS libraries
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# The version of ONNX Runtime that the programs are tested with (scripts/setup/packages.tsv).
RUN pip install --no-cache-dir --target /wheels 'onnxruntime-gpu[cuda,cudnn]==1.31.1'; \
    mkdir -p /out/cuda; \
    cp /wheels/onnxruntime/capi/libonnxruntime*.so* /out/; \
    ln -sf libonnxruntime.so.1.31.1 /out/libonnxruntime.so; \
    find /wheels/nvidia -name '*.so*' -exec cp -P -t /out/cuda {} +

FROM ${BASE}
# The packages whose headers the programs were built with. Debian's security updates are wanted: their versions stay open.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates libavcodec59 libavformat59 libavutil57 libstdc++6 libswresample4 libswscale6 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=libraries /out /usr/lib/jhalak
# hadolint ignore=DL3022
COPY --from=build /out/models /usr/share/jhalak/models
# hadolint ignore=DL3022
COPY --from=build /out/programs/jhalak /out/programs/jhalak-worker /usr/bin/
ENV JHALAK__MODELS__FOLDER=/usr/share/jhalak/models \
    JHALAK__MODELS__ONNXRUNTIME=/usr/lib/jhalak/libonnxruntime.so \
    LD_LIBRARY_PATH=/usr/lib/jhalak:/usr/lib/jhalak/cuda \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Jhalak for CUDA" \
    org.opencontainers.image.description="Movie trailers and viewers' feedback into embeddings and a preference classifier" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="debian:12-slim"
# The same number as runAsUser in the manifests.
USER 10001:10001
CMD ["jhalak", "--help"]
