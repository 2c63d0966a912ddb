"""Fixtures of the ring on a real Kubernetes: the cluster that `hack/cluster up` made.

Tests know a kubeconfig and the verbs of `hack/cluster`, not how the cluster was made. Without a
cluster they fail: none is ever skipped.
"""

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest

from cluster.access import Cluster


@pytest.fixture(scope="session")
def running() -> Cluster:
    """The cluster under test: STOQ_CLUSTER, else `local`."""
    return Cluster(os.environ.get("STOQ_CLUSTER", "local"))


@pytest.fixture(scope="module")
def cluster(running: Cluster) -> Iterator[Cluster]:
    """The cluster, with a namespace of the module's own as the one that is meant."""
    namespace = f"t-{uuid4().hex[:8]}"
    running.kubectl("create", "namespace", namespace)
    yield Cluster(running.name, namespace)
    running.kubectl("delete", "namespace", namespace, "--wait=false")
