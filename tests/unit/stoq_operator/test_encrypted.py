"""The verdict of `helm test`, from pages as a sidecar writes them."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from stoq_operator import encrypted
from stoq_operator.encrypted import Counts, counts, main, verdict

PAGE = """\
# TYPE stoq_passthrough counter
stoq_passthrough_total {passed}
# TYPE stoq_tcp_connections_opened counter
stoq_tcp_connections_opened_total{{reporter="source",connection_security_policy="mutual_tls",key_exchange="X25519MLKEM768",signature="Ed25519+FALCON-1024"}} {opened}
stoq_tcp_connections_opened_total{{reporter="source",connection_security_policy="unknown",key_exchange="unknown",signature="unknown"}} 7
stoq_tcp_connections_opened_total{{reporter="destination",connection_security_policy="mutual_tls",key_exchange="X25519MLKEM768",signature="Ed25519+FALCON-1024"}} 9
"""  # noqa: E501


def test_only_what_this_pod_opened_encrypted_counts() -> None:
    suites = frozenset({"X25519MLKEM768 Ed25519+FALCON-1024"})
    assert counts(PAGE.format(passed=3, opened=5)) == Counts(5, 3, suites)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (Counts(10, 0, frozenset()), ""),
        (Counts(9, 0, frozenset()), "encrypted only 9 connections"),
        (Counts(10, 1, frozenset()), "1 connections left the mesh"),
    ],
)
def test_every_request_must_have_been_encrypted(after: Counts, said: str) -> None:
    found = verdict(Counts(0, 0, frozenset()), after, 10)
    assert said in found
    assert bool(found) == bool(said)


class Pod(http.server.BaseHTTPRequestHandler):
    """Both the sidecar's page and the server behind it; counts what is fetched."""

    fetched = 0
    counting = True

    def do_GET(self) -> None:
        if self.path == "/metrics":
            body = PAGE.format(passed=0, opened=Pod.fetched if Pod.counting else 0).encode()
        else:
            Pod.fetched += 1
            body = b"hello"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pod) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(encrypted, "METRICS", f"{base}/metrics")
        monkeypatch.setattr(encrypted, "PATIENCE", 0.0)
        yield base
        server.shutdown()


@pytest.mark.parametrize(("counting", "status"), [(True, 0), (False, 1)])
def test_the_program_ends_with_its_verdict(
    address: str, counting: bool, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pod, "counting", counting)
    assert main([f"{address}/"]) == status


def test_a_server_that_is_not_there_is_no_proof(address: str) -> None:
    assert main(["http://127.0.0.1:9/"]) == 1
