"""Sees every packet on a pod's interface, from inside the pod's namespace (AF_PACKET)."""

import select
import socket
import struct
from dataclasses import dataclass

from stoq.capture.netns import run_in

ETH_P_ALL = 3
TCP = 6
UDP = 17


@dataclass(frozen=True, slots=True)
class Packet:
    """An IP packet: transport protocol, ports (0 where there are none) and its bytes."""

    protocol: int
    source_port: int
    destination_port: int
    data: bytes


class Witness:
    """Records what passes `interface` of a namespace, both directions."""

    def __init__(self, netns: str, interface: str = "eth0") -> None:
        def opened() -> socket.socket:
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            tap.bind((interface, 0))
            return tap

        self._tap = run_in(f"/run/netns/{netns}", opened)

    def packets(self, settle: float = 0.05) -> list[Packet]:
        """What passed since the last call, once nothing has come for `settle` seconds."""
        seen = []
        while select.select([self._tap], [], [], settle)[0]:
            packet = _parse(self._tap.recv(65536))
            if packet is not None:
                seen.append(packet)
        return seen

    def tcp(self) -> list[Packet]:
        """The TCP packets since the last call."""
        return [packet for packet in self.packets() if packet.protocol == TCP]

    def __enter__(self) -> "Witness":
        return self

    def __exit__(self, *_: object) -> None:
        self._tap.close()


def _parse(frame: bytes) -> Packet | None:
    kind = struct.unpack_from("!H", frame, 12)[0]
    data = frame[14:]
    if kind == 0x86DD:
        protocol, offset = data[6], 40
    elif kind == 0x0800:
        protocol, offset = data[9], (data[0] & 15) * 4
    else:
        return None
    source, destination = 0, 0
    if protocol in {TCP, UDP}:
        source, destination = struct.unpack_from("!HH", data, offset)
    return Packet(protocol, source, destination, data)
