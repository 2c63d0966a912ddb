"""Keeps the webhook's certificate in its Secret, and the API server's trust in it."""

import base64
import binascii
import logging
from datetime import UTC, datetime
from typing import Any, Final

from stoq_kube.apiserver import (
    FIELD_MANAGER,
    PATCH,
    SECRETS,
    WEBHOOKS,
    ApiError,
    Client,
    apply,
)
from stoq_kube.meta import Raw
from stoq_operator.duty import Duty
from stoq_operator.lease import Election
from stoq_operator.webhookpki import make, usable

log: Final = logging.getLogger(__name__)

SECRET: Final = "stoq-webhook-tls"  # noqa: S105 - the name of one

SERVICE: Final = "stoq-webhook"

CONFIGURATION: Final = "stoq-injector"

INTERVAL: Final = 10.0
"""Seconds between looks: a deleted Secret or a new configuration is mended within them."""


class WebhookTls:
    """Works on the leader."""

    def __init__(self, client: Client, election: Election, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._names = (
            f"{SERVICE}.{namespace}.svc",
            f"{SERVICE}.{namespace}.svc.cluster.local",
            f"{SERVICE}.{namespace}",
        )
        self._duty = Duty(election, "webhook certificate", self._look, INTERVAL)

    async def run(self) -> None:
        """Looks until cancelled."""
        await self._duty.run()

    async def _look(self) -> None:
        authority = await self._authority()
        try:
            found = await self._client.request("get", WEBHOOKS.path(CONFIGURATION))
        except ApiError as error:
            if error.missing:
                # Installed without injection, or on its way out.
                return
            raise
        wanted = base64.b64encode(authority).decode()
        hooks: list[Raw] = found.get("webhooks") or []
        if any(hook["clientConfig"].get("caBundle") != wanted for hook in hooks):
            await self._client.request(
                "patch",
                f"{WEBHOOKS.path(CONFIGURATION)}?fieldManager={FIELD_MANAGER}",
                trusting(hooks, wanted),
                media=PATCH,
            )
            log.info("the API server trusts the webhook's certificate now")

    async def _authority(self) -> bytes:
        """The authority of the certificate in the Secret, which is made or renewed first if due."""
        try:
            secret = await self._client.request("get", SECRETS.path(SECRET, self._namespace))
        except ApiError as error:
            if not error.missing:
                raise
            secret = {}
        now = datetime.now(UTC)
        files = _decoded(secret)
        if usable(files, self._names, now):
            return files["ca.crt"]
        made = make(self._names, now)
        await apply(self._client, SECRETS, self._manifest(made.files))
        log.info("made a certificate for the webhook, valid for a year")
        return made.authority

    def _manifest(self, files: dict[str, bytes]) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": SECRET,
                "namespace": self._namespace,
                "labels": {"app.kubernetes.io/managed-by": "stoq-operator"},
            },
            "type": "kubernetes.io/tls",
            "data": {name: base64.b64encode(item).decode() for name, item in files.items()},
        }


def trusting(hooks: list[Raw], bundle: str) -> list[dict[str, str]]:
    """The JSON patch (RFC 6902) by which each of `hooks` is called with `bundle` (base64). Pure.

    No server-side apply: that would ask for the required fields beside ours, and then own what is
    the chart's.
    """
    patch: list[dict[str, str]] = []
    for index, hook in enumerate(hooks):
        place = f"/webhooks/{index}"
        patch.append({"op": "test", "path": f"{place}/name", "value": hook["name"]})
        patch.append({"op": "add", "path": f"{place}/clientConfig/caBundle", "value": bundle})
    return patch


def _decoded(secret: Raw) -> dict[str, bytes]:
    try:
        return {
            name: base64.b64decode(value, validate=True)
            for name, value in (secret.get("data") or {}).items()
        }
    except binascii.Error:
        return {}
