"""An API server for one agent: `kubeapi.py PORT FOLDER`, on ::1.

Lists are those of `lists.json` in the folder, by path, as they are at the time. Watches bring
nothing but, after a moment, that they are too old, and clients list again. What is patched is kept
beside: `patched-<name>.json`, a status as `patched-status.json`; what is made, one a line, in
`posted-<plural>.jsonl`.
"""

import json
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WATCH_SECONDS = 0.5
"""That a watch lasts."""
GONE = b'{"type": "ERROR", "object": {"code": 410, "message": "too old"}}\n'


class Server(ThreadingHTTPServer):
    """On IPv6, a thread for each client."""

    address_family = socket.AF_INET6
    daemon_threads = True


def handler(folder: Path) -> type[BaseHTTPRequestHandler]:
    """What answers for the files in `folder`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if "watch=" in query:
                time.sleep(WATCH_SECONDS)
                self._answer(GONE)
                return
            lists: dict[str, Any] = json.loads((folder / "lists.json").read_text())
            found = {"metadata": {"resourceVersion": "1", "uid": "uid"}}
            if path in lists:
                found["items"] = lists[path]
            self._answer(json.dumps(found).encode())

        def do_PATCH(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            name = self.path.partition("?")[0].rpartition("/")[2]
            fresh = folder / f"patched-{name}.new"
            fresh.write_bytes(body)
            fresh.replace(folder / f"patched-{name}.json")
            self._answer(b'{"metadata": {"generation": 1}}')

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            plural = self.path.partition("?")[0].rpartition("/")[2]
            with (folder / f"posted-{plural}.jsonl").open("ab") as made:
                made.write(body + b"\n")
            self._answer(body)

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


if __name__ == "__main__":
    Server(("::1", int(sys.argv[1])), handler(Path(sys.argv[2]))).serve_forever()
