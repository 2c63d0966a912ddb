"""When a sidecar decided on a tier, of what it tells again and again. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from benchlib.adapt.series import Decision


class Decisions:
    """Those of one connection. A sidecar tells how old each of its last decisions is, at a moment
    between the question and the answer; every answer narrows down when it was.
    """

    def __init__(self) -> None:
        self.found: list[Decision] = []

    def note(self, asked: float, answered: float, told: Iterable[Mapping[str, Any]]) -> None:
        """Takes in an answer: `told` is the connection's `changes`, the newest first. Decisions
        that leave the tier as it is, or are of a dry run, count nothing.
        """
        for change in reversed(list(told)):
            if change["applied"] and change["from"] != change["to"]:
                age = change["age_seconds"]
                self._add(Decision(asked - age, answered - age, change["from"], change["to"]))

    def _add(self, new: Decision) -> None:
        for number, old in enumerate(self.found):
            same = (old.before, old.after) == (new.before, new.after)
            if same and old.least <= new.most and new.least <= old.most:
                least, most = max(old.least, new.least), min(old.most, new.most)
                self.found[number] = replace(old, least=least, most=most)
                return
        self.found.append(new)
