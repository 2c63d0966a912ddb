"""The schemas in crds/ say what the types in stoq.records say: fields, defaults, choices."""

import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
import yaml

from stoq.records.manifest import KINDS
from stoq.records.meta import Record
from stoq.records.node import NodeCapability

ROOT = Path(__file__).parents[3]
EMBEDDED_ONLY = {"Workload"}
"""Kinds of the embedded mode; in Kubernetes a Pod says the same."""

Schema = dict[str, Any]


def definitions() -> dict[str, Schema]:
    found = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]
    return {definition["spec"]["names"]["kind"]: definition for definition in found}


def schema(kind: str) -> Schema:
    (version,) = definitions()[kind]["spec"]["versions"]
    found: Schema = version["schema"]["openAPIV3Schema"]
    return found


def without_none(type_: Any) -> Any:
    """`X` of `X | None`, and `X` of `Annotated[X, …]`."""
    if typing.get_origin(type_) is typing.Annotated:
        return without_none(typing.get_args(type_)[0])
    if typing.get_origin(type_) in {typing.Union, types.UnionType}:
        (only,) = [part for part in typing.get_args(type_) if part is not types.NoneType]
        return without_none(only)
    return type_


def shape(type_: Any) -> Any:
    """A type as nested names: what msgspec reads."""
    plain = without_none(type_)
    origin = typing.get_origin(plain)
    if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        return {item.encode_name: shape(item.type) for item in msgspec.structs.fields(plain)}
    if origin is tuple:
        return [shape(typing.get_args(plain)[0])]
    if origin is Literal:
        return set(typing.get_args(plain))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"*": shape(typing.get_args(plain)[1])}
    return {str: "string", int: "integer", bool: "boolean"}[plain]


def shape_of_schema(node: Schema) -> Any:
    """The same of a schema."""
    if node["type"] == "object" and "additionalProperties" in node:
        return {"*": shape_of_schema(node["additionalProperties"])}
    if node["type"] == "object":
        return {name: shape_of_schema(item) for name, item in node["properties"].items()}
    if node["type"] == "array":
        return [shape_of_schema(node["items"])]
    return set(node["enum"]) if "enum" in node else node["type"]


def structs(type_: Any, node: Schema) -> Iterator[tuple[type[msgspec.Struct], Schema]]:
    """Every struct below `type_` with the part of the schema that describes it."""
    plain = without_none(type_)
    if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        yield plain, node
        for item in msgspec.structs.fields(plain):
            yield from structs(item.type, node["properties"][item.encode_name])
    elif typing.get_origin(plain) is tuple:
        yield from structs(typing.get_args(plain)[0], node["items"])


def kinds() -> dict[str, type[Record]]:
    written = {name: kind for name, kind in KINDS.items() if name not in EMBEDDED_ONLY}
    return {**written, NodeCapability.KIND: NodeCapability}


def part(kind: str, name: str) -> Any:
    return typing.get_type_hints(kinds()[kind])[name]


def test_every_kind_has_a_definition_and_no_other_has() -> None:
    assert definitions().keys() == kinds().keys()


@pytest.mark.parametrize("kind", sorted(kinds()))
@pytest.mark.parametrize("name", ["spec", "status"])
def test_schema_and_type_have_the_same_fields(kind: str, name: str) -> None:
    assert shape_of_schema(schema(kind)["properties"][name]) == shape(part(kind, name))


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_required_fields_and_defaults_are_the_same(kind: str) -> None:
    for struct, node in structs(part(kind, "spec"), schema(kind)["properties"]["spec"]):
        for item in msgspec.structs.fields(struct):
            place = f"{kind} {struct.__name__}.{item.encode_name}"
            described = node["properties"][item.encode_name]
            assert (item.encode_name in node.get("required", [])) == item.required, place
            if not item.required:
                default = None if item.default is msgspec.NODEFAULT else item.default
                assert described.get("default") == msgspec.to_builtins(
                    list(default) if isinstance(default, tuple) else default
                ), place


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_the_scope_is_the_same(kind: str) -> None:
    scope = "Namespaced" if kinds()[kind].NAMESPACED else "Cluster"
    assert definitions()[kind]["spec"]["scope"] == scope


def nodes(node: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, node
    for name, item in node.get("properties", {}).items():
        yield from nodes(item, f"{path}.{name}")
    for below in ("items", "additionalProperties"):
        if isinstance(node.get(below), dict):
            yield from nodes(node[below], f"{path}[]")


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_everything_is_bounded(kind: str) -> None:
    for name in ("spec", "status"):
        for path, node in nodes(schema(kind)["properties"][name], f"{kind}.{name}"):
            bounds = {
                "string": {"maxLength", "enum", "format"},
                "integer": {"maximum", "format"},
                "array": {"maxItems"},
                "object": {"properties", "maxProperties"},
            }
            wanted = bounds.get(node["type"], set(node))
            assert wanted & set(node), f"{path} has none of {wanted}"


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_objects_are_found_and_read_with_kubectl(kind: str) -> None:
    spec = definitions()[kind]["spec"]
    (version,) = spec["versions"]
    columns = {column["name"] for column in version["additionalPrinterColumns"]}
    short = {
        "ServiceRecord": "stoqsr",
        "TransportPolicy": "stoqtp",
        "AccessPolicy": "stoqap",
        "HopGateway": "stoqhg",
        "MeshConfig": "stoqmc",
        "Revocation": "stoqrv",
        "NodeCapability": "stoqnc",
    }[kind]
    verdict = "Enforced" if kind == "NodeCapability" else "Accepted"
    assert spec["names"]["shortNames"] == [short]
    assert spec["names"]["categories"] == ["stoq"]
    assert version["subresources"] == {"status": {}}
    assert {verdict, "Age"} <= columns


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_definitions_are_found_by_the_label_that_removes_them(kind: str) -> None:
    assert definitions()[kind]["metadata"]["labels"] == {"app.kubernetes.io/name": "stoq"}


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_every_rule_explains_itself(kind: str) -> None:
    for path, node in nodes(schema(kind), kind):
        for rule in node.get("x-kubernetes-validations", []):
            assert rule.get("message") or rule.get("messageExpression"), (path, rule)
