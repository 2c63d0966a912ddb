"""The pod's /etc/resolv.conf: its name servers and search list (resolv.conf(5))."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from stoq.capture.plan import Address
from stoq_sidecar.dns.wire import Labels


@dataclass(frozen=True, slots=True)
class Resolv:
    """`nameservers` in order of preference; `search` are the domains that the programs' resolver
    appends, as labels.
    """

    nameservers: tuple[Address, ...] = ()
    search: tuple[Labels, ...] = ()


def parse(text: str) -> Resolv:
    """What a resolv.conf says. Pure; lines that make no sense are passed over, as libc does."""
    nameservers: list[Address] = []
    search: tuple[Labels, ...] = ()
    for line in text.splitlines():
        words = line.split()
        match words:
            case ["nameserver", address, *_]:
                try:
                    nameservers.append(ip_address(address))
                except ValueError:
                    continue
            case ["search" | "domain", *domains]:  # the last of these lines holds
                search = tuple(tuple(one.lower().strip(".").split(".")) for one in domains)
    return Resolv(tuple(dict.fromkeys(nameservers)), search)


def read(path: str, nameservers: Sequence[Address] = ()) -> Resolv:
    """What the file says, with its name servers replaced where `nameservers` names some. A file
    that is not there says nothing. Raises ValueError for one that cannot be read.
    """
    try:
        found = parse(Path(path).read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        found = Resolv()
    except OSError as error:
        raise ValueError(f"STOQ_DNS_RESOLV_CONF is {path!r}: cannot be read: {error}") from error
    return Resolv(tuple(nameservers), found.search) if nameservers else found
