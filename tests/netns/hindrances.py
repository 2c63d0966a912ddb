"""What keeps the kernel from taking a program on a pod's link."""

import json
from pathlib import Path
from typing import Any

from lab import netns
from lab.node import Node
from lab.plan import Plan, Pod


def link(layout: Plan, name: str) -> dict[str, Any]:
    """A link of the node, as ip(8) describes it."""
    (found,) = json.loads(netns.run_in(layout.fabric, ["ip", "-j", "link", "show", "dev", name]))
    return dict(found)


def hindered(layout: Plan, node: Node, pod: Pod) -> Path:
    """Has the kernel refuse the program of one direction: something else has the name under which
    its link is to be pinned. It takes it when that is removed.
    """
    links = node.bpffs / "stoq" / "links"
    links.mkdir(parents=True, mode=0o700)
    there = links / f"strict_from_pod@{link(layout, pod.port)['ifindex']}"
    there.mkdir()
    return there
