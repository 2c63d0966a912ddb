"""The pod's resolver, asked by dig and by libc, beside a real name server (unbound)."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from signal import SIGKILL

import pytest

from lab import netns, process
from lab.command import CommandError
from lab.mesh import NAMESPACE, MeshSettings
from lab.state import State
from netns.meshes import PORT, Echo, Running, eventually, running
from support.patience import quickly

UNBOUND = """\
server:
  interface: {ipv6}
  interface: {ipv4}
  access-control: ::/0 allow
  access-control: 0.0.0.0/0 allow
  chroot: ""
  username: ""
  pidfile: ""
  directory: "{folder}"
  use-syslog: no
  num-threads: 1
  do-not-query-localhost: no
  local-zone: "." static
  local-data: ". 3600 IN SOA a.test. b.test. 1 2 3 4 5"
  local-data: "web.example.test. 77 IN AAAA 2001:db8::1"
  local-data: "web.example.test. 77 IN A 192.0.2.1"
  local-data: "google.dev. 77 IN AAAA 2001:db8::2"
  local-data: 'big.example.test. 77 IN TXT {big}'
"""
BIG = " ".join(f'"{letter * 250}"' for letter in "abcdefghijkl")


def name_server(state: State, made: Running, name: str) -> process.Process:
    """Unbound in the pod `outside`."""
    pod = made.pod("outside")
    file = state.folder / f"{name}.conf"
    file.write_text(UNBOUND.format(ipv6=pod.ipv6, ipv4=pod.ipv4, folder=state.folder, big=BIG))
    return process.start(state, name, ["unbound", "-d", "-c", str(file)], netns=pod.netns)


def dig(made: Running, *words: str, pod: str = "client", at: object = None) -> str:
    """What dig prints, asking the pod's name server unless told otherwise."""
    server = at or made.pod("outside").ipv6
    argv = ["dig", f"@{server}", "+time=20", "+tries=1", *words]
    return netns.run_in(made.pod(pod).netns, argv)


def short(made: Running, *words: str) -> list[str]:
    return dig(made, "+short", *words).split("\n")[:-1]


def known(made: Running, name: str) -> bool:
    """Whether the record of that name has one."""
    return short(made, "AAAA", f"{name}.demo.stoq") != []


def as_program(made: Running, script: str, pod: str = "client") -> str:
    """Runs a shell script in the pod, with the pod's resolv.conf where libc looks for it."""
    bind = f"mount --bind {resolv_conf(made)} /etc/resolv.conf && {script}"
    return netns.run_in(made.pod(pod).netns, ["unshare", "-m", "sh", "-c", bind])


def resolv_conf(made: Running) -> Path:
    return made.state.folder / "resolv.conf"


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def mesh(environment: dict[str, str]) -> Iterator[Running]:
    def prepare(made: Running) -> None:
        outside = made.pod("outside")
        resolv_conf(made).write_text(
            f"nameserver {outside.ipv6}\nnameserver {outside.ipv4}\n"
            f"search {NAMESPACE}.svc.cluster.local svc.cluster.local\noptions ndots:5\n"
        )
        environment["STOQ_DNS_RESOLV_CONF"] = str(resolv_conf(made))
        name_server(made.state, made, "unbound")
        record(made, "db")
        record(made, "google", namespace="dev")

    settings = MeshSettings(environment=environment)
    with (
        running("client", "server", settings=settings, prepare=prepare) as made,
        Echo(made.pod("server")),
    ):
        assert eventually(lambda: dig(made, "web.example.test").find("192.0.2.1") > 0)
        yield made


def record(made: Running, name: str, namespace: str = NAMESPACE) -> None:
    endpoints = [{"address": str(made.pod("server").ipv6)}]
    spec = {"ports": [{"port": 80, "targetPort": PORT, "name": "echo"}], "endpoints": endpoints}
    made.mesh.write("ServiceRecord", name, spec, namespace=namespace)


def vip(made: Running, key: str) -> str:
    found: str = made.admin("client", "/config")["registry"]["services"][key]["vips"][0]
    return found


@pytest.mark.parametrize("protocol", ["+notcp", "+tcp"])
@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_a_record_is_answered_as_if_by_the_pods_name_server(
    mesh: Running, protocol: str, family: str
) -> None:
    # dig refuses a reply that comes from another address than it asked.
    server = getattr(mesh.pod("outside"), family)
    found = dig(mesh, protocol, "+short", "AAAA", "db.demo.stoq", at=server)
    assert found.split() == [vip(mesh, "demo/db")]


