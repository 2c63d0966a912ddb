"""Asks the pod's broker for what the sidecar may not open itself.

Blocking with a timeout, for it runs once at start before anything else can work.
"""

import socket
from dataclasses import dataclass
from typing import Final

import msgspec

from stoq.broker import channel
from stoq.broker.lending import Lent, sorted_out
from stoq.broker.protocol import (
    NAME,
    AfXdp,
    Code,
    Hello,
    Offer,
    Operation,
    ProtocolError,
    Reply,
    Request,
    Role,
    SocketInfo,
    Spliced,
    decode_reply,
    encode_request,
)

TIMEOUT: Final = 5.0
"""Seconds to wait for one reply; the broker answers in milliseconds unless the node is
overloaded."""


class BrokerError(Exception):
    """The broker cannot be reached, is not to be trusted, or refused; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """Descriptors received from the broker, owned by the receiver. `stoq` is in the order of the
    workers. With `transparent` the application may be dialled from the client's address; with
    `udp`, `inject` and `emit`, which come together, UDP is captured. `af_xdp` is the pod's
    interface, lent; `no_af_xdp` says why it is not, though it was asked for.
    """

    outbound: int
    inbound: int
    stoq: tuple[int, ...]
    transparent: int | None = None
    udp: tuple[int, ...] = ()
    inject: tuple[int, ...] = ()
    emit: tuple[int, ...] = ()
    af_xdp: Lent | None = None
    no_af_xdp: str = ""

    def close(self) -> None:
        """Closes all of them."""
        udp = [*self.udp, *self.inject, *self.emit]
        lent = self.af_xdp.descriptors if self.af_xdp else []
        passed = [self.outbound, self.inbound, *self.stoq, *udp, *lent]
        channel.close(passed + ([] if self.transparent is None else [self.transparent]))


def hello(server_uid: int = 0, name: str = NAME, timeout: float = TIMEOUT) -> Hello:
    """Who the broker is and whether it has programmed capture. Raises BrokerError."""
    reply, descriptors = _ask(Request(op=Operation.HELLO), server_uid, name, timeout)
    channel.close(descriptors)
    if reply.hello is None:
        raise BrokerError("the broker's reply to 'hello' says nothing about itself")
    return reply.hello


def splice(
    offer: Offer, server_uid: int = 0, name: str = NAME, timeout: float = TIMEOUT
) -> Spliced:
    """Offers to be joined with other pods of the node, in place of what was offered before. Raises
    BrokerError.
    """
    reply, descriptors = _ask(Request(op=Operation.SPLICE, offer=offer), server_uid, name, timeout)
    channel.close(descriptors)
    if reply.spliced is None:
        raise BrokerError("the broker's reply to 'splice' does not say what became of it")
    return reply.spliced


def sockets(
    workers: int,
    server_uid: int = 0,
    name: str = NAME,
    timeout: float = TIMEOUT,
    *,
    transparent: bool = False,
    udp: bool = False,
    needs_udp: bool = False,
    af_xdp: bool = False,
) -> Sockets:
    """The pod's sockets, one STOQ socket per worker, and the transparent one, those of captured UDP
    and those of AF_XDP if they are wanted and the broker has them. With `needs_udp` nothing is
    taken from one that has none for UDP.

    `server_uid` is the only user the broker may run as: an application that got hold of the name
    first must not be able to pass us sockets of its own. Raises BrokerError.
    """
    request = Request(
        op=Operation.SOCKETS,
        workers=workers,
        transparent=True if transparent else msgspec.UNSET,
        udp=True if udp else msgspec.UNSET,
        af_xdp=True if af_xdp else msgspec.UNSET,
    )
    reply, descriptors = _ask(request, server_uid, name, timeout)
    try:
        found = _sorted(reply.sockets, descriptors, workers, reply.af_xdp)
        if needs_udp and not found.udp:
            raise BrokerError(
                "the broker captures no UDP here, and STOQ_CAPTURE_UDP is on: the node agent is of "
                "an earlier version, or read the pod otherwise; without the applications' UDP use "
                "off (stoq.dev/capture-udp on the pod)"
            )
        return found
    except BrokerError:
        channel.close(descriptors)
        raise


def _sorted(
    infos: tuple[SocketInfo, ...],
    descriptors: list[int],
    workers: int,
    af_xdp: AfXdp | None = None,
) -> Sockets:
    if len(infos) != len(descriptors):
        raise BrokerError(
            f"the broker describes {len(infos)} sockets and passed {len(descriptors)}"
        )
    by_role: dict[Role, list[tuple[int, int]]] = {role: [] for role in Role}
    for info, descriptor in zip(infos, descriptors, strict=True):
        by_role[info.role].append((info.worker, descriptor))
    numbers = sorted(worker for worker, _ in by_role[Role.STOQ])
    if (
        len(by_role[Role.OUTBOUND]) != 1
        or len(by_role[Role.INBOUND]) != 1
        or numbers != list(range(workers))
        or len(by_role[Role.TRANSPARENT]) > 1
        or not _complete_udp(by_role, workers)
    ):
        found = {str(role): len(items) for role, items in by_role.items()}
        raise BrokerError(
            f"the broker passed {found}; needed are one outbound, one inbound and {workers} stoq, "
            "and of udp none or as many, with inject and emit"
        )
    try:
        lent = sorted_out(af_xdp, by_role)
    except ValueError as error:
        raise BrokerError(f"the broker passed {error}") from error
    return Sockets(
        outbound=by_role[Role.OUTBOUND][0][1],
        inbound=by_role[Role.INBOUND][0][1],
        stoq=tuple(descriptor for _, descriptor in sorted(by_role[Role.STOQ])),
        transparent=next((descriptor for _, descriptor in by_role[Role.TRANSPARENT]), None),
        udp=tuple(descriptor for _, descriptor in sorted(by_role[Role.UDP])),
        inject=tuple(descriptor for _, descriptor in by_role[Role.INJECT]),
        emit=tuple(descriptor for _, descriptor in by_role[Role.EMIT]),
        af_xdp=lent,
        no_af_xdp=af_xdp.refused if af_xdp else "",
    )


def _complete_udp(by_role: dict[Role, list[tuple[int, int]]], workers: int) -> bool:
    numbers = sorted(worker for worker, _ in by_role[Role.UDP])
    raw = (len(by_role[Role.INJECT]), len(by_role[Role.EMIT]))
    if not numbers:
        return raw == (0, 0)
    return numbers == list(range(workers)) and min(raw) > 0


def _ask(request: Request, server_uid: int, name: str, timeout: float) -> tuple[Reply, list[int]]:
    shown = name.replace("\0", "@")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(name)
            peer = channel.credentials(connection)
            if peer.uid != server_uid:
                raise BrokerError(
                    f"the process behind {shown} has uid {peer.uid}, not {server_uid}: a container "
                    "of this pod has taken the broker's name; remove it, or set "
                    "STOQ_CAPTURE_BROKER_UID if the node agent really runs as that user"
                )
            channel.send(connection, encode_request(request), [])
            message, descriptors = channel.receive(connection)
        except TimeoutError as error:
            raise BrokerError(
                f"the broker at {shown} did not answer '{request.op}' in {timeout:g} s; "
                "see the log of the node agent (embedded mode: of stoq-control)"
            ) from error
        except (OSError, ProtocolError) as error:
            raise BrokerError(
                f"cannot ask the broker at {shown}: {error}; is the node agent (embedded mode: "
                "stoq-control) running, and does it know this pod? Without one, use "
                "STOQ_CAPTURE_MODE=init"
            ) from error
    if not message:
        raise BrokerError(
            f"the broker at {shown} closed without an answer: it admits only the sidecar's uid"
        )
    try:
        return decode_reply(message), descriptors
    except ProtocolError as error:
        channel.close(descriptors)
        advice = "; broker and sidecar differ in version" if error.code is Code.VERSION else ""
        raise BrokerError(
            f"the broker refused '{request.op}' ({error.code}): {error}{advice}"
        ) from error
