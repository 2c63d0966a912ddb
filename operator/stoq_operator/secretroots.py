"""Roots in a Secret: every replica follows it, the leader changes it.

The Secret is made once. One that somebody supplied beforehand is used as it is; one that somebody
deleted or emptied is written again from memory. Where no replica remembers the roots that pods
trust, nobody makes others unasked: every pod would be cut off from every newer one.

One that can not be used is nobody's failure but its author's: it is left as it is, whoever wants to
know is told why, and it is used as soon as it is mended. Roots in force stay so meanwhile.
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from stoq.constants import ROTATE_ANNOTATION
from stoq.records.mesh import RootsReason
from stoq_kube.apiserver import CONFIG_MAPS, SECRETS, ApiError, Client, Deleted, Listed
from stoq_kube.meta import Raw
from stoq_operator.enrolment import TRUST
from stoq_operator.kept import KeptRoot, StateError
from stoq_operator.lease import Election
from stoq_operator.problem import Problem
from stoq_operator.rootfiles import pack, unpack

log: Final = logging.getLogger(__name__)

NAME: Final = "stoq-ca"

RETRY: Final = 1.0
"""Seconds between attempts to write a Secret that is gone."""


class Verdict(NamedTuple):
    """What there is to say of the Secret."""

    problem: Problem | None = None
    """Why its roots are not in force."""
    notices: tuple[Problem, ...] = ()
    """What is to be known of those that are."""
    uid: str = ""
    """The Secret's; empty: there is none."""


