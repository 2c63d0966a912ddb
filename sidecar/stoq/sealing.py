"""What the registry says, signed with the control plane's FALCON key (docs/wire-format.md, 16).

A sidecar has the registry's word by an authenticated connection anyway. The signature holds beyond
it: whatever stands between, a replica that lags or something that keeps messages, may withhold and
repeat them for an hour, and can make none. Pure: who signs and verifies is an argument.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from stoq.registry import WatchMessage

VALID: Final = 3600
"""Seconds for which a message can be taken after it was signed."""

KEPT: Final = 64
"""Signatures that are remembered: a change is the same message for nearly all who watch."""

Sign = Callable[[bytes, int], tuple[bytes, bytes] | None]
"""Certificate and signature over a digest until a Unix time; None without an identity."""

Verify = Callable[[bytes, bytes, bytes], str]
"""The SPIFFE id of who signed, by certificate, signature and digest. Raises ValueError."""


class Unsealed(Exception):
    """A message that the control plane has not signed, or not for us."""


class Sealer:
    """Signs messages, each content once."""

    def __init__(self, sign: Sign, clock: Callable[[], float]) -> None:
        self._sign = sign
        self._clock = clock
        self._made: OrderedDict[bytes, tuple[int, bytes, bytes]] = OrderedDict()
        self._certificate = b""
        """The last, as one object: thousands of streams remember that they have shown it."""
        self.signed = 0
        """Signatures that were made."""

    def seal(self, message: WatchMessage, shown: bytes) -> WatchMessage:
        """The message inside one that is signed; as it is while there is no identity. `shown`: the
        certificate that its receiver had last on this stream.
        """
        sealed = msgspec.msgpack.encode(message)
        digest = hashlib.sha256(sealed).digest()
        made = self._signature(digest)
        if made is None:
            return message
        certificate, signature = made
        return WatchMessage(
            type=message.type,
            epoch=message.epoch,
            version=message.version,
            sealed=sealed,
            certificate=b"" if certificate == shown else certificate,
            signature=signature,
        )

    def forget(self) -> None:
        """From now on everything is signed anew: with another certificate, and the last may end
        before what it signed.
        """
        self._made.clear()

    def _signature(self, digest: bytes) -> tuple[bytes, bytes] | None:
        now = int(self._clock())
        known = self._made.get(digest)
        # It reaches nobody in the last moment of its life.
        if known is not None and now < known[0] - VALID // 2:
            return known[1:]
        until = now + VALID
        made = self._sign(digest, until)
        if made is None:
            return None
        self.signed += 1
        certificate, signature = made
        if certificate != self._certificate:
            self._certificate = certificate
        self._made[digest] = until, self._certificate, signature
        self._made.move_to_end(digest)
        if len(self._made) > KEPT:
            self._made.popitem(last=False)
        return self._certificate, signature


class Opener:
    """Takes messages out of what `signer` has signed for the workload `node`."""

    def __init__(self, verify: Verify, signer: str, *, required: bool) -> None:
        """`required`: messages that are not signed are refused. A release before signs none."""
        self._verify = verify
        self._signer = signer
        self._required = required
        self._certificate = b""
        """The last that came."""

    def open(self, message: WatchMessage, node: str) -> WatchMessage:
        """The message that was signed. Raises `Unsealed`."""
        if not message.sealed:
            if self._required:
                raise Unsealed(
                    f"version {message.version} of the registry is not signed by {self._signer}; "
                    "a control plane of an older release signs nothing (STOQ_DISCOVERY_SIGNED)"
                )
            return message
        digest = hashlib.sha256(message.sealed).digest()
        self._certificate = message.certificate or self._certificate
        try:
            signer = self._verify(self._certificate, message.signature, digest)
        except ValueError as error:
            raise Unsealed(f"version {message.version} of the registry: {error}") from None
        if signer != self._signer:
            raise Unsealed(
                f"version {message.version} of the registry is signed by {signer}, "
                f"not by {self._signer}"
            )
        # Nothing is read that others have made.
        try:
            opened = msgspec.msgpack.decode(message.sealed, type=WatchMessage)
        except (ValueError, RecursionError) as error:
            raise Unsealed(f"version {message.version} of the registry: {error}") from None
        own = opened.mesh and opened.mesh.own
        if own and f"{own.namespace}/{own.name}" != node:
            raise Unsealed(
                f"version {message.version} of the registry is for {own.namespace}/{own.name}, "
                f"not for {node}"
            )
        return opened
