"""Declares groups of options and reads them from a TOML file and the environment. Pure: the file
arrives as text and the environment as a mapping.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Drain:
        '''How the sidecar ends.'''
        seconds: float = option(2.0, number(0, 60, "seconds"), "the kubelet waits no longer")

A root dataclass holds one group per field. The option above is `seconds` of table `[drain]` in the
file and `STOQ_DRAIN_SECONDS` in the environment, which wins.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, Final, TypeVar

from stoq.settings.kinds import Kind, as_text

PREFIX: Final = "STOQ_"

FILE_VARIABLE: Final = "STOQ_CONFIG_FILE"
"""Names the TOML file; read by the programs, so no option may be called that."""

SERVICE_LINKS: Final = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)?)$"
)
"""Kubernetes puts such variables into every pod for each Service of its namespace
(`enableServiceLinks`), so a Service called stoq-anything must not stop the sidecar."""

T = TypeVar("T")
Root = TypeVar("Root")


@dataclass(frozen=True, slots=True)
class _Option:
    kind: Kind[Any]
    why: str


class SettingsError(Exception):
    """One or more settings are unknown or malformed; each line names the variable or field, the
    value, and what would be right.
    """


def option(default: T, kind: Kind[T], why: str) -> T:
    """An option of a group: its default, what it may be, and why it has that default."""
    return field(default=default, metadata={"option": _Option(kind, why)})


def load(root: type[Root], toml: str, environment: Mapping[str, str], file: str = "") -> Root:
    """Settings of type `root` from the text of a TOML file (`file` is its name, for messages) and
    from `environment`.

    Raises SettingsError that lists every mistake, not only the first.
    """
    problems: list[str] = []
    given = dict(_from_toml(root, toml, file or "settings file", problems))
    given.update(_from_environment(root, environment, problems))
    groups: dict[str, Any] = {}
    for group_name, group in _groups(root):
        values: dict[str, Any] = {}
        for item in fields(group):
            source_and_text = given.get((group_name, item.name))
            if source_and_text is not None:
                values[item.name] = _parse(item, *source_and_text, problems)
        if not problems:
            groups[group_name] = group(**values)
    if problems:
        raise SettingsError("\n".join(problems))
    return root(**groups)


def dump(settings: Any) -> dict[str, dict[str, str]]:
    """Every option with its value as text, by group, for the log and /config."""
    shown: dict[str, dict[str, str]] = {}
    for group_name, group in _groups(type(settings)):
        values = getattr(settings, group_name)
        shown[group_name] = {
            item.name: _shown(getattr(values, item.name)) for item in fields(group)
        }
    return shown


def describe(root: type[Any]) -> Iterator[tuple[str, str, str, str]]:
    """(variable, default, what it must be, why) of every option, in order."""
    for group_name, group in _groups(root):
        for item in fields(group):
            declared = _declared(item)
            variable = _variable(group_name, item.name)
            yield variable, _shown(item.default), declared.kind.expects, declared.why


def _groups(root: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    for item in fields(root):
        if not (isinstance(item.type, type) and is_dataclass(item.type)):
            raise TypeError(f"{root.__name__}.{item.name} must be a dataclass of options")
        yield item.name, item.type


def _declared(item: "Field[Any]") -> _Option:
    declared = item.metadata.get("option")
    if not isinstance(declared, _Option) or item.default is MISSING:
        raise TypeError(f"{item.name} is not declared with option()")
    return declared


def _variable(group: str, name: str) -> str:
    return f"{PREFIX}{group}_{name}".upper()


def _from_toml(
    root: type[Any], toml: str, file: str, problems: list[str]
) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    known = dict(_groups(root))
    try:
        tables = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{file} is not TOML: {error}")
        return
    for table, values in tables.items():
        group = known.get(table)
        if group is None or not isinstance(values, dict):
            problems.append(f"{file}: [{table}] is unknown; tables are {', '.join(sorted(known))}")
            continue
        names = [item.name for item in fields(group)]
        for name, value in values.items():
            if name not in names:
                problems.append(
                    f"{file}: {table}.{name} is unknown; [{table}] has {', '.join(names)}"
                )
                continue
            try:
                yield (table, name), (f"{file}: {table}.{name}", as_text(value))
            except ValueError as error:
                problems.append(f"{file}: {table}.{name}: {error}")


def _from_environment(
    root: type[Any], environment: Mapping[str, str], problems: list[str]
) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    known = {
        _variable(group_name, item.name): (group_name, item.name)
        for group_name, group in _groups(root)
        for item in fields(group)
    }
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE:
            continue
        if variable in known:
            yield known[variable], (variable, environment[variable])
        elif not SERVICE_LINKS.search(variable):
            near = [name for name in known if name.split("_")[1] == variable.split("_")[1]]
            problems.append(
                f"{variable} is unknown; "
                + (f"this group has {', '.join(near)}" if near else "--help lists all variables")
            )


def _parse(item: "Field[Any]", source: str, value: str, problems: list[str]) -> Any:
    kind = _declared(item).kind
    try:
        return kind.parse(value.strip())
    except ValueError as error:
        detail = f": {error}" if str(error) else ""
        problems.append(
            f"{source} is {value!r}{detail}; it must be {kind.expects}"
            f" (leave it out for the default, {_shown(item.default) or 'empty'})"
        )
        return None


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return as_text(value)
