"""What policies say of the crypto profiles of one connection's ends. Pure; the engine's rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stoq.records.crypto import Crypto
from stoq.records.mesh import MeshConfigSpec
from stoq.records.policy import TransportPolicy, effective


@dataclass(frozen=True, slots=True)
class Profiles:
    """`caller` is None where only its SPIFFE id is known, and so no labels."""

    caller: Crypto | None
    target: Crypto

    @property
    def refused(self) -> str:
        """Why the connection is refused; empty: it is not."""
        if self.caller is None or self.caller.profile == self.target.profile:
            return ""
        for asking, crypto, other, has in (
            ("target", self.target, "caller", self.caller),
            ("caller", self.caller, "target", self.target),
        ):
            if crypto.mode == "require":
                return (
                    f"the {asking} requires crypto profile {crypto.profile}, and the {other} "
                    f"proves itself with {has.profile}"
                )
        return ""

    @property
    def said(self) -> str:
        """One sentence of it."""
        target = f"the target has {self.target.profile} ({self.target.mode})"
        if self.caller is None:
            return f"{target}; name the caller as a pod to see its own"
        return f"the caller has {self.caller.profile} ({self.caller.mode}), {target}"


def crypto_of(
    mesh: MeshConfigSpec,
    policies: Sequence[TransportPolicy],
    namespace: str,
    labels: Mapping[str, str],
) -> Crypto:
    """What holds for a pod with `labels` in `namespace`."""
    return effective(mesh, policies, namespace, labels).crypto
