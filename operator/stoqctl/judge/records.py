"""Does the operator accept what users wrote? Pure."""

from collections.abc import Iterable

from stoq.records.mesh import RootsReason
from stoqctl.finding import Finding
from stoqctl.judge.facts import Object, few, name


def findings(records: Iterable[Object]) -> Finding:
    """Objects of ours with a condition that is False; that about the roots is a finding of its
    own.
    """
    wrong = {}
    total = 0
    for item in records:
        total += 1
        for found in (item.get("status") or {}).get("conditions") or ():
            if found.get("status") == "False" and found.get("reason") not in set(RootsReason):
                wrong[f"{item['kind']} {name(item)}"] = found.get("message") or found.get("reason")
    return Finding(
        "records and policies",
        not wrong,
        few([f"{what}: {why}" for what, why in wrong.items()])
        or f"{total}, none refused by the operator",
        "mend what the message names and apply it again",
    )
