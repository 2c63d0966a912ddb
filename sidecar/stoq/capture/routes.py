"""Routes what nftables has marked to the sidecar.

Where `Plan.client_address` is on, the sidecar dials the application from the client's address, so
the answers are addressed to the client (`rules.CLIENT_MARK`); where `Plan.udp` is on, datagrams are
addressed to whoever the application speaks to (`udp.CAPTURED_MARKS`). The marked ones get a routing
table that says that every address is local, so that they end at the sidecar's socket instead of the
link.

All functions work on the network namespace of the calling thread, as those of `nft` do.
"""

import errno
import socket
from pathlib import Path
from typing import Final

from stoq.capture import rtnetlink
from stoq.capture.nft import CaptureError
from stoq.capture.plan import Plan
from stoq.capture.rtnetlink import Entry
from stoq.capture.rules import CLIENT_MARK
from stoq.capture.udp import CAPTURED_MARKS, UDP_INJECT_MARK

TABLE: Final = 14008
"""Number of our routing table, and priority of the rule that leads there: after the kernel's own
table of local addresses (0), before the main one (32766)."""

# <linux/fib_rules.h>, <linux/rtnetlink.h>
_TO_TABLE, _RULE_PRIORITY, _RULE_MARK, _RULE_TABLE, _RULE_MASK = 1, 6, 10, 15, 16
_LOCAL, _SCOPE_HOST, _STATIC, _ROUTE_LINK, _ROUTE_TABLE = 2, 254, 4, 4, 15
_WHOLE: Final = 0xFFFFFFFF

_NAMES: Final[dict[int, str]] = {socket.AF_INET6: "IPv6", socket.AF_INET: "IPv4"}
_ABSENT: Final = (errno.EOPNOTSUPP, errno.EAFNOSUPPORT)
_NEW: Final = (rtnetlink.NEW_RULE, rtnetlink.NEW_ROUTE)
_WORDS: Final = {
    rtnetlink.NEW_RULE: "the rule",
    rtnetlink.NEW_ROUTE: "the route",
    rtnetlink.DELETE_RULE: "to remove the rule",
    rtnetlink.DELETE_ROUTE: "to remove the route",
}


_MARKS: Final = (CLIENT_MARK, *CAPTURED_MARKS, UDP_INJECT_MARK)


def marks(plan: Plan) -> tuple[int, ...]:
    """The packet marks that `plan` wants routed to the sidecar."""
    client = (CLIENT_MARK,) if plan.client_address else ()
    return (*client, *((*CAPTURED_MARKS, UDP_INJECT_MARK) if plan.udp else ()))


def add(wanted: tuple[int, ...] = (CLIENT_MARK,)) -> bool:
    """Puts the rules of the marks `wanted` and the route in force for both families; returns False
    when they were already. Raises CaptureError.
    """
    changed = False
    for family in _families() if wanted else ():
        ruled, route = _found(family)
        if not route:
            _change(rtnetlink.NEW_ROUTE, _route(family))
        missing = [mark for mark in wanted if mark not in ruled]
        for mark in missing:
            _change(rtnetlink.NEW_RULE, _rule(family, mark))
        changed = changed or bool(missing) or not route
    return changed


def prune(wanted: tuple[int, ...] = ()) -> bool:
    """Removes the rules of marks that are not `wanted`, and the route when none is; returns False
    when there was nothing of it. Raises CaptureError.
    """
    changed = False
    for family in _families():
        ruled, route = _found(family)
        unwanted = sorted(ruled - set(wanted))
        for mark in unwanted:
            _change(rtnetlink.DELETE_RULE, _rule(family, mark))
        if route and not wanted:
            _change(rtnetlink.DELETE_ROUTE, _route(family))
        changed = changed or bool(unwanted) or (route and not wanted)
    return changed


def verify(wanted: tuple[int, ...] = (CLIENT_MARK,)) -> list[str]:
    """What is missing, one sentence each; takes no capability. Raises CaptureError when the kernel
    does not tell.
    """
    problems: list[str] = []
    for family in _families():
        ruled, route = _found(family)
        name = _NAMES[family]
        problems += [
            f"no {name} rule leads mark {mark:#x} to table {TABLE}"
            for mark in wanted
            if mark not in ruled
        ]
        if not route:
            problems.append(f"{name} table {TABLE} has no local route for everything")
    return problems


def _families() -> list[int]:
    """IPv6 only where loopback has an address: with the sysctl `disable_ipv6`, which runtimes set
    on networks without it, the kernel refuses the route.
    """
    # Not /proc/net: that is the namespace of the process's first thread.
    file = Path("/proc/thread-self/net/if_inet6")
    try:
        ipv6 = bool(file.read_text(encoding="ascii").strip())
    except OSError:
        ipv6 = False
    return [socket.AF_INET6, socket.AF_INET] if ipv6 else [socket.AF_INET]


def _rule(family: int, mark: int) -> Entry:
    attributes = {
        _RULE_PRIORITY: TABLE,
        _RULE_MARK: mark,
        _RULE_MASK: _WHOLE,
        _RULE_TABLE: TABLE,
    }
    return Entry(family=family, kind=_TO_TABLE, attributes=attributes)


def _route(family: int) -> Entry:
    attributes = {_ROUTE_LINK: socket.if_nametoindex("lo"), _ROUTE_TABLE: TABLE}
    return Entry(
        family=family, kind=_LOCAL, protocol=_STATIC, scope=_SCOPE_HOST, attributes=attributes
    )


def _found(family: int) -> tuple[set[int], bool]:
    """The marks that have our rule, and whether our route is there."""
    rules, routes = (_listed(kind, family) for kind in (rtnetlink.GET_RULE, rtnetlink.GET_ROUTE))
    ruled = {mark for mark in _MARKS if any(_same(item, _rule(family, mark)) for item in rules)}
    return ruled, any(_same(item, _route(family)) for item in routes)


def _same(found: Entry, ours: Entry) -> bool:
    return (found.kind, found.prefix) == (ours.kind, 0) and (
        ours.attributes.items() <= found.attributes.items()
    )


def _listed(message: int, family: int) -> list[Entry]:
    try:
        return rtnetlink.listed(message, family)
    except OSError as error:
        if error.errno in _ABSENT:  # a kernel without rules has none
            return []
        raise CaptureError(f"the kernel does not tell its {_NAMES[family]} routes: {error}") from (
            error
        )


def _change(message: int, entry: Entry) -> None:
    flags = rtnetlink.CREATE | rtnetlink.EXCLUSIVE if message in _NEW else 0
    try:
        rtnetlink.change(message, entry, flags)
    except OSError as error:
        fix = ""
        if error.errno == errno.EPERM:
            fix = "; routing takes CAP_NET_ADMIN in this network namespace"
        elif error.errno in _ABSENT:
            fix = "; it needs CONFIG_IP_MULTIPLE_TABLES and CONFIG_IPV6_MULTIPLE_TABLES"
        raise CaptureError(
            f"the kernel refuses {_WORDS[message]} of {_NAMES[entry.family]} table {TABLE}: "
            f"{error.strerror or error}{fix}"
        ) from error
