"""Talks to a Kubernetes API server, with plain dicts; nothing is decided here.

The client's typed models are not used: they know nothing of our kinds and drop what they do not
know.
"""

import http.client
import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import urllib3
from kubernetes import config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream.ws_client import portforward_call

from stoq import constants
from stoqctl.errors import Refused, StoqctlError, Unreachable

TIMEOUT: Final = 15.0
"""Seconds for one answer of the API server."""

PAGE: Final = 500
"""Objects in one answer of a list."""

MAX_ADMIN_ANSWER: Final = 64 << 20
"""Bytes of an answer of a sidecar; what the registry tells of a large mesh is a few megabytes."""

MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"

Object = dict[str, Any]


class Cluster:
    """One API server, as one user."""

    def __init__(self, kubeconfig: str = "", context: str = "") -> None:
        """Empty: as kubectl chooses. Raises `StoqctlError`."""
        try:
            self._api = config.new_client_from_config(kubeconfig or None, context or None)
        except (config.ConfigException, OSError) as error:
            raise StoqctlError(
                f"no cluster is configured: {error}; name one with --kubeconfig or --context, or "
                "set KUBECONFIG"
            ) from error
        self.server: str = self._api.configuration.host

    def close(self) -> None:
        """Ends the connections."""
        self._api.close()

    def get(self, path: str, **query: str) -> Object:
        """The object at `path`. Raises `Refused`, `Unreachable`."""
        found: Object = json.loads(self._call("GET", path, query))
        return found

    def find(self, path: str) -> Object | None:
        """The object at `path`, or None when there is none. Raises as `get`."""
        try:
            return self.get(path)
        except Refused as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise

    def list(self, path: str, **query: str) -> Iterator[Object]:
        """The items of the list at `path`, page by page. Raises as `get`."""
        following = ""
        while True:
            page = self.get(path, limit=str(PAGE), **query, **_given(following))
            yield from page.get("items") or ()
            following = page.get("metadata", {}).get("continue", "")
            if not following:
                return

    def create(self, path: str, body: Object, **query: str) -> Object:
        """Adds an object to the list at `path`. Raises as `get`."""
        made: Object = json.loads(self._call("POST", path, query, body))
        return made

    def patch(self, path: str, body: Object, *, strategic: bool = False) -> Object:
        """Changes the object at `path` by a merge patch; `strategic`: one that finds items of lists
        by their names. Raises as `get`.
        """
        kind = STRATEGIC_PATCH if strategic else MERGE_PATCH
        after: Object = json.loads(self._call("PATCH", path, {}, body, kind))
        return after

    def delete(self, path: str) -> bool:
        """Removes the object at `path`; whether there was one. Raises as `get`."""
        try:
            self._call("DELETE", path, {})
        except Refused as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    def log(self, namespace: str, pod: str, container: str, **query: str) -> Iterator[bytes]:
        """What the container printed, in pieces; with `follow=true` until it ends. Raises as
        `get`.
        """
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        answer = self._request("GET", path, {"container": container, **query})
        try:
            yield from answer.stream()
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"{self.server} stopped sending: {error}") from error
        finally:
            answer.release_conn()

    def admin(self, namespace: str, pod: str, path: str, method: str = "GET") -> bytes:
        """The answer of the administration port of a pod's sidecar, through the API server and the
        kubelet, which reach the loopback inside of the pod. Raises `StoqctlError`.
        """
        where = f"the sidecar of {namespace}/{pod}"
        _, url, headers, _, _ = self._api.param_serialize(
            "GET",
            f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward",
            query_params=[("ports", str(constants.ADMIN_PORT))],
            auth_settings=["BearerToken"],
        )
        try:
            # Not through the typed API, whose models take seconds to load.
            tunnel = portforward_call(self._api.configuration, "GET", url, headers=headers)
        except ApiException as error:
            raise StoqctlError(
                f"cannot forward a port of pod {namespace}/{pod}: {error.reason}; does it run, and "
                "may you create pods/portforward?"
            ) from error
        connection = http.client.HTTPConnection("localhost", constants.ADMIN_PORT)
        connection.sock = tunnel.socket(constants.ADMIN_PORT)
        connection.sock.settimeout(TIMEOUT)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read(MAX_ADMIN_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            told = tunnel.error(constants.ADMIN_PORT) or error
            raise StoqctlError(
                f"{where} does not answer: {told}; see `stoqctl logs {namespace}/{pod}`"
            ) from error
        finally:
            connection.close()
            tunnel.close()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            text = body.decode(errors="replace").strip()
            raise StoqctlError(f"{where}: {path} answered {answer.status}: {text}")
        return body

    def _call(
        self, method: str, path: str, query: Mapping[str, str], body: Any = None, kind: str = ""
    ) -> bytes:
        return bytes(self._request(method, path, query, body, kind).data)

    def _request(
        self, method: str, path: str, query: Mapping[str, str], body: Any = None, kind: str = ""
    ) -> Any:
        """The answer, unread. Raises `Refused`, `Unreachable`."""
        headers = {"Accept": "application/json, */*", "User-Agent": f"stoqctl/{constants.VERSION}"}
        if body is not None:
            headers["Content-Type"] = kind or "application/json"
        pairs = list(query.items())
        request = self._api.param_serialize(
            method, quote(path), None, pairs, headers, body, auth_settings=["BearerToken"]
        )
        try:
            answer = self._api.call_api(*request, _request_timeout=self._timeout(query)).response
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise _refused(method, path, answer.status, answer.data)
        except (urllib3.exceptions.HTTPError, ApiException) as error:
            raise Unreachable(
                f"no answer from the API server {self.server}: {error}; is it the cluster you "
                "mean (`kubectl config current-context`), and is it up?"
            ) from error
        return answer

    def _timeout(self, query: Mapping[str, str]) -> Any:
        return (TIMEOUT, None) if "follow" in query else TIMEOUT


def _given(following: str) -> dict[str, str]:
    return {"continue": following} if following else {}


def _refused(method: str, path: str, code: int, body: bytes) -> Refused:
    try:
        text = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        text = body.decode(errors="replace").strip()
    if code == HTTPStatus.FORBIDDEN:
        text += "; ask for the right, or use another --context"
    if code == HTTPStatus.UNAUTHORIZED:
        text += "; the credentials of this context are not valid: log in again"
    return Refused(f"{method} {path}: {text}", code)
