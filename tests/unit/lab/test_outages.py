"""What counts as plaintext between two pods, and programs that never give up."""

from lab import outages, plan
from lab.packets import TCP, UDP, Packet

LAYOUT = plan.make("t", ["client", "server", "other"], ipv4=True)
CLIENT, SERVER, OTHER = LAYOUT.pods


def packet(source: plan.Pod, destination: plan.Pod, label: str, port: int = 80) -> Packet:
    protocol = TCP if label.startswith("TCP") else UDP
    return Packet(source.ipv6, destination.ipv6, protocol, 40000, port, b"", label)


def test_plaintext_between_two_pods_is_all_but_stoq_and_what_keeps_the_network_going() -> None:
    seen = [
        packet(CLIENT, SERVER, "TCP 40000 > 80"),
        packet(CLIENT, SERVER, "TCP 40001 > 80"),
        packet(SERVER, CLIENT, "UDP 40000 > 80"),
        Packet(CLIENT.ipv4, SERVER.ipv4, -1, None, None, b"", "IPv4 fragment"),
        packet(CLIENT, SERVER, "UDP 40000 > 14008", 14008),
        packet(CLIENT, SERVER, "ICMPv6 neighbour solicitation"),
        packet(CLIENT, OTHER, "TCP 40000 > 80"),
        packet(OTHER, SERVER, "TCP 40000 > 80"),
        Packet(None, None, 0, None, None, b"", "ARP"),
    ]
    found = outages.clear_between(iter(seen), CLIENT, SERVER)
    assert found == {"TCP to server": 2, "UDP to client": 1, "IPv4 to server": 1}
    assert outages.Seen(4, 0, found).delivered == 4
