"""Whose name is it: a service record's, or somebody else's. Pure.

`<name>.<namespace>.stoq` is ours and nobody else's. Programs ask for other forms too:

- with a domain of the search list behind it. `ndots:5`, which Kubernetes sets, makes libc try
  `db.shop.stoq.shop.svc.cluster.local` first; answering that at once with an alias saves the three
  failures that would come before the name itself.
- `db` and `db.shop`, when the search list brought nothing. These may be names of the DNS as well
  (a namespace may be called `dev`), so they are ours only after the name servers said that there is
  no such name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stoq.registry import ServiceEntry, ServicePort, service_key
from stoq_sidecar.dns.wire import Labels

ZONE: Final = "stoq"
"""Top of the names of service records."""


@dataclass(frozen=True, slots=True)
class Found:
    """A name that exists. Without an entry it is only part of longer ones; `ports` are what SRV
    stands for, and `service` says that the name is a service's in the sense of RFC 2782, which has
    no addresses.
    """

    entry: ServiceEntry | None = None
    ports: tuple[ServicePort, ...] = ()
    service: bool = False


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name asked for may mean. `ours`: labels below `stoq` of a name in our zone;
    `alias`: the same, behind a search domain; `after`: the same, if the name servers do not know
    the name.
    """

    ours: Labels | None = None
    alias: Labels | None = None
    after: Labels | None = None


def meaning(labels: Labels, search: tuple[Labels, ...], namespace: str) -> Meaning:
    """What `labels` may mean to a program of a pod in `namespace` with that search list."""
    if labels and labels[-1] == ZONE:
        return Meaning(ours=labels[:-1])
    for domain in search:
        head = labels[: -len(domain)]
        if labels[-len(domain) :] == domain and len(head) > 1 and head[-1] == ZONE:
            return Meaning(alias=head[:-1])
    if len(labels) == 1:
        return Meaning(after=(*labels, namespace))
    return Meaning(after=labels) if len(labels) == 2 else Meaning()


def look_up(services: Mapping[str, ServiceEntry], labels: Labels) -> Found | None:
    """What is at `labels` (below `stoq`); None when there is no such name.

    By key, so that nothing has to be made when one of 10,000 records changes.
    """
    match labels:
        case ():
            return Found()
        case (namespace,):
            return Found() if _has_records(services, namespace) else None
        case (*service, name, namespace):
            entry = services.get(service_key("record", namespace, name))
            return _part(entry, tuple(service)) if entry else None
    raise AssertionError("every tuple is matched")


def _part(entry: ServiceEntry, service: Labels) -> Found | None:
    named = tuple(port for port in entry.ports if port.name)
    match service:
        case ():
            return Found(entry, entry.ports)
        case (protocol,):
            there = any(f"_{port.protocol.lower()}" == protocol for port in named)
            return Found() if there else None
        case (name, protocol):
            ports = tuple(
                port
                for port in named
                if (f"_{port.name}", f"_{port.protocol.lower()}") == (name, protocol)
            )
            return Found(entry, ports, service=True) if ports else None
    return None


def _has_records(services: Mapping[str, ServiceEntry], namespace: str) -> bool:
    return any(
        entry.namespace == namespace and entry.kind == "record" for entry in services.values()
    )
