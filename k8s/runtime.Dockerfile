# syntax=docker/dockerfile:1
# The image that runs, with both programs, so that a run's coordinator and workers are of one version. It has no shell
# of ours, no compiler and no sources. `build` is the image of build.Dockerfile:
#
#     docker build -f k8s/runtime.Dockerfile --build-context build=docker-image://jhalak-build:0.1.0 \
#         --build-arg VERSION=0.1.0 --build-arg REVISION=$(git rev-parse HEAD) -t jhalak:0.1.0 k8s
#
# To pin the base, name it by what your registry holds: --build-arg BASE=debian:12-slim@sha256:...
ARG BASE=debian:12-slim
FROM ${BASE}
# The packages whose headers the programs were built with. Debian's security updates are wanted: their versions stay open.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates libavcodec59 libavformat59 libavutil57 libstdc++6 libswresample4 libswscale6 \
    && rm -rf /var/lib/apt/lists/*
# hadolint ignore=DL3022
COPY --from=build /out/onnxruntime /usr/lib/jhalak
# hadolint ignore=DL3022
COPY --from=build /out/models /usr/share/jhalak/models
# hadolint ignore=DL3022
COPY --from=build /out/programs/jhalak /out/programs/jhalak-worker /usr/bin/
ENV JHALAK__MODELS__FOLDER=/usr/share/jhalak/models \
    JHALAK__MODELS__ONNXRUNTIME=/usr/lib/jhalak/libonnxruntime.so
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Jhalak" \
    org.opencontainers.image.description="Movie trailers and viewers' feedback into embeddings and a preference classifier" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="debian:12-slim"
# The same number as runAsUser in the manifests.
USER 10001:10001
CMD ["jhalak", "--help"]
