"""Every setting of the webhook, in groups; nothing else in the process reads configuration."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal

from stoq import constants
from stoq.injection.annotations import check_limits, quantity
from stoq.injection.config import CONTROL_ADDRESS, Config, capture_mode
from stoq.logs import LEVELS
from stoq.program import Log
from stoq.records.crypto import profile
from stoq.settings.kinds import Kind, choice, flag, host_and_port, text
from stoq.settings.options import SettingsError, load, option
from stoq.spiffe import SpiffeError, check_trust_domain


def _amount() -> Kind[str]:
    def parse(value: str) -> str:
        if value:
            quantity(value)
        return value

    return Kind("a Kubernetes quantity such as 100m or 64Mi, or empty", parse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where the process is reached."""

    address: str = option(
        f"[::]:{constants.WEBHOOK_PORT}", host_and_port(), "TCP, HTTPS: POST /inject"
    )
    pages: str = option(
        f"[::]:{constants.WEBHOOK_METRICS_PORT}",
        host_and_port(),
        "TCP, HTTP: /metrics and /healthz; apart, since they answer before there is a certificate",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inject:
    """What every injected pod gets; see `stoq.injection.config.Config`."""

    sidecar_image: str = option("", text(), "the chart's; there is no default")
    init_image: str = option("", text(), "the chart's; there is no default")
    pull_policy: str = option(
        "IfNotPresent", choice(("Always", "IfNotPresent", "Never")), "Kubernetes' own for a tag"
    )
    trust_domain: str = option(
        "cluster.local", text(), "must be what MeshConfig says; Kubernetes' default cluster domain"
    )
    profile: Literal["hybrid-1024", "hybrid-512"] = option(
        "hybrid-1024", profile(), "what sidecars begin with; then they do as the mesh says"
    )
    control_address: str = option(CONTROL_ADDRESS, host_and_port(), "the chart's Service")
    capture: Literal["init", "node"] = option(
        "init",
        capture_mode(),
        "node: the agents of the nodes program capture, and pods have no stoq-init",
    )
    capture_udp: bool = option(
        default=False, kind=flag(), why="true: the agents capture UDP too; they need NET_RAW for it"
    )
    ipv6_only: bool = option(
        default=False, kind=flag(), why="true has stoq-init refuse IPv4 in every meshed pod"
    )
    discovery_signed: str = option(
        "prefer",
        choice(("prefer", "require")),
        "require once every replica of the operator signs: sidecars then believe nothing else",
    )
    log_level: str = option("info", choice(tuple(LEVELS)), "of sidecars; annotations win")
    log_format: str = option("json", choice(("text", "json")), "clusters collect logs")
    log_access: str = option("json", choice(("text", "json", "off")), "one line per connection")
    cpu_request: str = option("10m", _amount(), "an idle sidecar takes 5m at most")
    memory_request: str = option("64Mi", _amount(), "an idle sidecar takes 45 MB at most")
    cpu_limit: str = option("", _amount(), "a limit adds latency to every connection")
    memory_limit: str = option("", _amount(), "what a sidecar needs grows with its connections")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings."""

    listen: Listen
    inject: Inject
    log: Log

    @property
    def config(self) -> Config:
        """What injection needs of them."""
        return Config(**asdict(self.inject))


REQUIRED: Final = ("sidecar_image", "init_image")


def read(environment: Mapping[str, str]) -> Settings:
    """Settings from `STOQ_<GROUP>_<OPTION>` variables. Raises SettingsError."""
    settings = load(Settings, "", environment)
    inject = settings.inject
    problems = [
        f"STOQ_INJECT_{name.upper()} is empty and has no default: name an image"
        for name in REQUIRED
        if not getattr(inject, name)
    ]
    try:
        check_trust_domain(inject.trust_domain)
        check_limits(
            {"cpu": inject.cpu_request or "0", "memory": inject.memory_request or "0"},
            {
                name: limit
                for name, limit in (("cpu", inject.cpu_limit), ("memory", inject.memory_limit))
                if limit
            },
        )
    except (SpiffeError, ValueError) as error:
        problems.append(f"STOQ_INJECT_…: {error}")
    if problems:
        raise SettingsError("\n".join(problems))
    return settings
