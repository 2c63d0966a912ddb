"""The compiled part: kernel programs, loaded, pinned, attached, read (crate stoq-kernel).

Interfaces are given by index. Directions are `to_pod` and `from_pod`, modes `permissive` and
`strict`, protocols `tcp` and `udp`; reasons, classes and verdicts are the names of
`bpf/include/stoq/shared.h` in small letters. Any call may raise `KernelError`; what the caller got
wrong is a `ValueError` that names it.
"""

from typing import final

class KernelError(Exception):
    """The kernel, or what is pinned, refuses."""

    program: str | None
    """The program that it is about."""
    log: str
    """What the verifier wrote; empty if it was not the verifier."""

class NoInterface(KernelError):
    """There is no network interface of this index, or no more."""

@final
class Pins:
    """A folder of a bpffs that belongs to STOQ alone, made if it is not there."""

    def __init__(self, root: str) -> None: ...
    def attached(self, program: str) -> list[int]:
        """The interfaces on which `program` has a pinned link."""

@final
class Permission:
    """Plaintext that may open connections."""

    @staticmethod
    def network(network: str, direction: str) -> Permission:
        """With every address of `address/bits`; `direction` is that of who opens."""
    @staticmethod
    def service(address: str, port: int, protocol: str, reason: str) -> Permission:
        """The pod may dial it; `reason` is `dns`, `api_server` or `exempt`."""
    @staticmethod
    def port(port: int, protocol: str, direction: str) -> Permission:
        """Towards a destination port, at whatever address."""
    @staticmethod
    def probe(port: int) -> Permission:
        """The host itself, and nobody whose packets it forwards, may open TCP to the port."""
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Strict:
    """Strict mode. With `pins`, over the pods that are enrolled; without, only to be tried."""

    def __init__(self, pins: Pins | None = None) -> None: ...
    def attach(self, ifindex: int) -> bool:
        """Both directions; true if new, false if an earlier one was exchanged in place. Lets
        nothing through on a link that is not enrolled.
        """
    def detach(self, ifindex: int) -> bool:
        """Opens the link; false if nothing was attached."""
    def sweep(self) -> None:
        """Forgets the pinned maps of other versions."""
    def enrol(self, ifindex: int, *, inbound: str, outbound: str, udp: bool, echo: bool) -> None:
        """Says or changes what is enforced: the modes of connections by who opens them, whether
        applications' UDP and ping pass.
        """
    def withdraw(self, ifindex: int) -> bool:
        """Forgets counters, permissions and flows as well."""
    def enrolled(self) -> list[int]:
        """The interfaces behind which pods are enrolled."""
    def permit(self, ifindex: int | None, permission: Permission) -> None:
        """For one pod, or with None for every pod."""
    def forbid(self, ifindex: int | None, permission: Permission) -> None:
        """Takes it back."""
    def permissions(self, ifindex: int | None) -> list[Permission]:
        """In no order."""
    def counts(self, ifindex: int) -> list[tuple[str, str, bool, int, int]] | None:
        """(direction, reason, whether strict mode drops it, packets, bytes) since the pod was
        enrolled; None if it is not.
        """
    def unenrolled(self) -> list[tuple[str, int, int]]:
        """(direction, packets, bytes) dropped on links without an enrolled pod."""

@final
class Account:
    """Accounts of pods by peer. With `pins`, over those that are there."""

    def __init__(self, pins: Pins | None = None) -> None: ...
    def attach(self, ifindex: int) -> bool:
        """As `Strict.attach`; nothing is ever dropped here."""
    def detach(self, ifindex: int) -> bool:
        """False if nothing was attached."""
    def sweep(self) -> None:
        """Forgets the pinned maps of other versions."""
    def read(self) -> list[tuple[int, str, str, str, int, int]]:
        """(interface, peer, direction, class, packets, bytes of payload). The least recently used
        of 16,384 are forgotten.
        """

@final
class Splice:
    """TCP between two pods of this node, from link to link. With `pins`, over the pairs in force.

    A pair is (link and address of the client, link and address of the server, the server's port).
    """

    def __init__(self, pins: Pins | None = None) -> None: ...
    def attach(self, ifindex: int) -> bool:
        """In front of all programs of the link; true if new. A link that is there keeps its place:
        detach first if another program was attached since.
        """
    def detach(self, ifindex: int) -> bool:
        """False if nothing was attached."""
    def sweep(self) -> None:
        """Forgets the pinned maps of other versions."""
    def join(self, pair: tuple[int, str, int, str, int], until_ns: int) -> None:
        """In force until then, as `time.monotonic_ns` counts, and no longer without another call.
        8,192 pairs at most.
        """
    def part(self, pair: tuple[int, str, int, str, int]) -> bool:
        """False if it was not in force."""
    def pairs(self) -> list[tuple[tuple[int, str, int, str, int], int]]:
        """Those that were put in force, each with its end; also if that is over."""
    def counts(self) -> list[tuple[int, int, int]]:
        """(interface, packets, bytes) that left pods that way."""
    def forget(self, ifindex: int) -> bool:
        """Forgets what was counted of a pod whose link is gone."""

@final
class Guard:
    """The guard of an uplink. With `pins`, over the maps of its predecessor."""

    def __init__(self, stage: str, pins: Pins | None = None) -> None:
        """`stage` is `xdp` or `tc`."""
    def attach(self, ifindex: int, mode: str) -> bool:
        """`mode` is `native` or `generic` at the stage `xdp`, `tc` at the other; true if new. A
        link that is there keeps its mode.
        """
    def detach(self, ifindex: int) -> bool:
        """False if nothing was attached."""
    def sweep(self) -> None:
        """Forgets the pinned maps of other versions."""
    def configure(self, *, source: tuple[int, int] | None, ceiling: tuple[int, int] | None) -> None:
        """Initials (a second, at once) of a source prefix and of all together; None: no limit."""
    def allow(self, network: str) -> None:
        """Its Initials are not limited."""
    def deny(self, network: str) -> None:
        """Nothing of it reaches a STOQ port."""
    def listed(self) -> list[str]:
        """The networks that are allowed or denied."""
    def unlist(self, network: str) -> bool:
        """False if it was not listed."""
    def counts(self) -> list[tuple[str, int, int]]:
        """(verdict, packets, bytes)."""

@final
class Lent:
    """AF_XDP sockets of an interface and what belongs to them: descriptors, the caller's."""

    ring: int
    """Entries of each ring of a queue."""
    chunk: int
    """Bytes of a chunk of memory."""
    scattered: bool
    """Whether a frame may take several chunks."""
    left: str
    """Why frames larger than a chunk are left to the stack; empty where none are."""
    native: bool
    """Whether the program runs in the driver."""
    zero_copy: bool
    program: int
    """Keeps the program attached."""
    taken: int
    """In which an engine says what it takes."""
    queues: list[tuple[int, int]]
    """Socket and memory of each, from queue 0 on."""

def lend(interface: str, zero_copy: bool) -> Lent:
    """Of the network namespace of the calling thread. Nothing is taken before an engine says so,
    and nothing any more when the descriptors are closed.
    """
