"""Unmodified programs in the pods: nginx, PostgreSQL, iperf3. None of them knows of the mesh."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lab import command, netns, process
from lab.plan import Pod
from lab.process import Process
from lab.state import State

HTTP_PORT: Final = 8080
POSTGRES_PORT: Final = 5432
IPERF_PORT: Final = 5201

IPERF_TRIES: Final = 5
"""How often iperf3 may give up before it has measured anything."""

_NGINX: Final = """\
daemon off;
worker_processes 1;
error_log stderr warn;
pid {run}/nginx.pid;
events {{ worker_connections 512; }}
http {{
  access_log off;
  sendfile on;
  client_body_temp_path {run}/body;
  proxy_temp_path {run}/proxy;
  fastcgi_temp_path {run}/fastcgi;
  uwsgi_temp_path {run}/uwsgi;
  scgi_temp_path {run}/scgi;
  server {{
    {listen}
    root {files};
  }}
}}
"""


def listening(pod: Pod, port: int) -> bool:
    """Whether something in the pod listens on TCP `port`."""
    return bool(netns.run_in(pod.netns, ["ss", "-Hltn", f"sport = :{port}"]).strip())


def nginx(state: State, pod: Pod, files: Path, *, ports: Sequence[int] = (HTTP_PORT,)) -> Process:
    """An HTTP server for the files in a folder, on `ports` of every address of the pod."""
    folder = state.folder / f"nginx-{pod.name}"
    folder.mkdir()
    hosts = [f"[{address}]" if address.version == 6 else str(address) for address in pod.addresses]
    listen = " ".join(f"listen {host}:{port};" for host in hosts for port in ports)
    settings = folder / "nginx.conf"
    settings.write_text(_NGINX.format(run=folder, files=files, listen=listen))
    argv = ["nginx", "-p", str(folder), "-c", str(settings), "-e", "stderr"]
    server = process.start(state, f"nginx-{pod.name}", argv, netns=pod.netns)
    server.wait_until("listening", lambda: listening(pod, ports[-1]))
    return server


def fetch(client: Pod, server: Pod, name: str, *, timeout: float = 60.0) -> str:
    """Fetches a file with curl and returns the SHA-256 of what arrived. Raises CommandError."""
    url = f"http://[{server.ipv6}]:{HTTP_PORT}/{name}"
    # One pipe, so that a gigabyte is neither kept nor written.
    pipe = 'set -o pipefail; curl --silent --show-error --fail --max-time "$1" "$2" | sha256sum'
    argv = ["bash", "-c", pipe, "bash", str(timeout), url]
    return netns.run_in(client.netns, argv, timeout=timeout + 5).split()[0]


def _postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        raise command.CommandError("PostgreSQL is not installed; hack/setup installs it")
    return found[-1].parent


def _as_postgres(argv: Sequence[str]) -> list[str]:
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *argv]


def postgres_prepare(state: State) -> Path:
    """Makes an empty database cluster in the run's folder. Takes some seconds; needs no pod."""
    folder = state.folder / "postgres"
    folder.mkdir(mode=0o700)
    command.run(["chown", "postgres:postgres", str(folder)])
    argv = [str(_postgres_programs() / "initdb"), "-D", str(folder), "-U", "postgres"]
    argv += ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    command.run(_as_postgres(argv), timeout=60)
    rules = folder / "pg_hba.conf"
    rules.write_text("host all all all trust\n")
    return folder


def postgres(state: State, pod: Pod, folder: Path) -> Process:
    """Starts PostgreSQL on port 5432 of the pod's IPv6 address, on a prepared folder."""
    argv = [str(_postgres_programs() / "postgres"), "-D", str(folder)]
    # A database of a minute's life need not survive a power cut.
    for setting in (
        f"listen_addresses={pod.ipv6}",
        "unix_socket_directories=",
        "fsync=off",
        "max_connections=20",
    ):
        argv += ["-c", setting]
    server = process.start(state, f"postgres-{pod.name}", _as_postgres(argv), netns=pod.netns)
    server.wait_until("ready", lambda: "ready to accept connections" in server.tail(), 30)
    return server


def psql(client: Pod, server: Pod, statement: str) -> str:
    """Runs one SQL statement through psql and returns its bare result. Raises CommandError."""
    where = f"host={server.ipv6} port={POSTGRES_PORT} user=postgres connect_timeout=10"
    argv = ["psql", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-Atc", statement, where]
    return netns.run_in(client.netns, argv).strip()


@dataclass(frozen=True, slots=True)
class Throughput:
    """What iperf3 measured at the receiver."""

    bits_per_second: float
    bytes: int


def iperf_server(state: State, pod: Pod) -> Process:
    """Starts iperf3's server on port 5201."""
    server = process.start(state, f"iperf3-{pod.name}", ["iperf3", "-s"], netns=pod.netns)
    server.wait_until("listening", lambda: listening(pod, IPERF_PORT))
    return server


def iperf_end(client: Pod, server: Pod, seconds: int, *options: str) -> dict[str, Any]:
    """What iperf3's client says at the end of so many seconds. It gives up, with status 0, where
    its first datagram is lost, or its server is not done with the client before: then it is asked
    again. Raises CommandError with what it says the last time.
    """
    argv = ["iperf3", "-J", *options, "-t", str(seconds), "-c", str(server.ipv6)]
    why = ""
    for _ in range(IPERF_TRIES):
        answer = json.loads(netns.run_in(client.netns, argv, timeout=seconds + 40))
        if "error" not in answer:
            end: dict[str, Any] = answer["end"]
            return end
        why = answer["error"]
        time.sleep(1)
    raise command.CommandError(f"{' '.join(argv)}: {why}")


def iperf(client: Pod, server: Pod, seconds: int) -> Throughput:
    """Sends one stream to iperf3's server for some seconds. Raises CommandError."""
    received = iperf_end(client, server, seconds)["sum_received"]
    return Throughput(float(received["bits_per_second"]), int(received["bytes"]))
