"""Who listens at a port of a network namespace, for flows that somebody else opened."""

from pathlib import Path
from typing import Final

from stoq_node.trace import namespaces
from stoq_node.trace.records import TCP, Owner

_LISTENS: Final = "0A"
_UNCONNECTED: Final = "07"
"""States in /proc/net/tcp and /proc/net/udp."""


def of_port(namespace: int, protocol: int, port: int) -> Owner:
    """The program that serves the port, as far as it can be found."""
    inside = list(namespaces.processes(namespace))
    name, state = ("tcp", _LISTENS) if protocol == TCP else ("udp", _UNCONNECTED)
    for process in inside[:1]:
        for table in (name, f"{name}6"):
            try:
                text = Path(f"/proc/{process}/net/{table}").read_text(encoding="ascii")
            except OSError:
                continue
            if (found := bound(text, port, state)) is not None:
                uid, inode = found
                return _holder(inside, uid, inode)
    return Owner()


def bound(text: str, port: int, state: str) -> tuple[int, int] | None:
    """User and inode of the socket at `port`, from the text of /proc/net/tcp and its like. Pure."""
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[3] == state and int(words[1].rpartition(":")[2], 16) == port:
            return int(words[7]), int(words[9])
    return None


def _holder(processes: list[int], uid: int, inode: int) -> Owner:
    wanted = f"socket:[{inode}]"
    for process in processes:
        folder = Path(f"/proc/{process}/fd")
        try:
            if any(str(one.readlink()) == wanted for one in folder.iterdir()):
                comm = Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace")
                return Owner(uid, process, comm.strip())
        except OSError:
            continue
    return Owner(uid)
