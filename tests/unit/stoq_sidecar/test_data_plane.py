"""The engine as the agent drives it: trust, identity, table, dialling. A real engine, no peers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stoq import constants
from stoq.api.stream import ConnectionLost
from stoq.engine import CertificateAuthority
from stoq.registry import (
    FederatedTrust,
    MeshEntry,
    RegistryState,
    TrustEntry,
    WorkloadEntry,
)
from stoq_sidecar import data_plane, retired
from stoq_sidecar.data_plane import DataPlane
from stoq_sidecar.engine_settings import Surroundings
from stoq_sidecar.settings import Settings, read
from stoq_sidecar.table import Pod, table
from support.patience import PATIENCE
from unit.stoq_sidecar.pem import pem

NOW = int(time.time())
AUTHORITY = CertificateAuthority.create("td", NOW - 60, NOW + 3600)
WEB = "spiffe://td/ns/shop/sa/web"


def settings(bundle: Path, control: str = "[::1]:9") -> Settings:
    return read(
        "",
        {
            "STOQ_POD_NAME": "web-0",
            "STOQ_POD_NAMESPACE": "shop",
            "STOQ_POD_SERVICE_ACCOUNT": "web",
            "STOQ_CONTROL_ADDRESS": control,
            "STOQ_IDENTITY_TRUST_DOMAIN": "td",
            "STOQ_IDENTITY_BUNDLE_FILE": str(bundle),
        },
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    file = tmp_path / "bundle.pem"
    file.write_text(pem(AUTHORITY.root))
    return file


@pytest.fixture
def rewrite(bundle: Path) -> Callable[[str | None], None]:
    """Replaces the bundle's text, or takes the file away."""

    def write(text: str | None) -> None:
        if text is None:
            bundle.unlink()
        else:
            bundle.write_text(text)

    return write


@pytest.fixture(autouse=True)
def free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    for port in ("STOQ_PORT", "OUTBOUND_PORT", "INBOUND_PORT"):
        monkeypatch.setattr(constants, port, 0)


@pytest.fixture
async def plane(bundle: Path) -> AsyncIterator[DataPlane]:
    around = Surroundings(None, 1500, 1, bytes(16), ipv6=True)
    made = DataPlane(settings(bundle), around, Pod("web-0", "shop", (ip_address("fd00::2"),)))
    async with made.engine:
        yield made


def state(version: int = 1, *, domain: str = "td", revoked: tuple[str, ...] = ()) -> RegistryState:
    peer = WorkloadEntry(
        uid="db", name="db-0", namespace="shop", spiffe_id="spiffe://td/ns/shop/sa/db",
        addresses=("fd00::4",),
    )  # fmt: skip
    return RegistryState(
        epoch="e",
        version=version,
        mesh=MeshEntry(trust_domain=domain),
        trust=TrustEntry(roots=(AUTHORITY.root,), revoked=revoked),
        workloads={"db": peer},
        services={},
    )


async def test_roots_of_other_meshes_go_to_the_engine_which_names_what_it_cannot_use(
    plane: DataPlane,
) -> None:
    other = CertificateAuthority.create("two", NOW - 60, NOW + 3600)
    plane.use(federated(1, FederatedTrust("two", (other.root,))))
    with pytest.raises(ValueError, match=r'^federated\["three"\]\[0\]: '):
        plane.use(federated(2, FederatedTrust("three", (b"junk",))))


def federated(version: int, domain: FederatedTrust) -> RegistryState:
    trust = TrustEntry(roots=(AUTHORITY.root,), federated=(domain,))
    return msgspec.structs.replace(state(version), trust=trust)


async def test_a_signed_request_becomes_the_identity(plane: DataPlane) -> None:
    plane.trust_bundle()
    leaf = AUTHORITY.issue(plane.new_key(), WEB, NOW, NOW + 600)
    plane.install(leaf, (AUTHORITY.root,))
    assert "has_identity: true" in repr(plane._tls)


