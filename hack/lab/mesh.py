"""A mesh in the laboratory: the control process, and a sidecar in every pod that is to have one.

Everything here is what a user would start by hand: the programs of the distribution, settings in
the environment, manifests in a folder.
"""

import functools
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from lab import installation, netns, process
from lab.command import CommandError
from lab.plan import Pod
from lab.process import Process
from lab.state import State

ADMIN: Final = "http://[::1]:14000"
METRICS_PORT: Final = 14020
CONTROL_PORT: Final = 14012
NAMESPACE: Final = "demo"
"""Kubernetes namespace of every pod here."""

READY_SECONDS: Final = 60.0
"""How long a program may take to become ready on a busy machine."""


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """What a mesh in the laboratory may differ in."""

    trust_domain: str = "stoq.test"
    inbound: str = "permissive"
    outbound: str = "allow"
    capture: str = "init"
    """`init`: stoq-init programs nftables; `node`: the control process does, as the broker;
    `agent`: a node agent does, which is not ours to start.
    """
    svid_ttl_seconds: int = 86400
    exempt_sources: tuple[str, ...] = ()
    probe_ports: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further STOQ_* settings of every sidecar."""


class Mesh:
    """One mesh: a folder of manifests, one control process, sidecars by pod name."""

    def __init__(
        self, state: State, control: Pod, settings: MeshSettings | None = None, folder: str = ""
    ) -> None:
        """`folder`, below that of `state`, is for a laboratory with several meshes."""
        self.state = state
        self.control_pod = control
        self.settings = settings or MeshSettings()
        self.folder = state.folder / folder
        self.store = self.folder / "store"
        self.control: Process | None = None
        self.sidecars: dict[str, Process] = {}
        self.store.mkdir(parents=True)
        self.configure()

    def configure(self, **more: Any) -> None:
        """Writes the MeshConfig: the settings, and `more` fields of its spec."""
        spec: dict[str, Any] = {
            "trustDomain": self.settings.trust_domain,
            "inbound": self.settings.inbound,
            "outbound": self.settings.outbound,
            "svidTtlSeconds": self.settings.svid_ttl_seconds,
            "exemptSources": list(self.settings.exempt_sources),
            "probePorts": list(self.settings.probe_ports),
        }
        self.write("MeshConfig", "mesh", spec | more, namespaced=False)

    @property
    def bundle(self) -> Path:
        """The root certificates, written by the control process."""
        return self.folder / "bundle" / "bundle.pem"

    def spiffe_id(self, pod: Pod) -> str:
        """The identity of a pod of this mesh: its service account is named as the pod is."""
        return f"spiffe://{self.settings.trust_domain}/ns/{NAMESPACE}/sa/{pod.name}"

    def write(
        self,
        kind: str,
        name: str,
        spec: Mapping[str, Any],
        *,
        namespaced: bool = True,
        namespace: str = NAMESPACE,
    ) -> Path:
        """Writes a manifest; the control process follows it. JSON is YAML."""
        metadata = {"name": name, **({"namespace": namespace} if namespaced else {})}
        manifest = {
            "apiVersion": "stoq.dev/v1alpha1",
            "kind": kind,
            "metadata": metadata,
            "spec": spec,
        }
        file = self.store / f"{kind.lower()}-{name}.yaml"
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(manifest, indent=1))
        return fresh.replace(file)

    def start_control(self) -> Process:
        """Starts the registry, the CA and the broker in their own pod; returns when ready."""
        self.bundle.parent.mkdir(exist_ok=True)
        arguments = [
            *("--store", str(self.store)),
            *("--state", str(self.folder / "control")),
            *("--bundle", str(self.bundle)),
            *("--listen", f"[{self.control_pod.ipv6}]:{CONTROL_PORT}"),
        ]
        argv = installation.as_root("stoq_operator.embedded", arguments)
        name = self.control_pod.name
        self.control = process.start(self.state, name, argv, netns=self.control_pod.netns)
        self.control.wait_until("ready", lambda: self.ready(self.control_pod), READY_SECONDS)
        return self.control

    def enrol(self, pod: Pod) -> None:
        """Writes the pod's manifest and its join token."""
        folder = self.folder / "pods" / pod.name
        folder.mkdir(parents=True)
        token = secrets.token_urlsafe(32)
        file = folder / "token"
        file.touch(mode=0o640)
        file.write_text(token)
        # Readable by the sidecar, not by the application beside it.
        os.chown(file, 0, installation.SIDECAR_UID)
        spec = {
            "addresses": [str(address) for address in pod.addresses],
            "serviceAccount": pod.name,
            "joinTokenHash": hashlib.sha256(token.encode()).hexdigest(),
        }
        if self.settings.capture == "node":
            spec["netns"] = f"/run/netns/{pod.netns}"
        self.write("Workload", pod.name, spec)

    def start_sidecar(self, pod: Pod, settings: Mapping[str, str] | None = None) -> Process:
        """Starts the pod's sidecar, with further `settings`, and captures the pod's traffic, in the
        order that pods have; does not wait until it is ready.
        """
        started = self._started(pod, "sidecar", "stoq_sidecar", settings or {})
        if self.settings.capture == "init":
            argv = installation.as_root("stoq_sidecar.init")
            netns.run_in(pod.netns, [*_environment_words(self.environment(pod)), *argv])
        return started

    def start_gateway(self, pod: Pod) -> Process:
        """Starts a gateway in a pod of its own, whose traffic nobody captures; does not wait until
        it is ready.
        """
        return self._started(pod, "gateway", "stoq_sidecar.gateway", {})

    def _started(self, pod: Pod, kind: str, module: str, settings: Mapping[str, str]) -> Process:
        """One of the pods' programs, as the sidecars' user."""
        started = process.start(
            self.state,
            f"{kind}-{pod.name}",
            installation.as_sidecar(self.state, module),
            netns=pod.netns,
            environment={**self.environment(pod), **settings},
        )
        self.sidecars[pod.name] = started
        return started

    def wait_ready(self, pods: Sequence[Pod]) -> None:
        """Waits until the sidecars of `pods` say that they are. Raises process.ProcessError."""
        for pod in pods:
            sidecar = self.sidecars[pod.name]
            sidecar.wait_until("ready", functools.partial(self.ready, pod), READY_SECONDS)

    def ready(self, pod: Pod) -> bool:
        """Whether the sidecar, or the control process, says that it is ready."""
        url = f"http://[::1]:{METRICS_PORT}/healthz/ready"
        try:
            netns.run_in(pod.netns, ["curl", "-sf", "--max-time", "2", url])
        except CommandError:
            return False
        return True

    def admin(self, pod: Pod, path: str) -> Any:
        """What the sidecar's admin port answers to GET `path`, decoded from JSON."""
        argv = ["curl", "-sSf", "--max-time", "20", f"{ADMIN}{path}"]
        return json.loads(netns.run_in(pod.netns, argv))

    def registry(self, pod: Pod) -> Any:
        """What the registry has told the pod's sidecar."""
        return self.admin(pod, "/config")["registry"]

    def vips(self, pod: Pod, record: str) -> list[str]:
        """The virtual addresses that the pod's sidecar knows of the service record of that name."""
        services = self.registry(pod)["services"]
        return list(services.get(f"{NAMESPACE}/{record}", {"vips": []})["vips"])

    def counted(self, pod: Pod, prefix: str) -> dict[str, float]:
        """The metrics of the pod's sidecar that begin with `prefix` and have no labels, by name."""
        return {
            sample.name: sample.value
            for sample in _samples(pod)
            if sample.name.startswith(prefix) and not sample.labels
        }

    def total(self, pod: Pod, name: str) -> float:
        """The sum of what the pod's sidecar, or gateway, has counted under `name`, whatever the
        labels.
        """
        return sum(sample.value for sample in _samples(pod) if sample.name == name)

    def metrics_url(self, pod: Pod) -> str:
        """Where the pod's metrics are scraped."""
        return f"http://[{pod.ipv6}]:{METRICS_PORT}/metrics"

    def environment(self, pod: Pod) -> dict[str, str]:
        """Settings of the pod's sidecar, or of a program in the pod that is a member itself."""
        return {
            **installation.environment(self.state),
            "STOQ_POD_NAME": pod.name,
            "STOQ_POD_NAMESPACE": NAMESPACE,
            "STOQ_POD_SERVICE_ACCOUNT": pod.name,
            "STOQ_CONTROL_ADDRESS": f"[{self.control_pod.ipv6}]:{CONTROL_PORT}",
            "STOQ_IDENTITY_TRUST_DOMAIN": self.settings.trust_domain,
            "STOQ_IDENTITY_BUNDLE_FILE": str(self.bundle),
            "STOQ_IDENTITY_TOKEN_FILE": str(self.folder / "pods" / pod.name / "token"),
            "STOQ_CAPTURE_MODE": "init" if self.settings.capture == "init" else "node",
            **self.settings.environment,
        }


def _samples(pod: Pod) -> Iterator[Sample]:
    url = f"http://[::1]:{METRICS_PORT}/metrics"
    page = netns.run_in(pod.netns, ["curl", "-sf", "--max-time", "5", url])
    for family in text_string_to_metric_families(page):
        yield from family.samples


def _environment_words(variables: Mapping[str, str]) -> list[str]:
    return ["env", *(f"{name}={value}" for name, value in variables.items())]
