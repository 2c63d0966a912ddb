# The images of STOQ mesh: targets operator, sidecar, init and node. `hack/images` builds them, with docker
# or buildah; the build context is what it gathers (.stoq/images/context): the wheel of this
# repository, and the wheels of the locks with their hashes.
#
# Every image runs without root (but init, which programs nftables, and node, which loads kernel
# programs), on a read-only root file system, and writes nothing there. The sidecar's has what an idle sidecar needs and nothing more.

# Any Debian with Python 3.11 or later does. hack/images bootstraps one from Debian packages where no
# registry can be reached.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS python
RUN dpkg -s python3 nftables >/dev/null 2>&1 \
  || { apt-get update \
    && apt-get install -y --no-install-recommends python3 nftables \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*; }

FROM python AS builder
RUN python3 -m venv --without-pip /opt/stoq
COPY pip /pip
COPY wheels /wheels
COPY requirements-sidecar.lock requirements-operator.lock requirements-node.lock /locks/
# Only what lies here is installed, and of the locks only what has their hashes.
ENV PYTHONPATH=/pip PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels PIP_NO_DEPS=1 PIP_NO_CACHE_DIR=1 \
  PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# The node agent with its kernel programs is in neither of these two: nobody there may load them.
FROM builder AS build-sidecar
RUN /opt/stoq/bin/python -m pip install --quiet --require-hashes -r /locks/requirements-sidecar.lock \
  && /opt/stoq/bin/python -m pip install --quiet stoq-mesh \
  && rm -r /opt/stoq/lib/python3*/site-packages/stoq_node /opt/stoq/bin/stoq-node

FROM builder AS build-operator
RUN /opt/stoq/bin/python -m pip install --quiet --require-hashes -r /locks/requirements-operator.lock \
  && /opt/stoq/bin/python -m pip install --quiet stoq-mesh \
  && rm -r /opt/stoq/lib/python3*/site-packages/stoq_node /opt/stoq/bin/stoq-node

FROM builder AS build-node
RUN /opt/stoq/bin/python -m pip install --quiet --require-hashes -r /locks/requirements-node.lock \
  && /opt/stoq/bin/python -m pip install --quiet stoq-mesh

FROM python AS runtime
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.vendor="STOQ mesh"
# Byte code was compiled when the wheels were installed; the root file system stays as it is.
ENV PATH=/opt/stoq/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /

FROM runtime AS sidecar
LABEL org.opencontainers.image.title="stoq-sidecar" \
  org.opencontainers.image.description="The sidecar of STOQ mesh, stoq-init, stoq-ready and stoq-gateway"
COPY --from=build-sidecar /opt/stoq /opt/stoq
# stoq.constants.SIDECAR_UID: capture lets this user's traffic out as it is.
USER 14008:14008
ENTRYPOINT ["stoq-sidecar"]

FROM sidecar AS init
LABEL org.opencontainers.image.title="stoq-init" \
  org.opencontainers.image.description="Programs capture in the network namespace of a pod, and holds it back until its sidecar is ready"
# With NET_ADMIN and NET_RAW and no other capability, and with none once it waits for the sidecar.
USER 0:0
ENTRYPOINT ["stoq-init"]

FROM runtime AS operator
LABEL org.opencontainers.image.title="stoq-operator" \
  org.opencontainers.image.description="The operator of STOQ mesh: registry, authority, webhook"
COPY --from=build-operator /opt/stoq /opt/stoq
# Debian's nobody: the operator owns no file.
USER 65534:65534
ENTRYPOINT ["stoq-operator"]

FROM runtime AS node
LABEL org.opencontainers.image.title="stoq-node" \
  org.opencontainers.image.description="The node agent of STOQ mesh, with its kernel programs"
COPY --from=build-node /opt/stoq /opt/stoq
# With BPF, PERFMON and NET_ADMIN and no other capability: what is pinned belongs to root.
USER 0:0
ENTRYPOINT ["stoq-node"]
CMD ["run"]
