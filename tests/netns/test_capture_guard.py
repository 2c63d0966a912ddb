"""What must not leave a pod even when connection tracking does not know it."""

import socket
import struct
from functools import partial

import pytest

from lab.plan import Plan as Lab
from netns.sockets import connect, in_pod, listen
from netns.witness import Witness
from stoq.capture import listing, nft
from stoq.capture.netns import run_in
from stoq.capture.plan import Plan

SECRET = b"a secret of the application"


@pytest.fixture
def lab(make_pods: "partial[Lab]") -> Lab:
    made: Lab = make_pods("app", "peer")
    return made


def test_a_flow_older_than_capture_is_reset_and_its_bytes_stay(lab: Lab) -> None:
    app, peer = lab.pod("app"), lab.pod("peer")
    with listen(peer.netns, 8080), connect(app.netns, peer.ipv6, 8080) as connection:
        run_in(f"/run/netns/{app.netns}", partial(nft.apply, Plan()))
        with Witness(app.netns) as witness:
            connection.send(SECRET)
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
            assert not [packet for packet in witness.packets(0.3) if SECRET in packet.data]


def test_a_segment_outside_the_window_does_not_leave_untranslated(lab: Lab) -> None:
    app, peer = lab.pod("app"), lab.pod("peer")
    run_in(f"/run/netns/{app.netns}", partial(nft.apply, Plan()))
    with (
        listen(app.netns, 14001),
        connect(app.netns, peer.ipv6, 8080) as connection,
        Witness(app.netns) as witness,
    ):
        source_port = connection.getsockname()[1]

        def send(sequence: int) -> bool:
            """Whether the kernel let it go; EPERM is its answer to who sent a dropped packet."""
            stray = struct.pack(
                "!HHIIBBHHH", source_port, 8080, sequence, 1, 5 << 4, 0x18, 512, 0, 0
            )
            with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
                raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_CHECKSUM, 16)
                try:
                    raw.sendto(stray + SECRET, (str(peer.ipv6), 0))
                except PermissionError:
                    return False
                return True

        # Sequence numbers are a circle: one half of it is ahead of the window and invalid, the
        # other is behind it, an old segment that is translated like the rest of its flow.
        circle = (0x10000000, 0x50000000, 0x90000000, 0xD0000000)
        gone = [in_pod(app.netns, partial(send, sequence), uid=0) for sequence in circle]
        assert not all(gone), "none was taken for invalid, so the guard was not tried"
        assert not [packet for packet in witness.packets(0.3) if SECRET in packet.data]
    counted = listing.counters(run_in(f"/run/netns/{app.netns}", nft.read) or "")
    assert counted["guard/untracked"][0] == gone.count(False)


def test_answers_of_the_sidecar_to_plaintext_clients_pass(lab: Lab) -> None:
    app, peer = lab.pod("app"), lab.pod("peer")
    run_in(f"/run/netns/{app.netns}", partial(nft.apply, Plan()))
    with listen(app.netns, 14006) as sidecar, connect(peer.netns, app.ipv6, 80) as client:
        accepted, _ = sidecar.accept()
        with accepted:
            accepted.sendall(b"answer")
            assert client.recv(100) == b"answer"
            client.sendall(b"more")
            assert accepted.recv(100) == b"more"
