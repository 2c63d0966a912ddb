"""Every setting of the embedded control process, in groups; nothing else reads configuration.

Sources, later ones win: the defaults here, the TOML file named by `--config` or
`STOQ_CONFIG_FILE`, `STOQ_<GROUP>_<OPTION>` variables, flags.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from stoq import constants
from stoq.program import Log
from stoq.records.crypto import profile
from stoq.settings.kinds import flag, host_and_port, integer, number, text
from stoq.settings.options import FILE_VARIABLE, SettingsError, load, option
from stoq.spiffe import SpiffeError, check_trust_domain

FLAGS: Final = {
    "store": ("store", "directory"),
    "state": ("state", "directory"),
    "bundle": ("state", "bundle"),
    "listen": ("listen", "address"),
    "metrics": ("listen", "metrics"),
    "trust_domain": ("mesh", "trust_domain"),
    "log_level": ("log", "level"),
}
"""Flags of the command line, and the option that each of them sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where the records are."""

    directory: str = option("/etc/stoq/store", text(), "YAML manifests, followed live")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What must survive a restart."""

    directory: str = option("/var/lib/stoq", text(), "keys of the roots; readable by nobody else")
    bundle: str = option(
        "/var/run/stoq/bundle.pem", text(), "written for sidecars, which trust it at first dial"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where the process is reached."""

    address: str = option(
        f"[::]:{constants.CONTROL_PORT}", host_and_port(), "UDP, STOQ: registry and CA"
    )
    metrics: str = option(
        f"[::]:{constants.METRICS_PORT}", host_and_port(), "TCP, HTTP: /metrics and /healthz"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """What can not change while the mesh runs, and holds when no MeshConfig says it."""

    trust_domain: str = option(
        "cluster.local", text(), "Kubernetes' default cluster domain; a MeshConfig wins"
    )
    profile: Literal["hybrid-1024", "hybrid-512"] = option(
        "hybrid-1024", profile(), "of roots and control plane; a MeshConfig wins"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ca:
    """Bounds of the certificate authority."""

    signatures_per_second: float = option(
        200.0,
        number(0.1, 100_000, "per second"),
        "a FALCON-1024 signature takes 0.3 ms: a fifth of one CPU at most",
    )
    signatures_burst: int = option(
        2000, integer(1, 1_000_000), "pods of a node that come back together"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Sockets for sidecars without privileges."""

    enabled: bool = option(
        default=True, kind=flag(), why="serves only workloads that name a netns; needs root then"
    )
    sidecar_uid: int = option(
        constants.SIDECAR_UID, integer(0, 2**32 - 2), "the only user that may ask"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings."""

    store: Store
    state: State
    listen: Listen
    mesh: Mesh
    ca: Ca
    broker: Broker
    log: Log


def read(config: str, environment: Mapping[str, str], flags: Mapping[str, str | None]) -> Settings:
    """Settings from the file `config` (empty: the one STOQ_CONFIG_FILE names, if any), from
    `environment` and from `flags`, of which `None` are not given.

    Raises SettingsError.
    """
    name = config or environment.get(FILE_VARIABLE, "")
    try:
        toml = Path(name).read_text(encoding="utf-8") if name else ""
    except (OSError, UnicodeDecodeError) as error:
        source = "--config" if config else FILE_VARIABLE
        raise SettingsError(f"{source} is {name!r}: cannot be read: {error}") from error
    merged = dict(environment)
    for given, (group, item) in FLAGS.items():
        value = flags.get(given)
        if value is not None:
            merged[f"STOQ_{group}_{item}".upper()] = value
    settings = load(Settings, toml, merged, name)
    try:
        check_trust_domain(settings.mesh.trust_domain)
    except SpiffeError as error:
        raise SettingsError(f"STOQ_MESH_TRUST_DOMAIN: {error}") from error
    return settings
