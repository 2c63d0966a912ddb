"""What a release says and reads where it meets another: messages, settings, extensions.

`previous.json` is this of an earlier revision, made by that revision's own code. To record a
release before the next one begins:

    git archive REVISION sidecar | tar x -C FOLDER
    PYTHONPATH=FOLDER/sidecar .venv/bin/python tests/support/previous.py REVISION \
        >tests/support/previous.json

So nothing is imported here that an earlier revision does not have.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from stoq import packing, registry, signing
from stoq.broker import protocol
from stoq.injection.annotations import Wishes
from stoq.injection.config import MODES, Config
from stoq.injection.containers import sidecar_container
from stoq.settings.options import describe
from stoq_reference.carriers import Extension
from stoq_sidecar.settings import Settings

RECORD: Final = Path(__file__).with_suffix(".json")

TYPES: Final[dict[str, type[msgspec.Struct]]] = {
    "registry request": registry.WatchRequest,
    "registry message": registry.WatchMessage,
    "registry entries": registry.Entries,
    "signing request": signing.SignRequest,
    "signing response": signing.SignResponse,
    "broker request": protocol.Request,
    "broker reply": protocol.Reply,
}

FROM_THE_POD: Final = "from the pod"
"""Stands for a value that the downward API fills in."""

WISHES: Final = Wishes(
    exclude_outbound_ports="25",
    exclude_outbound_cidrs="fd00::/64",
    exclude_inbound_ports="9090",
    client_address="on",
    log_level="debug",
    inbound="strict",
    outbound="meshOnly",
)

_WEB: Final = registry.WorkloadEntry(
    uid="uid-web",
    name="web-0",
    namespace="shop",
    spiffe_id="spiffe://cluster.local/ns/shop/sa/web",
    addresses=("fd00::2", "10.0.0.2"),
    node="node0",
    zone="a",
    via=(("spiffe://cluster.local/ns/edge/sa/gate",),),
)
_DATABASE: Final = registry.ServiceEntry(
    name="db",
    namespace="shop",
    kind="service",
    vips=("fd53::1",),
    ports=(registry.ServicePort(5432, 15432, "sql"),),
    endpoints=(registry.Endpoint("fd00::3", 2, "node1", "b", True, (15432,)),),
    spiffe_ids=("spiffe://cluster.local/ns/shop/sa/db",),
    affinity=True,
    local_only=True,
    prefer="zone",
)
_MESH: Final = registry.MeshEntry(
    trust_domain="cluster.local",
    inbound="strict",
    outbound="meshOnly",
    exempt_sources=("fd00:1::/64",),
    probe_ports=(8080,),
    access=(
        registry.AccessRule(
            policy="shop/db",
            action="deny",
            dry_run=True,
            spiffe_ids=("spiffe://cluster.local/ns/shop/sa/x",),
            namespaces=("shop",),
            service_accounts=("shop/web",),
            ports=((5432, 5433),),
        ),
    ),
    ipv6_only=True,
    mirrors=(registry.MirrorRule("service/shop/db", "shop/shadow", 100),),
    mirrors_from=("spiffe://cluster.local/ns/shop/sa/web",),
    gateways=(
        registry.GatewayEntry(
            spiffe_id="spiffe://cluster.local/ns/edge/sa/gate",
            replicas=(registry.GatewayReplica("fd00::9"),),
            networks=("fd01::/64",),
        ),
    ),
    forwards=(registry.ForwardRule("*", "spiffe://cluster.local"),),
    own=_WEB,
)
_TRUST: Final = registry.TrustEntry(
    roots=(b"root",),
    revoked=("0a",),
    revoked_identities=(registry.RevokedIdentity("spiffe://cluster.local/ns/shop/sa/x", 1),),
    federated=(registry.FederatedTrust("other.test", (b"other",)),),
)

MESSAGES: Final = {
    "registry request": registry.WatchRequest(
        node="shop/web-0", resume_epoch="e", resume_version=7, digests=(b"d" * 16,), packed=True
    ),
    "registry message: snapshot": registry.WatchMessage(
        type="snapshot", epoch="e", version=7, mesh=_MESH, trust=_TRUST, workloads=(_WEB,)
    ),
    "registry message: delta": registry.WatchMessage(
        type="delta",
        epoch="e",
        version=8,
        base=7,
        removed=registry.Removed(workloads=("uid-web",)),
        services=(_DATABASE,),
    ),
    "registry entries": registry.Entries(workloads=(_WEB,), services=(_DATABASE,)),
    "signing request": signing.SignRequest(
        csr=b"csr", token="t", binding=b"b", workload="shop/web-0", spiffe_id=_WEB.spiffe_id
    ),
    "signing response": signing.SignResponse(
        certificate=b"leaf", roots=(b"root",), spiffe_id=_WEB.spiffe_id, expires=9
    ),
    "broker request": protocol.Request(
        op=protocol.Operation.SOCKETS, workers=2, transparent=True, udp=True
    ),
    "broker reply": protocol.Reply(
        v=protocol.VERSION,
        sockets=(protocol.SocketInfo(protocol.Role.STOQ, 14008, 1),),
    ),
}


def record(revision: str) -> dict[str, Any]:
    """All of it, of the code that is imported."""
    return {
        "revision": revision,
        "schemas": {name: _schema(kind) for name, kind in TYPES.items()},
        "messages": {name: msgspec.msgpack.encode(each).hex() for name, each in MESSAGES.items()},
        "packed": packing.pack(MESSAGES["registry entries"]).hex(),
        "variables": [variable for variable, *_ in describe(Settings)],
        "injected": {
            f"capture by {mode}{', as asked' * wished}": _environment(mode, wished)
            for mode in MODES
            for wished in (False, True)
        },
        "extensions": int(sum(Extension)),
    }


def _schema(kind: type[msgspec.Struct]) -> Any:
    """What its decoder accepts, without a word of explanation."""

    def bare(part: Any) -> Any:
        if isinstance(part, list):
            return [bare(item) for item in part]
        if not isinstance(part, dict):
            return part
        # A field may be called so, too: what it is, is an object.
        told = {key for key in ("title", "description") if isinstance(part.get(key), str)}
        if part.keys() & {"type", "anyOf", "enum", "$ref"}:
            told.add("default")
        return {key: bare(value) for key, value in part.items() if key not in told}

    return bare(msgspec.json.schema(kind))


def _environment(mode: Any, wished: bool) -> dict[str, str]:
    config = Config(sidecar_image="r.test/sidecar:1", init_image="r.test/init:1", capture=mode)
    made = sidecar_container(config, WISHES if wished else Wishes(), (8080,))
    return {item["name"]: item.get("value", FROM_THE_POD) for item in made["env"]}


if __name__ == "__main__":
    json.dump(record(sys.argv[1]), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
