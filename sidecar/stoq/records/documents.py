"""YAML text to records, with the line of whatever is wrong. Pure."""

from dataclasses import dataclass

import yaml

from stoq.records.errors import RecordError
from stoq.records.manifest import AnyRecord, decode, steps
from stoq.records.meta import Key


class DocumentError(ValueError):
    """A text that gives no records: `line` (from 1) and the reason."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Located:
    """A record and the line on which it begins."""

    record: AnyRecord
    line: int


def parse(text: str) -> tuple[Located, ...]:
    """Every record of a file, in order; empty documents are skipped.

    All or nothing: one mistake refuses the whole file, so that a file never takes effect by half.
    Raises `DocumentError`.
    """
    found: list[Located] = []
    seen: dict[Key, int] = {}
    for node, value in _documents(text):
        line = node.start_mark.line + 1
        try:
            record = decode(value)
        except RecordError as error:
            raise DocumentError(_line_of(node, error.field), str(error)) from None
        if record.key in seen:
            raise DocumentError(line, f"{record.key} is already on line {seen[record.key]}")
        seen[record.key] = line
        found.append(Located(record, line))
    return tuple(found)


def _documents(text: str) -> list[tuple[yaml.Node, object]]:
    documents: list[tuple[yaml.Node, object]] = []
    try:
        loader = yaml.SafeLoader(text)
        try:
            while loader.check_node():
                node: yaml.Node = loader.get_node()  # type: ignore[assignment]  # there is one
                _refuse_duplicates(node)
                value = loader.construct_document(node)
                if value is not None:
                    documents.append((node, value))
        finally:
            loader.dispose()
    except DocumentError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(mark.line + 1 if mark else 1, error.problem or str(error)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DocumentError(1, f"not YAML: {error}") from None
    return documents


def _refuse_duplicates(node: yaml.Node) -> None:
    """YAML forbids a key twice in one mapping; the loader would silently take the last."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in seen:
                    raise DocumentError(line, f"{key.value} is already on line {seen[key.value]}")
                seen[key.value] = line
            _refuse_duplicates(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item)


def _line_of(node: yaml.Node, path: str) -> int:
    """The line of the field at `path`, or of the nearest thing above it that exists."""
    found = node
    line = node.start_mark.line
    for step in steps(path):
        below: yaml.Node | None = None
        if isinstance(found, yaml.MappingNode):
            for key, value in found.value:
                if key.value == step:
                    below, line = value, key.start_mark.line
        elif isinstance(step, int) and step < len(found.value):
            below = found.value[step]
            line = below.start_mark.line
        if below is None:
            break
        found = below
    return line + 1
