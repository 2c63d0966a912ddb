"""A sidecar and a control plane of neighbouring releases understand each other."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from stoq import registry, rules, signing
from stoq.api.codec import Codec, decode, encode

POD = registry.WorkloadEntry(
    uid="u", name="web-0", namespace="shop", spiffe_id="spiffe://td/ns/shop/sa/web", addresses=()
)
SERVICE = registry.ServiceEntry(
    name="db",
    namespace="shop",
    vips=("fd53::1",),
    ports=(registry.ServicePort(5432, 5432),),
    endpoints=(registry.Endpoint("fd00::1"),),
)
RULE = registry.AccessRule(policy="shop/p", action="deny")
MESSAGES = [
    registry.WatchRequest(node="shop/web-0"),
    registry.WatchMessage(
        type="snapshot",
        epoch="e",
        version=1,
        mesh=registry.MeshEntry(
            trust_domain="td",
            access=(registry.AccessRule(policy="shop/p", action="deny"),),
            ports=(rules.PortModes(port=80, inbound="strict"),),
            crypto=rules.CryptoRule(profile="hybrid-512", mode="require"),
            mirrors=(registry.MirrorRule("shop/db", "shop/shadow", 100),),
            gateways=(
                registry.GatewayEntry(
                    spiffe_id="spiffe://td/g", replicas=(registry.GatewayReplica("fd00::a"),)
                ),
            ),
            forwards=(registry.ForwardRule("*", "spiffe://td"),),
            own=POD,
        ),
        trust=registry.TrustEntry(
            roots=(b"root",),
            revoked_identities=(registry.RevokedIdentity("spiffe://td/x", 1),),
            federated=(registry.FederatedTrust("two", (b"root",)),),
        ),
        workloads=(POD,),
        services=(SERVICE,),
        removed=registry.Removed(workloads=("v",)),
    ),
    registry.Entries(workloads=(POD,), services=(SERVICE,)),
    signing.SignRequest(csr=b"c", token="t", binding=b"b", workload="shop/web-0", spiffe_id="s"),
    signing.SignResponse(certificate=b"c", roots=(b"r",), spiffe_id="s", expires=1),
]

REQUIRED = {
    "WatchMessage": {"type", "epoch", "version"},
    "MeshEntry": {"trust_domain"},
    "AccessRule": {"policy", "action"},
    "AdaptationRule": {"policy"},
    "PortModes": {"port"},
    "CryptoRule": {"profile"},
    "MirrorRule": {"of", "to", "share"},
    "GatewayEntry": {"spiffe_id"},
    "GatewayReplica": {"address"},
    "ForwardRule": {"source", "to"},
    "TrustEntry": {"roots"},
    "FederatedTrust": {"trust_domain", "roots"},
    "RevokedIdentity": {"spiffe_id", "before"},
    "WorkloadEntry": {"uid", "name", "namespace", "spiffe_id", "addresses"},
    "ServiceEntry": {"name", "namespace", "vips", "ports", "endpoints"},
    "ServicePort": {"port", "target"},
    "Endpoint": {"address"},
    "SignRequest": {"csr", "token", "binding"},
    "SignResponse": {"certificate", "roots", "spiffe_id", "expires"},
}
"""What the neighbour has always sent. A field that comes later has a default, and is not here."""


def structs(type_: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """The type and all that it holds."""
    yield type_
    for field in msgspec.structs.fields(type_):
        yield from _inside(msgspec.inspect.type_info(field.type))


def _inside(info: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(info, msgspec.inspect.StructType):
        yield from structs(info.cls)
    for name in ("item_type", "types", "item_types"):
        held = getattr(info, name, ())
        for inner in held if isinstance(held, tuple) else (held,):
            yield from _inside(inner)


def with_news(value: Any) -> Any:
    """The plain data, with a field in every object that only the next release knows."""
    match value:
        case dict():
            return {key: with_news(item) for key, item in value.items()} | {"of_next_release": [1]}
        case list() | tuple():
            return [with_news(item) for item in value]
        case _:
            return value


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_fields_of_the_next_release_are_passed_over(codec: Codec, message: Any) -> None:
    newer = encode(codec, with_news(decode(codec, encode(codec, message), dict)))
    assert b"of_next_release" in newer
    assert decode(codec, newer, type(message)) == message


def test_what_the_release_before_does_not_send_has_a_default() -> None:
    found = {
        struct.__name__: {f.name for f in msgspec.structs.fields(struct) if f.required}
        for message in MESSAGES
        for struct in structs(type(message))
    }
    assert {name: fields for name, fields in found.items() if fields} == REQUIRED
