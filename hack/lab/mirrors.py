"""A service record in the laboratory, and its shadow."""

from typing import Final

from lab.mesh import NAMESPACE, READY_SECONDS, Mesh
from lab.plan import Pod

PORT: Final = 80
"""Of both records."""

WHOLE: Final = 10_000
"""The share that is every connection."""

RECORD: Final = "service"
SHADOW: Final = "service-next"


class Mirrored:
    """The records `service`, of one pod, and `service-next`, of another, which may get copies of
    what is said to the first. `port` is that of both applications.
    """

    def __init__(self, mesh: Mesh, server: Pod, shadow: Pod, port: int) -> None:
        self._mesh = mesh
        self._shadow = shadow
        self._server = server
        self._port = port
        self._write(SHADOW, shadow)
        self._write(RECORD, server)

    def _write(self, record: str, pod: Pod, **more: object) -> None:
        ports = [{"port": PORT, "targetPort": self._port}]
        endpoints = [{"address": str(pod.ipv6)}]
        self._mesh.write("ServiceRecord", record, {"ports": ports, "endpoints": endpoints, **more})

    def share(self, client: Pod, share: int) -> None:
        """Mirrors so many of ten thousand connections (0: none), and waits until it is known."""
        mirrors = [{"to": SHADOW, "share": share}] if share else []
        self._write(RECORD, self._server, mirrors=mirrors)
        self.wait_until_told(client, share)

    def wait_until_told(self, client: Pod, share: int) -> None:
        """Returns when the client's sidecar knows that it copies such a share, and the shadow's
        that it takes copies; raises ProcessError when they do not come to know it.
        """
        of, to = f"{NAMESPACE}/{RECORD}", f"{NAMESPACE}/{SHADOW}"
        rules = [{"of": of, "to": to, "share": share}] if share else []

        def known() -> bool:
            registry = self._mesh.registry(client)
            takes = self._mesh.registry(self._shadow)["mesh"]["mirrors_from"] is not None
            there = {of, to} <= registry["services"].keys()
            return there and registry["mesh"]["mirrors"] == rules and takes == bool(share)

        sidecar = self._mesh.sidecars[client.name]
        sidecar.wait_until(f"told to copy {share} of {WHOLE}", known, READY_SECONDS)

    def address(self, client: Pod) -> str:
        """Where the client's sidecar finds the record."""
        return self._mesh.vips(client, RECORD)[0]
