"""Applications that speak UDP, in pods: the sidecar's image has a Python."""

from collections.abc import Callable
from typing import Any

from cluster.access import Cluster, Failed
from cluster.pods import WAIT, Object, container, pod

PORT = 9000
IMAGE = "localhost/stoq/sidecar:dev"
PYTHON = "/opt/stoq/bin/python"

ECHO = f"""
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", {PORT}))
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(peer[0].removeprefix("::ffff:").encode() + b" " + data, peer)
"""
"""Sends back what it hears, behind the address of who said it."""

ASK = """
import socket, sys
host, port, size, tries = sys.argv[1], *map(int, sys.argv[2:])
family, kind, _, _, to = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
s = socket.socket(family, kind)
s.settimeout(2)
said = b"x" * size
for _ in range(tries):
    s.sendto(said, to)
    try:
        data, peer = s.recvfrom(65536)
    except TimeoutError:
        continue
    who, _, heard = data.partition(b" ")
    assert (heard, peer[:2]) == (said, to[:2]), (len(heard), peer, to)
    print(who.decode())
    sys.exit()
sys.exit("nobody answers")
"""
"""Prints as whom the other side has heard it."""


def speaking(name: str, *command: str, node: str = "", **annotations: str) -> Object:
    """A pod in which datagrams can be sent and received; without a command it waits."""
    main = container("main", list(command) or WAIT, image=IMAGE)
    found = pod(name, WAIT, node, containers=[main])
    found["metadata"]["annotations"] = {
        f"stoq.dev/{key.replace('_', '-')}": value for key, value in annotations.items()
    }
    return found


def echo(name: str, node: str = "", **annotations: str) -> Object:
    """One that answers on port 9000."""
    return speaking(name, PYTHON, "-c", ECHO, node=node, **annotations)


def question(host: str, port: int = PORT, size: int = 16, tries: int = 15) -> tuple[str, ...]:
    """The command that asks, and prints as whom the other side heard it."""
    return (PYTHON, "-c", ASK, host, str(port), str(size), str(tries))


def asked(cluster: Cluster, source: str, host: str, port: int = PORT, **how: Any) -> str:
    """As whom the other side heard `source`; empty when it did not answer."""
    return answer(lambda: cluster.execute(source, *question(host, port, **how)))


def answer(ask: Callable[[], str]) -> str:
    """What `ask`, which runs a `question`, is told; empty when nobody answers."""
    try:
        return ask().strip()
    except Failed as error:
        if "nobody answers" not in str(error):
            raise
        return ""
