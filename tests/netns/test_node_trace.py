"""`stoq-node trace` on this kernel: who goes past the mesh, how long answers take, what drops."""

import socket
import subprocess
from collections.abc import Iterator
from ipaddress import IPv6Address
from signal import SIGCONT, SIGSTOP, SIGTERM

import pytest

from lab import command, netns, plan
from lab.mesh import NAMESPACE
from lab.node import Node
from lab.state import State
from netns.laboratories import pods
from netns.meshes import PORT, Echo, echoed, eventually, running
from netns.sockets import APPLICATION_UID, connect, in_pod
from netns.traces import TRACEFS, eventually_one, tracing, words
from stoq.constants import SIDECAR_UID


@pytest.fixture
def laboratory() -> Iterator[tuple[plan.Plan, Node, State]]:
    with pods("pod", "peer") as (layout, state):
        yield layout, Node(layout, state), state


def test_a_meshed_connection_is_counted_and_a_bypassing_one_shown_with_its_program() -> None:
    with running("client", "server") as mesh, Echo(mesh.pod("server")):
        client, server = mesh.pod("client"), mesh.pod("server")
        node = Node(mesh.layout, mesh.state)
        node.list(client, server, udp=False, probe_ports="9999")
        with tracing(mesh.layout, node, mesh.state, "--json", "--interval", "0.5") as trace:
            with mesh.dial("client", "server") as connection:
                assert all(echoed(connection) for _ in range(20))
            [latency] = eventually_one(trace, "latency", pod=_key(client), answers=20)
            assert latency["path"] == "mesh"
            assert latency["remote"] == f"[{server.ipv6}]:{PORT}"
            assert latency["connect_us"] > 0
            assert sum(one["count"] for one in latency["histogram"]) == 20
            assert not trace.said("connection"), "a meshed connection is no bypass"

            # What an application that is root can do.
            netns.run_in(client.netns, ["nft", "flush", "ruleset"])
            url = f"http://[{server.ipv6}]:{PORT}/"
            with subprocess.Popen(
                [
                    *netns.enter(client.netns),
                    *("setpriv", f"--reuid={APPLICATION_UID}", "--clear-groups"),
                    *("curl", "-s", "--max-time", "1", url),
                ],
                stdout=subprocess.DEVNULL,
            ) as curl:
                pass
            [out] = eventually_one(trace, "connection", direction="out", protocol="tcp")
            assert out["pod"] == _key(client)
            assert (out["pid"], out["comm"], out["uid"]) == (curl.pid, "curl", APPLICATION_UID)
            assert out["remote"] == f"[{server.ipv6}]:{PORT}"
            assert (out["verdict"], out["strict"]) == ("bypass", False)
            assert "past the sidecar" in out["why"]
            [came] = eventually_one(trace, "connection", direction="in", protocol="tcp")
            assert came["pod"] == _key(server)
            assert came["local"] == f"[{server.ipv6}]:{PORT}"
            assert came["verdict"] == "bypass"
            assert trace.end() == 0
        [end] = trace.said("end")
        assert end["mesh"] >= 2, "STOQ, on both sides"
        assert end["bypass"] >= 2
        assert (end["lost_flows"], end["lost_drops"]) == (0, 0)


def test_what_the_sidecar_passes_on_and_what_settings_allow_say_so() -> None:
    with running("client") as mesh, Echo(mesh.pod("outside")):
        client, outside = mesh.pod("client"), mesh.pod("outside")
        node = Node(mesh.layout, mesh.state)
        node.list(client, common=f'nameservers = "{outside.ipv6}"\n')
        with tracing(mesh.layout, node, mesh.state, "--json", "--pod", _key(client)) as trace:
            assert mesh.reaches("client", "outside")
            [passed] = eventually_one(trace, "connection", protocol="tcp", verdict="bypass")
            assert passed["uid"] == SIDECAR_UID
            assert "the sidecar passed it on" in passed["why"]
            _shout(client, outside.ipv6, 7777)
            eventually_one(trace, "connection", remote=f"[{outside.ipv6}]:7777", verdict="allowed")