class SecretRoots:
    """A `RootStore` on a Secret. `run` must run beside."""

    def __init__(self, client: Client, election: Election, namespace: str) -> None:
        self._client = client
        self._election = election
        self._namespace = namespace
        self._place = f"Secret {namespace}/{NAME}"
        self._found: tuple[KeptRoot, ...] = ()
        """In the Secret as last seen; empty: none that can be read."""
        self._roots: tuple[KeptRoot, ...] = ()
        """Those that were last in force."""
        self._metadata: dict[str, Any] | None = None
        """Of the Secret as last seen; `None`: there is none."""
        self._filled = False
        """Whether the Secret as last seen has roots."""
        self._listed = False
        self._unreadable: Problem | None = None
        self._refused: Problem | None = None
        self._lost: Problem | None = None
        self._notices: tuple[Problem, ...] = ()
        self._may_begin = False
        """Whether there were never any roots, as far as the cluster shows."""
        self._unknown = ""
        """Why it is not known whether there were any."""
        self._told = Verdict()
        self.on_verdict: list[Callable[[Verdict], None]] = []
        """Called when there is something else to say of the Secret."""

    @property
    def roots(self) -> tuple[KeptRoot, ...]:
        """See `RootStore`. In memory they outlive a Secret that is gone or can not be read."""
        return self._found or self._roots

    @property
    def problem(self) -> Problem | None:
        """See `RootStore`."""
        return self._unreadable or self._refused or self._lost

    @property
    def leads(self) -> bool:
        """See `RootStore`. Nobody changes what he has not seen, or can not use, or makes first
        roots where there were others.
        """
        known = bool(self._roots) or self._may_begin
        return self._election.leads and self._listed and self.problem is None and known

    @property
    def rotation_wanted(self) -> bool:
        """See `RootStore`."""
        return ROTATE_ANNOTATION in ((self._metadata or {}).get("annotations") or {})

    async def keep(self, roots: tuple[KeptRoot, ...]) -> None:
        """See `RootStore`. What another replica wrote meanwhile is never overwritten."""
        data = {name: base64.b64encode(item).decode() for name, item in pack(roots).items()}
        metadata = dict(self._metadata or {})
        metadata["annotations"] = {
            name: value
            for name, value in (metadata.get("annotations") or {}).items()
            if name != ROTATE_ANNOTATION
        }
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**metadata, "name": NAME, "namespace": self._namespace},
            "type": "Opaque",
            "data": data,
        }
        known = self._metadata is not None
        method, path = ("put", NAME) if known else ("post", "")
        try:
            written = await self._client.request(method, SECRETS.path(path, self._namespace), body)
        except ApiError as error:
            raise StateError(f"the roots are not written: {error}") from error
        self._take(written)

    def judged(self, refused: Problem | None, notices: Sequence[Problem] = ()) -> None:
        """See `RootStore`."""
        if refused is None:
            self._roots = self.roots
            self._refused = None
        else:
            self._refused = self._problem(refused.reason, f"{self._place}: {refused.text}")
        self._notices = tuple(notices)
        self._tell()

    async def run(self) -> None:
        """Follows the Secret until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._mend_for_ever())

    async def _follow(self) -> None:
        async for event in self._client.watch(SECRETS, namespace=self._namespace, name=NAME):
            match event:
                case Listed(there=there):
                    if not there:
                        self._gone()
                    self._listed = True
                case Deleted():
                    self._gone()
                case _:
                    if not self._outdated(event.object):
                        self._take(event.object)

    def _take(self, secret: Raw) -> None:
        found = secret["metadata"]
        self._metadata = {
            name: found[name]
            for name in ("labels", "annotations", "resourceVersion", "uid")
            if name in found
        }
        try:
            data = {
                name: base64.b64decode(value, validate=True)
                for name, value in (secret.get("data") or {}).items()
            }
            self._found = unpack(data, self._place)
            self._filled = bool(self._found)
            self._unreadable = None
        except (StateError, binascii.Error) as error:
            self._found = ()
            self._unreadable = self._problem(RootsReason.UNREADABLE.value, str(error))
        if self._filled:
            self._lost = None
        self._tell()

    def _outdated(self, secret: Raw) -> bool:
        """Whether it is from before what we wrote ourselves: a watch may be that late. Versions of
        one object are numbers that grow (KEP-5504).
        """
        found, known = secret["metadata"], self._metadata
        if known is None or found["uid"] != known["uid"]:
            return False
        return int(found["resourceVersion"]) < int(known["resourceVersion"])

    def _gone(self) -> None:
        if self._metadata is not None:
            log.error("%s was deleted", self._place)
        self._metadata = None
        self._found = ()
        self._filled = False
        self._unreadable = None
        self._tell()

    async def _mend_for_ever(self) -> None:
        while True:
            settled = self._filled or self._unreadable
            if self._election.leads and self._listed and not settled:
                if self._roots:
                    await self._write_again()
                else:
                    await self._look_for_others()
            await asyncio.sleep(RETRY)

    async def _write_again(self) -> None:
        try:
            await self.keep(self._roots)
            log.warning("wrote %s again", self._place)
        except StateError as error:
            log.error("%s", error)

    async def _look_for_others(self) -> None:
        """The bundle in our own namespace lives as long as the Secret beside it should."""
        place = f"ConfigMap {self._namespace}/{TRUST}"
        try:
            await self._client.request("get", CONFIG_MAPS.path(TRUST, self._namespace))
        except ApiError as error:
            self._may_begin = error.missing
            self._lost = None
            why = "" if error.missing else f"whether there were roots is not known: {error}"
            if why and why != self._unknown:
                log.error("%s", why)
            self._unknown = why
        else:
            self._may_begin = False
            self._lost = Problem(
                RootsReason.LOST.value,
                f"{self._place} is gone or empty, no replica remembers its roots, and pods trust "
                f"them ({place}): nothing is signed. Restore the Secret from a backup; or delete "
                "the ConfigMap to have new roots, and then restart every meshed pod",
            )
        self._tell()

    def _problem(self, reason: str, text: str) -> Problem:
        kept = "the roots before stay in force" if self._roots else "nothing is signed"
        return Problem(reason, f"{text}; {kept}")

    def _tell(self) -> None:
        """Whoever wants to know, and the log, once."""
        uid = (self._metadata or {}).get("uid", "")
        before, self._told = self._told, Verdict(self.problem, self._notices, uid)
        if self._told == before:
            return
        if self.problem is not None and self.problem != before.problem:
            log.error("%s", self.problem.text)
        elif self.problem is None and before.problem is not None:
            log.info("the roots of the mesh are in order again")
        for notice in self._notices:
            if notice not in before.notices:
                log.warning("%s: %s", self._place, notice.text)
        for told in self.on_verdict:
            told(self._told)
