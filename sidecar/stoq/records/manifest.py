"""From a manifest, as YAML or the API server gives it, to a checked record."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from stoq.records.access import AccessPolicy
from stoq.records.errors import MISSING, RecordError
from stoq.records.gateway import HopGateway
from stoq.records.mesh import MeshConfig
from stoq.records.meta import API_VERSION, Record
from stoq.records.policy import TransportPolicy
from stoq.records.revocation import Revocation
from stoq.records.service import ServiceRecord
from stoq.records.workload import Workload

AnyRecord = (
    MeshConfig | TransportPolicy | AccessPolicy | ServiceRecord | HopGateway | Workload | Revocation
)

KINDS: Final[Mapping[str, type[AnyRecord]]] = {
    kind.KIND: kind
    for kind in (
        MeshConfig,
        TransportPolicy,
        AccessPolicy,
        ServiceRecord,
        HopGateway,
        Workload,
        Revocation,
    )
}

_AT_PATH: Final = re.compile(r"^(?P<problem>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN: Final = re.compile(r"unknown field `(?P<name>[^`]*)`")
_REQUIRED: Final = re.compile(r"missing required field `(?P<name>[^`]*)`")
_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def decode(manifest: object) -> AnyRecord:
    """The record in `manifest`. Raises `RecordError` that names field, value and the way out."""
    if not isinstance(manifest, Mapping):
        raise RecordError("manifest", manifest, "write a mapping with apiVersion, kind, metadata")
    version = manifest.get("apiVersion", MISSING)
    if version != API_VERSION:
        raise RecordError("apiVersion", version, f"use {API_VERSION}")
    kind = manifest.get("kind", MISSING)
    type_ = KINDS.get(kind) if isinstance(kind, str) else None
    if type_ is None:
        raise RecordError("kind", kind, f"use one of {', '.join(KINDS)}")
    record = _convert(manifest, type_)
    record.check_metadata()
    return msgspec.structs.replace(record, spec=record.spec.checked())


def encode(record: AnyRecord) -> dict[str, Any]:
    """The manifest of `record`, without fields that have their default."""
    body = msgspec.to_builtins(record)
    for part in ("metadata", "spec", "status"):
        defaults = _defaults(getattr(record, part))
        body[part] = {
            name: value
            for name, value in body[part].items()
            if value != defaults.get(name, MISSING)
        }
    if not body["status"]:
        del body["status"]
    return {"apiVersion": API_VERSION, "kind": record.KIND, **body}


def value_at(manifest: object, path: str) -> object:
    """The value at a path such as `spec.ports[0].port`; `MISSING` where there is none."""
    found = manifest
    for step in steps(path):
        present = (
            0 <= step < len(found)
            if isinstance(step, int) and isinstance(found, Sequence)
            else isinstance(found, Mapping) and step in found
        )
        if not present:
            return MISSING
        found = found[step]  # type: ignore[index]
    return found


def steps(path: str) -> list[str | int]:
    """The path taken apart: names and indexes."""
    return [int(index) if index else name for name, index in _STEP.findall(path)]


def _convert(manifest: Mapping[Any, Any], type_: type[AnyRecord]) -> AnyRecord:
    try:
        return msgspec.convert(manifest, type=type_)
    except msgspec.ValidationError as error:
        raise _explained(manifest, type_, str(error)) from None


def _explained(manifest: object, type_: type[AnyRecord], text: str) -> RecordError:
    """msgspec's message with the value that it leaves out."""
    match = _AT_PATH.match(text)
    problem, path = (match["problem"], match["path"] or "") if match else (text, "")
    path = path.removeprefix("$").removeprefix(".")
    for pattern, hint in ((_UNKNOWN, "no such field; remove it"), (_REQUIRED, "it must be given")):
        if found := pattern.search(problem):
            field = f"{path}.{found['name']}".removeprefix(".")
            return RecordError(field, value_at(manifest, field), hint)
    choices = _choices(type_, path)
    hint = f"use one of {', '.join(choices)}" if choices else problem[:1].lower() + problem[1:]
    return RecordError(path or "manifest", value_at(manifest, path), hint)


def _choices(type_: type[AnyRecord], path: str) -> list[str]:
    """The texts allowed for a field; empty when it is no choice."""
    found: object = type_
    for step in steps(path):
        found = None if isinstance(step, int) else _field(found, step)
    return [value for value in _literals(found) if isinstance(value, str)]


def _field(type_: object, name: str) -> object:
    """The type of a field of the struct that `type_` is, or may be; None: there is none."""
    for part in (type_, *get_args(type_)):
        if isinstance(part, type) and issubclass(part, msgspec.Struct):
            hints = get_type_hints(part, include_extras=True)
            for field in msgspec.structs.fields(part):
                if field.encode_name == name:
                    return hints[field.name]
    return None


def _literals(type_: object) -> list[object]:
    parts = get_args(type_)
    if get_origin(type_) is Literal:
        return list(parts)
    return [value for part in parts for value in _literals(part)]


def _defaults(part: msgspec.Struct) -> dict[str, object]:
    return {
        field.encode_name: msgspec.to_builtins(field.default)
        for field in msgspec.structs.fields(type(part))
        if field.default is not msgspec.NODEFAULT
    } | {
        field.encode_name: field.default_factory()
        for field in msgspec.structs.fields(type(part))
        if field.default_factory is not msgspec.NODEFAULT
    }


__all__ = ["KINDS", "AnyRecord", "Record", "decode", "encode", "steps", "value_at"]
