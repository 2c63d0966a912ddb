"""A sidecar that must have captured UDP takes nothing from a broker that has none."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from uuid import uuid4

import pytest

from stoq.broker import channel, client
from stoq.broker.protocol import VERSION, Reply, Role, SocketInfo, encode_reply
from support.descriptors import opened

NAME = f"stoq-test-{uuid4()}"
PLAIN = (SocketInfo(Role.OUTBOUND, 14001), SocketInfo(Role.INBOUND, 14006),
         SocketInfo(Role.STOQ, 14008))  # fmt: skip
UDP = (SocketInfo(Role.UDP, 14001), SocketInfo(Role.INJECT, 0), SocketInfo(Role.EMIT, 0))


@contextmanager
def broker(infos: tuple[SocketInfo, ...]) -> Iterator[str]:
    """One that answers a single request with these sockets."""
    name = f"\0stoq-test-{uuid4()}"

    def answer() -> None:
        connection, _ = listener.accept()
        with connection, os.fdopen(os.memfd_create(NAME)) as passed:
            channel.receive(connection)
            reply = encode_reply(Reply(v=VERSION, sockets=infos))
            channel.send(connection, reply, [passed.fileno()] * len(infos))

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(name)
        listener.listen()
        answering = Thread(target=answer)
        answering.start()
        yield name
        answering.join()


def still_open() -> int:
    return opened(f"/memfd:{NAME} (deleted)")


def test_without_udp_it_is_refused_and_nothing_stays_open() -> None:
    with broker(PLAIN) as name, pytest.raises(client.BrokerError, match="STOQ_CAPTURE_UDP is on"):
        client.sockets(1, os.getuid(), name, udp=True, needs_udp=True)
    assert still_open() == 0


def test_with_udp_it_is_taken() -> None:
    with broker(PLAIN + UDP) as name:
        found = client.sockets(1, os.getuid(), name, udp=True, needs_udp=True)
    assert len(found.udp) == 1
    assert still_open() == len(PLAIN + UDP)
    found.close()
    assert still_open() == 0


def test_whoever_can_do_without_takes_what_there_is() -> None:
    with broker(PLAIN) as name:
        found = client.sockets(1, os.getuid(), name, udp=True)
    assert found.udp == ()
    found.close()
