"""Do the nodes enforce what their agents are there for? Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from stoq import constants
from stoqctl.finding import Finding
from stoqctl.judge.facts import Facts, Object, condition, few, name

AGENT: Final = "stoq-node"
SYSTEM: Final = constants.SYSTEM_NAMESPACE

ACCOUNTED: Final = "Accounted"
"""The condition of a NodeCapability about pods whose plaintext goes past their sidecars."""

WHY: Final = "kubectl get nodecapabilities -o wide says what each node can do, and why not"


def findings(facts: Facts) -> Iterator[Finding]:
    """Nothing where there are no agents, and need not be."""
    if facts.capture == "node" and facts.agents is None:
        yield Finding(
            "node agents",
            False,
            "there are none, and pods wait for them to capture their traffic (capture.mode=node)",
            f"helm upgrade stoq charts/stoq -n {SYSTEM} --reuse-values --set node.enabled=true",
        )
    if facts.agents is not None:
        status = facts.agents.get("status") or {}
        wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
        yield Finding(
            "node agents",
            ready >= wanted,
            f"{ready} of {wanted} ready",
            f"kubectl -n {SYSTEM} get pods -l app.kubernetes.io/component=node -o wide; {WHY}",
        )
    if facts.capabilities:
        yield _enforced(facts)
        yield from _accounted(facts)


def guards(facts: Facts) -> Finding:
    """What stays in force on the nodes when the mesh is removed."""
    guarded = [
        name(item)
        for item in facts.capabilities
        if (item.get("status") or {}).get("guard", "off") != "off"
    ]
    return Finding(
        "guards of nodes",
        not guarded,
        f"on {few(guarded)}, where they stay without their agents" if guarded else "none",
        f"helm upgrade stoq charts/stoq -n {SYSTEM} --reuse-values --set node.guard.mode=off",
    )


def _enforced(facts: Facts) -> Finding:
    wrong = []
    for item in facts.capabilities:
        found = condition(item, "Enforced")
        if found is None or found.get("status") != "True":
            wrong.append(f"{name(item)}: {(found or {}).get('message') or 'nothing is known yet'}")
    return Finding(
        "enforcement by the kernel",
        not wrong,
        few(wrong) if wrong else _whole(facts.capabilities),
        WHY,
    )


def _accounted(facts: Facts) -> Iterator[Finding]:
    """Nothing where no agent looks for it."""
    looked = [(item, found) for item in facts.capabilities if (found := condition(item, ACCOUNTED))]
    wrong = [
        f"{name(item)}: {found.get('message', '')}"
        for item, found in looked
        if found.get("status") == "False"
    ]
    if looked:
        yield Finding(
            "plaintext past sidecars",
            not wrong,
            few(wrong) if wrong else f"none known on {len(looked)} nodes",
            "make the pod anew, and see what its program did: docs/operations.md, Plaintext past a "
            "sidecar",
        )


def _whole(capabilities: Sequence[Object]) -> str:
    guarded = sum((item.get("status") or {}).get("guard", "off") != "off" for item in capabilities)
    native = sum(bool((item.get("status") or {}).get("nativeXdp")) for item in capabilities)
    return (
        f"strict mode on {len(capabilities)} nodes, guard on {guarded}, "
        f"in the driver possible on {native}"
    )