async def test_a_certificate_for_another_key_is_refused(plane: DataPlane) -> None:
    leaf = AUTHORITY.issue(plane.new_key(), WEB, NOW, NOW + 600)
    plane.new_key()
    with pytest.raises(ValueError, match="key"):
        plane.install(leaf, (AUTHORITY.root,))


async def test_a_certificate_out_of_the_blue_is_refused(plane: DataPlane) -> None:
    with pytest.raises(ValueError, match="before any key"):
        plane.install(b"leaf", ())


async def test_the_registrys_state_is_put_in_force(plane: DataPlane) -> None:
    plane.use(state(7))
    assert plane.snapshot().table_version == 7
    plane.use(state(8, revoked=("01ff",)))
    assert plane.snapshot().table_version == 8


async def test_another_trust_domain_is_refused_and_changes_nothing(plane: DataPlane) -> None:
    plane.use(state(7))
    with pytest.raises(ValueError, match=r"trust domain other.*STOQ_IDENTITY_TRUST_DOMAIN"):
        plane.use(state(8, domain="other"))
    assert plane.snapshot().table_version == 7


async def test_revocations_that_make_no_sense_are_refused(plane: DataPlane) -> None:
    with pytest.raises(ValueError, match="revoked"):
        plane.use(state(7, revoked=("not hexadecimal",)))


@pytest.mark.parametrize(("text", "kind"), [("nothing here", ValueError), (None, OSError)])
async def test_a_bundle_without_certificates_is_refused(
    plane: DataPlane, rewrite: Callable[[str | None], None], text: str | None, kind: type[Exception]
) -> None:
    rewrite(text)
    with pytest.raises(kind, match=r"certificate|bundle"):
        plane.trust_bundle()


async def test_a_reloaded_bundle_is_trusted_beside_what_the_registry_said(
    plane: DataPlane, rewrite: Callable[[str | None], None]
) -> None:
    plane.use(state(7))
    successor = CertificateAuthority.create("td", NOW - 60, NOW + 3600)
    rewrite(pem(successor.root))
    plane.trust_bundle()
    for authority in (AUTHORITY, successor):
        plane.install(authority.issue(plane.new_key(), WEB, NOW, NOW + 600), ())
    assert plane._trust == state(7).trust


async def test_connections_and_level_pass_through(plane: DataPlane) -> None:
    assert plane.connections() == []
    plane.set_level("debug")


async def test_an_unknown_name_of_the_control_plane_is_named(bundle: Path) -> None:
    around = Surroundings(None, 1500, 1, bytes(16), ipv6=True)
    named = settings(bundle, "no-such-name.invalid:14012")
    plane = DataPlane(named, around, Pod("web-0", "shop", ()))
    async with plane.engine:
        with pytest.raises(ConnectionLost, match=r"'no-such-name.invalid' \(STOQ_CONTROL_ADDRESS"):
            await plane.dialler().open()


async def test_a_dead_control_plane_is_an_error_in_time(plane: DataPlane) -> None:
    with pytest.raises(ConnectionLost):
        await plane.dialler().open()


async def test_an_address_is_retired_until_its_time_is_over(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    over = asyncio.Event()

    def recorded(*arguments: Any) -> str:
        made.append(table(*arguments))
        if len(made) == 3:
            over.set()
        return made[-1]

    monkeypatch.setattr(data_plane, "table", recorded)
    monkeypatch.setattr(retired, "RETIRED_SECONDS", 0.1)
    there = state(1)
    plane.use(there)
    plane.use(msgspec.structs.replace(there, version=2, workloads={}))
    async with asyncio.timeout(PATIENCE):
        await over.wait()
    workloads = [json.loads(document)["workloads"] for document in made]
    assert [[one["uid"] for one in each] for each in workloads] == [["db"], ["db@fd00::4"], []]
