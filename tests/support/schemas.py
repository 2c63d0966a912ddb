"""Whether one release reads what another writes, by the JSON schemas of both."""

from collections.abc import Mapping
from math import inf
from typing import Any, Final

LEAST: Final = ("minimum", "exclusiveMinimum", "minItems", "minLength")
MOST: Final = ("maximum", "exclusiveMaximum", "maxItems", "maxLength")

Schema = dict[str, Any]


def problems(
    name: str, writer: Schema, reader: Schema, excused: Mapping[str, set[str]]
) -> list[str]:
    """Why what `writer` describes is not read by `reader`, by the path of the field. `excused` are
    words of enumerations, by path, that may be unknown.
    """
    comparing = _Comparison(writer, reader, excused)
    comparing.compare(name, writer, reader)
    return sorted(comparing.problems)


class _Comparison:
    def __init__(self, writer: Schema, reader: Schema, excused: Mapping[str, set[str]]) -> None:
        self._writer, self._reader, self._excused = writer, reader, excused
        self.problems: list[str] = []

    def compare(self, where: str, written: Schema, read: Schema) -> None:
        written, read = _found(written, self._writer), _found(read, self._reader)
        kinds = written.get("type"), read.get("type")
        if "anyOf" in written or "anyOf" in read:
            self._alternatives(where, written, read)
        elif "enum" in read:
            words = set(written.get("enum", ["anything"])) - set(read["enum"])
            if unknown := words - self._excused.get(where, set()):
                self._say(f"{where}: {', '.join(sorted(unknown))} is not known")
        elif "enum" not in written and kinds[0] != kinds[1] and kinds != ("integer", "number"):
            self._say(f"{where}: {kinds[0]} is not {kinds[1]}")
        else:
            self._bounds(where, written, read)
            self._parts(where, written, read)

    def _say(self, problem: str) -> None:
        self.problems.append(problem)

    def _alternatives(self, where: str, written: Schema, read: Schema) -> None:
        for one in written.get("anyOf", [written]):
            trials: list[list[str]] = []
            for other in read.get("anyOf", [read]):
                trial = _Comparison(self._writer, self._reader, self._excused)
                trial.compare(where, one, other)
                trials.append(trial.problems)
            self.problems += sorted(trials, key=len)[0]

    def _bounds(self, where: str, written: Schema, read: Schema) -> None:
        for bound in LEAST:
            if written.get(bound, -inf) < read.get(bound, -inf):
                self._say(f"{where}: less than {read[bound]} is not read")
        for bound in MOST:
            if written.get(bound, inf) > read.get(bound, inf):
                self._say(f"{where}: more than {read[bound]} is not read")

    def _parts(self, where: str, written: Schema, read: Schema) -> None:
        ours, theirs = written.get("properties", {}), read.get("properties", {})
        if read.get("additionalProperties") is False:
            for name in ours.keys() - theirs.keys():
                self._say(f"{where}.{name} is not taken")
        for name in set(read.get("required", ())) - set(written.get("required", ())):
            self._say(f"{where}.{name} is missed")
        for name in ours.keys() & theirs.keys():
            self.compare(f"{where}.{name}", ours[name], theirs[name])
        pairs = zip(written.get("prefixItems", ()), read.get("prefixItems", ()), strict=False)
        for number, (one, other) in enumerate(pairs):
            self.compare(f"{where}[{number}]", one, other)
        if isinstance(written.get("items"), dict) and isinstance(read.get("items"), dict):
            self.compare(f"{where}[]", written["items"], read["items"])


def _found(schema: Schema, document: Schema) -> Schema:
    while "$ref" in schema:
        schema = document["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema
