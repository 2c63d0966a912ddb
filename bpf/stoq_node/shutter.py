"""Shuts the links of strict pods on which strict mode could not be put: nothing passes them.

First choice are rules of nftables at the host's end of the link, which the pod cannot reach. They
outlive the agent, and leave link and routes as they are. Where there are none to be had the link is
taken down, and marked, so that a successor knows that it may take it up again; routes that led over
it are gone then until the network plugin makes them anew.
"""

import json
import logging
import subprocess
from collections.abc import Iterable
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
        self._shut: dict[int, How] | None = None

    @property
    def links(self) -> dict[int, How]:
        """How those that are shut are, by index; empty while nobody has asked the kernel."""
        return dict(self._shut or {})

    def find(self) -> frozenset[int]:
        """The indexes of the links that are shut. The kernel is asked the first time."""
        if self._shut is None:
            self._shut = {**_down(), **_ruled()}
        return frozenset(self._shut)

    def shut(self, index: int, name: str) -> How:
        """Lets nothing pass link `index`, which is called `name`, any more, also if it was shut
        before: somebody may have flushed the rules. Raises `Ajar`.
        """
        shut = self._known()
        try:
            if '"' in name:
                raise Ajar("nft takes no name with a quotation mark")
            _put(closing(index, name))
            shut[index] = "rules"
        except Ajar as error:
            log.error("%s cannot be shut by rules, so it is taken down: %s", name, error)
            _set(index, up=False)
            shut[index] = "down"
        return shut[index]

    def open(self, index: int) -> None:
        """Lets everything pass again, if the link was shut here. Raises `Ajar`."""
        shut = self._known()
        if index not in shut:
            return
        if shut[index] == "rules":
            self._unrule(index)
        else:
            _set(index, up=True)
        del shut[index]

    def keep(self, indexes: Iterable[int]) -> None:
        """Removes what is left of links that are not among `indexes`, the links that there are:
        another link of the same name would be shut as well.
        """
        shut = self._known()
        for index in shut.keys() - set(indexes):
            try:
                if shut[index] == "rules":
                    self._unrule(index)
                del shut[index]
            except Ajar as error:
                log.warning("rules for link %d, which is gone, stay: %s", index, error)

    def _unrule(self, index: int) -> None:
        others = [other for other, how in self.links.items() if how == "rules" and other != index]
        _put(opening(index) if others else nothing())

    def _known(self) -> dict[int, How]:
        self.find()
        assert self._shut is not None
        return self._shut


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


def _ruled() -> dict[int, How]:
    try:
        said = json.loads(_nft("-j", "list", "chains", "netdev"))["nftables"]
    except Ajar as error:
        log.warning("nobody knows whether links of pods are shut by rules: %s", error)
        return {}
    chains = [item["chain"] for item in said if "chain" in item]
    numbers = [one["name"].rpartition("_")[2] for one in chains if one["table"] == TABLE]
    return {int(number): "rules" for number in numbers if number.isdecimal()}


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


def _down() -> dict[int, How]:
    try:
        with asking() as kernel:
            messages = list(everything(kernel, netlink.links_wanted()))
    except OSError as error:
        log.warning("nobody knows whether links of pods are down: %s", error)
        return {}
    links = [link for message in messages if (link := netlink.link(*message))]
    return {link.index: "down" for link in links if link.alias == MARK}


def _set(index: int, *, up: bool) -> None:
    try:
        with asking() as kernel:
            for _ in one(kernel, netlink.link_set(index, up=up, alias="" if up else MARK)):
                pass
    except OSError as error:
        way = "up" if up else "down"
        raise Ajar(f"link {index} cannot be taken {way}: {error}") from error
