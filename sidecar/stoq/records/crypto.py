"""Which crypto profile workloads prove themselves with, and which they take from others."""

from typing import Final, Literal

import msgspec

from stoq.settings.kinds import Kind

Profile = Literal["hybrid-1024", "hybrid-512"]
"""X25519MLKEM768, and signatures of Ed25519 with FALCON of this degree."""

PROFILES: Final[tuple[Profile, ...]] = ("hybrid-1024", "hybrid-512")

CryptoMode = Literal["prefer", "require"]


def profile() -> Kind[Profile]:
    """A setting of one."""

    def parse(value: str) -> Profile:
        for known in PROFILES:
            if known == value:
                return known
        raise ValueError

    return Kind("one of " + ", ".join(PROFILES), parse)


class Crypto(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One profile, and what becomes of peers with another. None is below hybrid post-quantum."""

    profile: Profile
    """The workloads' own keys are of it, and their peers are asked for it first."""
    mode: CryptoMode = "prefer"
    """`prefer` takes peers of the other profile too and counts them; `require` refuses them."""
