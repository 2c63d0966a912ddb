"""The broker's side: one listener per pod, inside the pod's network namespace.

Used by the control process of the embedded mode and by the node agent. It programs capture before
it answers, opens the sockets with the rights of its own process and keeps them open: while a
sidecar restarts, connections wait in the queue of the listener instead of failing.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from stoq import constants
from stoq.broker import channel, sockets
from stoq.broker.lending import Allowance, Lender, Lent, Memories, NotLent
from stoq.broker.protocol import (
    NAME,
    VERSION,
    AfXdp,
    Code,
    Hello,
    Offer,
    Operation,
    ProtocolError,
    Refusal,
    Reply,
    Request,
    SocketInfo,
    Spliced,
    decode_request,
    encode_reply,
)
from stoq.capture import force
from stoq.capture.netns import run_in
from stoq.capture.plan import Plan

log = logging.getLogger("stoq.broker")

Join = Callable[[Offer], Spliced]
"""Takes a sidecar's offer to be joined with other pods of the node. It never blocks, and raises
`ProtocolError` for what can not be."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod to be served: its names, its network namespace (path) and its capture; `plan` None
    leaves capture alone.
    """

    name: str
    namespace: str
    netns: str
    plan: Plan | None = None


class Broker:
    """Serves one pod until closed.

    Requests come one at a time and are answered in order: a pod has one sidecar, and a second
    asker must not be able to hold up more than itself for `patience` seconds.
    """

    def __init__(
        self,
        pod: Pod,
        server: str,
        allowed_uid: int = constants.SIDECAR_UID,
        name: str = NAME,
        patience: float = 2.0,
        lender: Lender | None = None,
        join: Join | None = None,
    ) -> None:
        """Without `lender` no AF_XDP sockets are passed; without `join` it joins nobody."""
        self._pod = pod
        self._lender = lender
        self._memories = Memories()
        self._allowance = Allowance()
        self._client_address = False
        self._server = server
        self._allowed_uid = allowed_uid
        self._name = name
        self._patience = patience
        self._join = join
        self._listeners: list[sockets.OpenSocket] = []
        self._stoq: list[sockets.OpenSocket] = []
        self._transparent: list[sockets.OpenSocket] = []
        self._udp: list[sockets.OpenSocket] = []
        self._udp_workers = 0

    async def serve(self, ready: asyncio.Event | None = None) -> None:
        """Programs capture, listens and answers until cancelled; then closes its sockets and
        leaves capture in force (without a broker and a sidecar nothing may leave the pod).

        `ready` is set once the socket is bound. Raises CaptureError, NamespaceError, OSError
        (the name is taken: another broker serves this pod).
        """
        if self._pod.plan is not None:
            settling = partial(force.settle, self._pod.plan)
            settled = await asyncio.to_thread(run_in, self._pod.netns, settling)
            self._client_address = settled.plan.client_address
            if settled.lacking:
                log.warning(
                    "%s/%s: the application sees its own pod's address instead of the client's: %s",
                    self._pod.namespace, self._pod.name, settled.lacking,
                )  # fmt: skip
        listener = await asyncio.to_thread(run_in, self._pod.netns, self._listen)
        loop = asyncio.get_running_loop()
        try:
            if ready is not None:
                ready.set()
            while True:
                connection, _ = await loop.sock_accept(listener)
                with connection:
                    await self._answer(connection)
        finally:
            listener.close()
            self._memories.close()
            sockets.close_all([*self._listeners, *self._stoq, *self._transparent, *self._udp])

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            listener.bind(self._name)
            listener.listen(8)
        except OSError as error:
            listener.close()
            raise OSError(
                error.errno,
                f"cannot bind {self._name.replace(chr(0), '@')} in {self._pod.netns}: "
                f"{error.strerror}; another broker serves this pod, or a container of it has "
                "taken the name",
            ) from error
        return listener

    async def _answer(self, connection: socket.socket) -> None:
        lent: list[int] = []
        try:
            await self._answer_with(connection, lent)
        finally:
            channel.close(lent)

    async def _answer_with(self, connection: socket.socket, lent: list[int]) -> None:
        """`lent` are descriptors to be closed once they are passed, or are not."""
        peer = channel.credentials(connection)
        allowed = peer.uid == self._allowed_uid
        try:
            # Read even what is refused: closing with a request unread resets the connection, and
            # the asker would see that instead of the reason.
            message = await self._receive(connection, self._patience if allowed else 0.1)
            if not allowed:
                raise ProtocolError(
                    Code.FORBIDDEN, f"uid {peer.uid} may not ask, only uid {self._allowed_uid}"
                )
            request = decode_request(message)
            reply, descriptors = await self._perform(request, lent)
            message = encode_reply(reply)
        except ProtocolError as error:
            log.warning(
                "refused a request in pod %s/%s from pid %d uid %d: %s",
                self._pod.namespace, self._pod.name, peer.pid, peer.uid, error,
            )  # fmt: skip
            message, descriptors = encode_reply(_refused(error)), []
        except TimeoutError:
            log.warning("pid %d connected and asked nothing", peer.pid)
            return
        try:
            channel.send(connection, message, descriptors)
        except OSError as error:  # the asker has gone, or does not read
            log.warning("no answer possible to pid %d: %s", peer.pid, error)

    async def _receive(self, connection: socket.socket, patience: float) -> bytes:
        connection.settimeout(0)
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        loop.add_reader(connection, arrived.set)
        try:
            async with asyncio.timeout(patience):
                await arrived.wait()
        finally:
            loop.remove_reader(connection)
        try:
            message, descriptors = channel.receive(connection)
        except OSError as error:
            raise ProtocolError(Code.MALFORMED, f"cannot read the request: {error}") from error
        channel.close(descriptors)  # no request carries any
        return message

    async def _perform(self, request: Request, lent: list[int]) -> tuple[Reply, list[int]]:
        match request.op:
            case Operation.HELLO:
                return Reply(v=VERSION, hello=self._hello()), []
            case Operation.SOCKETS:
                opened = await self._open(request.workers)
                if request.transparent is True:
                    opened += await self._open_transparent()
                if request.udp is True:
                    opened += await self._open_udp(request.workers)
                passed = [(item.info, item.socket.fileno()) for item in opened]
                told = None
                if request.af_xdp is True:
                    told, more = await self._lend()
                    passed += more
                    lent += [descriptor for _, descriptor in more]
                infos = tuple(info for info, _ in passed)
                reply = Reply(v=VERSION, sockets=infos, af_xdp=told)
                return reply, [descriptor for _, descriptor in passed]
            case Operation.HANDOVER:
                raise ProtocolError(
                    Code.UNSUPPORTED,
                    "operation 'handover' is reserved; drain the sidecar before its restart",
                )
            case Operation.SPLICE:
                return Reply(v=VERSION, spliced=self._splice(request.offer)), []

    def _splice(self, offer: Offer | msgspec.UnsetType) -> Spliced:
        if self._join is None:
            raise ProtocolError(
                Code.UNSUPPORTED, "nobody is joined here: NodeCapability says why, as splice"
            )
        if isinstance(offer, msgspec.UnsetType):
            raise ProtocolError(Code.MALFORMED, "operation 'splice' lacks 'offer'")
        return self._join(offer)

    def _hello(self) -> Hello:
        splice = (Operation.SPLICE,) if self._join else ()
        return Hello(
            server=self._server,
            pod=self._pod.name,
            namespace=self._pod.namespace,
            captured=self._pod.plan is not None,
            operations=(Operation.HELLO, Operation.SOCKETS, *splice),
        )

    async def _open(self, workers: int) -> list[sockets.OpenSocket]:
        try:
            if not self._listeners:
                self._listeners = await asyncio.to_thread(
                    run_in, self._pod.netns, sockets.open_listeners
                )
            if len(self._stoq) != workers:
                sockets.close_all(self._stoq)
                self._stoq = []
                self._stoq = await asyncio.to_thread(
                    run_in, self._pod.netns, partial(sockets.open_stoq, workers)
                )
        except OSError as error:
            raise ProtocolError(Code.FAILED, str(error)) from error
        return [*self._listeners, *self._stoq]

    async def _lend(self) -> tuple[AfXdp | None, list[tuple[SocketInfo, int]]]:
        """None where nothing is lent; what cannot be is no reason to be without the rest."""
        if self._lender is None:
            return None, []
        try:
            self._allowance.spend()
            lent = await self._lent(self._lender)
        except (NotLent, OSError) as error:
            log.warning("%s/%s: %s", self._pod.namespace, self._pod.name, error)
            return AfXdp(refused=str(error)), []
        return lent.described()

    async def _lent(self, lender: Lender) -> Lent:
        lending = asyncio.ensure_future(asyncio.to_thread(run_in, self._pod.netns, lender))
        try:
            lent: Lent = await asyncio.shield(lending)
        except asyncio.CancelledError:
            # The thread goes on, and what it opens would be nobody's.
            lending.add_done_callback(_let_go)
            raise
        try:
            self._memories.replace(lent)
        except OSError:
            channel.close(lent.descriptors)
            raise
        return lent

    async def _open_transparent(self) -> list[sockets.OpenSocket]:
        """None where answers would not come back: the sidecar then dials from its own address."""
        if not self._client_address:
            return []
        if not self._transparent:
            try:
                self._transparent = await asyncio.to_thread(
                    run_in, self._pod.netns, sockets.open_transparent
                )
            except OSError as error:
                raise ProtocolError(Code.FAILED, str(error)) from error
        return self._transparent

    async def _open_udp(self, workers: int) -> list[sockets.OpenSocket]:
        """None where UDP is not captured."""
        if self._pod.plan is None or not self._pod.plan.udp:
            return []
        if self._udp_workers != workers:
            sockets.close_all(self._udp)
            self._udp, self._udp_workers = [], 0
            try:
                opening = partial(sockets.open_udp, workers)
                self._udp = await asyncio.to_thread(run_in, self._pod.netns, opening)
            except OSError as error:
                raise ProtocolError(Code.FAILED, str(error)) from error
            self._udp_workers = workers
        return self._udp


def _let_go(lending: asyncio.Future[Lent]) -> None:
    if not lending.cancelled() and lending.exception() is None:
        channel.close(lending.result().descriptors)


def _refused(error: ProtocolError) -> Reply:
    return Reply(v=VERSION, error=Refusal(str(error.code), str(error)))