def test_a_program_connects_by_name(mesh: Running) -> None:
    script = (
        "import socket; s = socket.create_connection(('db.demo.stoq', 80)); "
        "s.sendall(b'by name'); print(s.recv(100))"
    )
    assert as_program(mesh, f'/usr/bin/python3 -c "{script}"') == "b'by name'\n"


@pytest.mark.parametrize("name", ["db.demo.stoq", "db.demo", "db"])
def test_libc_finds_every_form_of_the_name(mesh: Running, name: str) -> None:
    assert vip(mesh, "demo/db") in as_program(mesh, f"getent ahostsv6 {name}").split()


def test_a_name_of_the_world_stays_the_worlds(mesh: Running) -> None:
    assert short(mesh, "AAAA", "google.dev") == ["2001:db8::2"]
    assert short(mesh, "AAAA", "google.dev.stoq") == [vip(mesh, "dev/google")]


def test_srv_says_the_port(mesh: Running) -> None:
    assert short(mesh, "SRV", "_echo._tcp.db.demo.stoq") == ["0 1 80 db.demo.stoq."]


def test_what_is_not_there_may_be_remembered_for_a_second(mesh: Running) -> None:
    nothing = dig(mesh, "AAAA", "none.demo.stoq")
    assert "status: NXDOMAIN" in nothing
    assert "\nstoq.\t\t\t1\tIN\tSOA" in nothing
    assert "status: NOERROR" in dig(mesh, "MX", "db.demo.stoq")


@pytest.mark.parametrize("words", [["AAAA", "web.example.test"], ["A", "none.example.test"]])
@pytest.mark.parametrize("options", [["+dnssec", "+nocookie"], ["+noedns"], ["+tcp"]])
def test_everything_else_is_forwarded_unchanged(
    mesh: Running, options: list[str], words: list[str]
) -> None:
    def sections(pod: str) -> list[str]:
        lines = dig(mesh, *options, *words, pod=pod).splitlines()
        return [line.partition(", id: ")[0] for line in lines if not line.startswith(";; Query")
                and not line.startswith((";; WHEN", "; <<>>")) and "id:" not in line
                and "COOKIE" not in line]  # fmt: skip

    assert sections("client") == sections("control")


def test_a_long_answer_comes_over_tcp(mesh: Running) -> None:
    assert "flags: qr aa tc" in dig(mesh, "+ignore", "TXT", "big.example.test")
    assert len(dig(mesh, "+short", "TXT", "big.example.test")) > 3000


def test_another_name_server_is_asked_directly(mesh: Running) -> None:
    with pytest.raises(CommandError, match="connection refused|communications error"):
        dig(mesh, "db.demo.stoq", at=mesh.pod("control").ipv6)


@pytest.mark.alone
def test_a_new_record_has_its_name_within_a_second(mesh: Running) -> None:
    for attempt in quickly(1):
        name = f"late-{attempt.number}"
        assert "NXDOMAIN" in dig(mesh, "AAAA", f"{name}.demo.stoq")
        with attempt:
            record(mesh, name)
            assert eventually(partial(known, mesh, name))


def test_requests_are_counted_by_answer(mesh: Running) -> None:
    before = mesh.metric("client", "stoq_dns_requests_total", protocol="udp", answer="record")
    dig(mesh, "AAAA", "db.demo.stoq")
    after = mesh.metric("client", "stoq_dns_requests_total", protocol="udp", answer="record")
    assert after == before + 1


# Those below break something, so they come last, in this order.


def test_records_are_served_while_the_control_plane_is_down(mesh: Running) -> None:
    assert mesh.mesh.control is not None
    mesh.mesh.control.stop(number=SIGKILL)
    assert eventually(lambda: mesh.metric("client", "stoq_registry_stale") == 1)
    assert short(mesh, "AAAA", "db.demo.stoq") == [vip(mesh, "demo/db")]
    assert mesh.metric("client", "stoq_dns_stale_answers_total") >= 1


@pytest.mark.alone
def test_without_a_sidecar_names_fail_at_once(mesh: Running) -> None:
    mesh.mesh.sidecars["client"].stop(number=SIGKILL)
    for attempt in quickly(1):
        failed = pytest.raises(CommandError, match="connection refused|communications error")
        with attempt, failed:
            dig(mesh, "web.example.test")