def test_drops_at_the_nodes_end_of_a_link_are_the_pods_with_the_kernels_name_of_the_reason(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, state = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    node.strict(pod)
    hook = f"type filter hook ingress device {pod.port} priority 0"
    rules = f"table netdev t {{ chain c {{ {hook}; meta l4proto tcp drop; }}; }}"
    netns.run_in(layout.fabric, ["nft", rules])
    with Echo(peer), tracing(layout, node, state, "--json", "--interval", "0.5") as trace:
        with pytest.raises(OSError, match="timed out"):
            connect(pod.netns, peer.ipv4, PORT, timeout=0.5)
        [tried] = eventually_one(trace, "connection", pod=_key(pod))
        assert (tried["verdict"], tried["strict"]) == ("bypass", True)
        # The kernel drops packets of its own meanwhile, of neighbour discovery for one.
        [drops] = eventually_one(trace, "drops", pod=_key(pod), ethertype="ipv4")
        assert drops["reason"] == "NETFILTER_DROP"
        assert trace.end(SIGTERM) == 0


def test_a_terminal_gets_a_table_of_the_namespace_asked_for(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, state = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    flags = ("--netns", pod.netns, "--seconds", "8", "--interval", "0.5")
    with Echo(peer), tracing(layout, node, state, *flags) as trace:
        with connect(pod.netns, peer.ipv4, PORT) as plain:
            assert echoed(plain)
            assert eventually(lambda: "1 answers, connected in" in trace.text()), trace.text()
        assert eventually(lambda: trace.path.read_text().count("0 mesh; lost 0") == 1)
        assert trace.end() == 0
    line = next(line for line in trace.text().splitlines() if "bypass:" in line)
    assert line.split()[1] == pod.netns
    assert f"tcp to {peer.ipv4}:{PORT}" in line


def test_ports_are_read_behind_options_and_of_first_fragments(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, state = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    padding = bytes([0, 0, 1, 4, 0, 0, 0, 0])
    options = (socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, padding)

    def send() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as plain:
            plain.sendmsg([b"behind options"], [options], 0, (str(peer.ipv6), 7001))
            plain.sendto(bytes(4000), (str(peer.ipv6), 7002))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.sendto(bytes(4000), (str(peer.ipv4), 7003))

    with tracing(layout, node, state, "--json", "--netns", pod.netns) as trace:
        in_pod(pod.netns, send, uid=0)
        eventually_one(trace, "connection", remote=f"{peer.ipv4}:7003")
        assert trace.end() == 0
    assert [one["remote"] for one in trace.said("connection", direction="out")] == [
        f"[{peer.ipv6}]:7001",
        f"[{peer.ipv6}]:7002",
        f"{peer.ipv4}:7003",
    ]


def test_what_there_was_no_room_for_is_counted(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, state = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    with tracing(layout, node, state, "--json", "--netns", pod.netns) as trace:
        trace.signal(SIGSTOP)
        try:
            _shout(pod, peer.ipv6, *range(10_000, 16_000))
        finally:
            trace.signal(SIGCONT)
        assert trace.end() == 0
    [end] = trace.said("end")
    assert end["lost_flows"] > 1_000, "the ring holds 256 KiB"
    assert end["bypass"] + end["lost_flows"] >= 6_000
    assert any("lost" in one["text"] for one in trace.said("notice"))


MISSING = {
    "BCC": ("mount -t tmpfs no /usr/lib/python3/dist-packages;", "python3-bpfcc"),
    "tracefs": (
        "umount -lq /sys/kernel/tracing || :; mount -t tmpfs no /sys/kernel/tracing;",
        "mount -t tracefs tracefs /sys/kernel/tracing",
    ),
    "structures": ("mount -t tmpfs no /sys/kernel/btf;", "CONFIG_DEBUG_INFO_BTF"),
    "CAP_BPF and CAP_PERFMON": (
        'set -- setpriv --bounding-set=-bpf,-perfmon,-sys_admin --inh-caps=-all "$@";',
        "sudo stoq-node trace",
    ),
}


@pytest.mark.parametrize("what", MISSING)
def test_what_is_missing_is_named_with_what_mends_it(
    laboratory: tuple[plan.Plan, Node, State], what: str
) -> None:
    layout, node, _ = laboratory
    script, mend = MISSING[what]
    done = subprocess.run(
        words(TRACEFS + script, layout, ["--netns", layout.pod("pod").netns, "--seconds", "1"]),
        env={**command.inherited(), **node.environment()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    said = [line for line in done.stderr.splitlines() if line.startswith("  ")]
    assert len(said) == 1, done.stderr
    assert what in said[0]
    assert mend in said[0]


def test_without_pods_or_with_a_name_that_is_none_it_says_what_to_give(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, _ = laboratory
    nobody = node.run("trace", "--netns", "no-such")
    assert nobody.returncode == 2
    assert "--netns is 'no-such'" in nobody.stderr
    assert node.run("trace", "--pod", "web-0").returncode == 2
    done = subprocess.run(
        words(TRACEFS, layout, []),
        env={**command.inherited(), **node.environment()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert str(node.pods) in done.stderr
    assert "STOQ_PODS_FILE" in done.stderr


def _key(pod: plan.Pod) -> str:
    return f"{NAMESPACE}/{pod.name}"


def _shout(source: plan.Pod, address: IPv6Address, *ports: int) -> None:
    def send() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as plain:
            for port in ports:
                plain.sendto(b"in the clear", (str(address), port))

    in_pod(source.netns, send)
