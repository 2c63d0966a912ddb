"""Shuts the links of strict pods on which strict mode could not be put: nothing passes them.

First choice are rules of nftables at the host's end of the link, which the pod cannot reach. They
outlive the agent, and leave link and routes as they are. Where there are none to be had the link is
taken down, and marked, so that a successor knows that it may take it up again; routes that led over
it are gone then until the network plugin makes them anew.
"""

import json
import logging
import subprocess
from collections.abc import Callable, Iterable
from typing import Final, Literal

from stoq_node import netlink
from stoq_node.routes import asking, everything, one

log: Final = logging.getLogger("stoq.node")

TABLE: Final = "stoq_shut"
"""Of the family netdev, in the node's network namespace."""

MARK: Final = "stoq: shut, strict mode could not be put on it"
"""Alias of a link that was taken down (ip-link(8))."""

PRIORITY: Final = -2000
"""Before flow tables, which forward packets past later rules."""

TIMEOUT: Final = 10.0
"""Seconds that one run of nft may take, as in `stoq.capture.nft`."""

How = Literal["rules", "down"]
"""Which of the two holds a link shut."""

HOW: Final[tuple[How, ...]] = ("rules", "down")
"""All of them."""

_HOOKS: Final = {"to_pod": "egress", "from_pod": "ingress"}
"""Of the host's end, by direction."""


class Ajar(OSError):
    """A link could not be shut, or not be opened again; the text says why."""


class Shutter:
    """The links that are shut, in this network namespace. Keeps nothing that the kernel does not
    know: a successor finds what this one has shut.
    """

    def __init__(self) -> None:
        self._shut: dict[int, set[How]] = {}
        self._unknown: dict[How, Callable[[], frozenset[int]]] = {"rules": _ruled, "down": _down}
        """What the kernel has not told yet, and who asks it."""
        self._asked = False
        self._problems: dict[How, str] = {}

    @property
    def links(self) -> dict[int, How]:
        """How those that are shut are, by index; empty while nobody has asked the kernel."""
        return {index: "down" if "down" in ways else "rules" for index, ways in self._shut.items()}

    def find(self) -> frozenset[int]:
        """The indexes of the links that are shut. The kernel is asked the first time, and by `keep`
        again for what it did not tell.
        """
        if not self._asked:
            self._ask()
        return frozenset(self._shut)

    def shut(self, index: int, name: str) -> How:
        """Lets nothing pass link `index`, which is called `name`, any more, also if it was shut
        before: somebody may have flushed the rules. Raises `Ajar`.
        """
        self.find()
        how: How = "rules"
        try:
            if '"' in name:
                raise Ajar("nft takes no name with a quotation mark")
            _put(closing(index, name))
        except Ajar as error:
            log.error("%s cannot be shut by rules, so it is taken down: %s", name, error)
            # One that took too long may have done it all the same.
            self._unknown["rules"] = _ruled
            _set(index, up=False)
            how = "down"
        # Both, if one did after the other: it takes both to open it.
        self._shut.setdefault(index, set()).add(how)
        return how

    def open(self, index: int) -> None:
        """Lets everything pass again, if the link was shut here. Raises `Ajar`."""
        self.find()
        ways = self._shut.get(index, set())
        if "rules" in ways:
            self._unrule(index)
            ways.discard("rules")
        if "down" in ways:
            _set(index, up=True)
        self._shut.pop(index, None)

    def keep(self, indexes: Iterable[int]) -> None:
        """Removes what is left of links that are not among `indexes`, the links that there are:
        another link of the same name would be shut as well.
        """
        if self._unknown:
            self._ask()
        for index in self._shut.keys() - set(indexes):
            try:
                if "rules" in self._shut[index]:
                    self._unrule(index)
                del self._shut[index]
            except Ajar as error:
                log.warning("rules for link %d, which is gone, stay: %s", index, error)

    def _unrule(self, index: int) -> None:
        others = any("rules" in ways for other, ways in self._shut.items() if other != index)
        _put(opening(index) if others else nothing())

    def _ask(self) -> None:
        self._asked = True
        for how, ask in list(self._unknown.items()):
            try:
                found = ask()
            except Ajar as error:
                if self._problems.get(how) != str(error):
                    log.warning("nobody knows which links of pods are shut (%s): %s", how, error)
                self._problems[how] = str(error)
                continue
            del self._unknown[how]
            for index in found:
                self._shut.setdefault(index, set()).add(how)


def closing(index: int, name: str) -> str:
    """What nft is given to shut a link, whatever it has of it already. Pure."""
    lines = [f"table netdev {TABLE} {{"]
    for direction, hook in _HOOKS.items():
        where = f'type filter hook {hook} device "{name}" priority {PRIORITY}; policy drop;'
        lines.append(f"chain {direction}_{index} {{ {where} }}")
    lines.append("}")
    for direction in _HOOKS:
        chain = f"netdev {TABLE} {direction}_{index}"
        lines += [f"flush chain {chain}", f"add rule {chain} counter drop"]
    return "\n".join([*lines, ""])


def opening(index: int) -> str:
    """The same to open it. Pure."""
    chains = [f"chain netdev {TABLE} {direction}_{index}" for direction in _HOOKS]
    # To add what is there already changes nothing, and one that somebody removed is no mistake.
    lines = [f"add table netdev {TABLE}", *(f"add {chain}" for chain in chains)]
    lines += [f"{verb} {chain}" for verb in ("flush", "delete") for chain in chains]
    return "\n".join([*lines, ""])


def nothing() -> str:
    """The same to open all links. Pure."""
    return f"add table netdev {TABLE}\ndelete table netdev {TABLE}\n"


def _ruled() -> frozenset[int]:
    said = json.loads(_nft("-j", "list", "chains", "netdev"))["nftables"]
    chains = [item["chain"] for item in said if "chain" in item]
    numbers = [one["name"].rpartition("_")[2] for one in chains if one["table"] == TABLE]
    return frozenset(int(number) for number in numbers if number.isdecimal())


def _put(script: str) -> None:
    """All of it, or with an `Ajar` nothing."""
    _nft("-f", "-", script=script)


def _nft(*arguments: str, script: str | None = None) -> str:
    try:
        done = subprocess.run(
            ["nft", *arguments],
            input=script,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except FileNotFoundError as error:
        raise Ajar("nft is not in PATH: install the package nftables") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Ajar(f"nft: {error}") from error
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0] or f"exit status {done.returncode}"
        raise Ajar(
            f"nft: {said}; rules at links take CONFIG_NF_TABLES_NETDEV and, for what leaves by "
            "them, CONFIG_NETFILTER_EGRESS (Linux 5.16)"
        )
    return done.stdout


def _down() -> frozenset[int]:
    try:
        with asking() as kernel:
            messages = list(everything(kernel, netlink.links_wanted()))
    except OSError as error:
        raise Ajar(f"links cannot be read: {error}") from error
    links = [link for message in messages if (link := netlink.link(*message))]
    return frozenset(link.index for link in links if link.alias == MARK)


def _set(index: int, *, up: bool) -> None:
    try:
        with asking() as kernel:
            for _ in one(kernel, netlink.link_set(index, up=up, alias="" if up else MARK)):
                pass
    except OSError as error:
        way = "up" if up else "down"
        raise Ajar(f"link {index} cannot be taken {way}: {error}") from error
