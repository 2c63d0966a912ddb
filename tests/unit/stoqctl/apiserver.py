"""Objects behind the paths and verbs of an API server, over HTTP.

For what a real one does not do on request: break off, refuse, answer nonsense. The verbs run
against a real one in tests/cluster.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Object = dict[str, Any]


class ApiServer(ThreadingHTTPServer):
    """`objects` by path; a list's path is that of its objects without their names."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, Object] = {"/version": {"major": "1", "minor": "36"}}
        self.texts: dict[str, bytes] = {}
        """Other answers by path, such as logs."""
        self.refused: dict[str, int] = {}
        """Status by beginning of a path."""
        self.failures: dict[str, list[int]] = {}
        """What the next reads of a path are answered with, in turn."""
        self.unready: set[str] = set()
        """Pods that are not ready after a restart of their sidecars."""
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.largest_page = 2

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def put(self, path: str, **item: Any) -> Object:
        """Keeps an object with the name and the namespace that its path has."""
        parts = path.split("/")
        metadata = {"name": parts[-1], "uid": f"uid-{parts[-1]}", **item.pop("metadata", {})}
        if "namespaces" in parts[:-2]:
            metadata["namespace"] = parts[parts.index("namespaces") + 1]
        self.objects[path] = {"metadata": metadata, **item}
        return self.objects[path]

    def members(self, path: str) -> list[Object]:
        """Of the list at `path`, in all namespaces when it names none."""
        head, _, kind = path.rpartition("/")
        return [
            item
            for at, item in sorted(self.objects.items())
            if at.rpartition("/")[0] == path
            or (at.startswith(f"{head}/namespaces/") and at.split("/")[-2:-1] == [kind])
        ]


class Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""

    def answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, code: int, message: str) -> None:
        self.answer(code, json.dumps({"kind": "Status", "message": message}).encode())

    def give(self, value: Object) -> None:
        self.answer(200, json.dumps(value).encode())

    def handle_verb(self) -> None:
        parts = urlsplit(self.path)
        path, query = parts.path, dict(parse_qsl(parts.query))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, path, query))
        for beginning, code in self.server.refused.items():
            if path.startswith(beginning):
                self.refuse(code, f"{path} is not for you")
                return
        if path in self.server.texts:
            self.answer(200, self.server.texts[path])
            return
        getattr(self, self.command.lower())(path, query, json.loads(body) if body else {})

    def get(self, path: str, query: dict[str, str], _body: Object) -> None:
        if self.server.failures.get(path):
            self.refuse(self.server.failures[path].pop(0), f"{path} cannot be told now")
            return
        if path in self.server.objects and "limit" not in query:
            self.give(self.server.objects[path])
            return
        if "limit" not in query:
            self.refuse(404, f"{path} not found")
            return
        found = self.server.members(path)
        wanted = dict(p.split("=") for p in query.get("labelSelector", "").split(",") if p)
        found = [
            item for item in found if wanted.items() <= item["metadata"].get("labels", {}).items()
        ]
        first = int(query.get("continue", 0))
        last = first + self.server.largest_page
        following = {"continue": str(last)} if last < len(found) else {}
        self.give({"items": found[first:last], "metadata": following})

    def post(self, path: str, query: dict[str, str], body: Object) -> None:
        if path.endswith("selfsubjectaccessreviews"):
            allowed = body["spec"]["resourceAttributes"]["resource"] != "secrets"
            self.give({"status": {"allowed": allowed}})
            return
        if "dryRun" in query:
            self.give({**body, "spec": {**body["spec"], **self.server.objects["injected"]}})
            return
        name = body["metadata"]["name"]
        if f"{path}/{name}" in self.server.objects:
            self.refuse(409, f"{name} already exists")
            return
        self.server.objects[f"{path}/{name}"] = body
        self.give(body)

    def patch(self, path: str, _query: dict[str, str], body: Object) -> None:
        if path not in self.server.objects:
            self.refuse(404, f"{path} not found")
            return
        if self.headers["Content-Type"] == "application/strategic-merge-patch+json":
            self.give(self.restarted(path, body))
            return
        self.server.objects[path] = merged(self.server.objects[path], body)
        self.give(self.server.objects[path])

    def restarted(self, path: str, body: Object) -> Object:
        """What kubelets do with a new image: one that is called broken never starts."""
        pod = self.server.objects[path]
        (change,) = body["spec"]["initContainers"]
        for container in pod["spec"]["initContainers"]:
            if container["name"] == change["name"]:
                container["image"] = change["image"]
        for status in pod["status"]["initContainerStatuses"]:
            if status["name"] == change["name"] and "broken" in change["image"]:
                status["state"] = {"waiting": {"reason": "ErrImagePull", "message": "no such"}}
            elif status["name"] == change["name"] and "slow" not in change["image"]:
                status["restartCount"] += 1
        if pod["metadata"]["name"] in self.server.unready:
            pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
        return pod

    def delete(self, path: str, _query: dict[str, str], _body: Object) -> None:
        if self.server.objects.pop(path, None) is None:
            self.refuse(404, f"{path} not found")
        else:
            self.give({"status": "Success"})

    do_GET = do_POST = do_PATCH = do_DELETE = handle_verb  # noqa: N815 - the base class's names


def merged(before: Any, change: Any) -> Any:
    """RFC 7386."""
    if not isinstance(change, dict):
        return change
    base = before if isinstance(before, dict) else {}
    return {
        key: merged(base.get(key), change[key]) if key in change else base[key]
        for key in (*base, *(key for key in change if key not in base))
        if change.get(key, "") is not None
    }


def serving() -> ApiServer:
    """Started; stop it with `shutdown`."""
    server = ApiServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
