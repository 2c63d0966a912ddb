"""What runs on a machine of a cluster, as its supervisor reads it."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Service:
    """One program that is kept running."""

    name: str
    argv: tuple[str, ...]
    needs: str = ""
    """A file, such as a socket, without which starting makes no sense; empty: none."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a supervisor is told: everything, since it reads nothing else."""

    name: str
    folder: str
    """The machine's own folder; logs, held and running are inside."""
    programs: str
    """Where the programs are; a node sees them at node.PROGRAMS."""
    is_node: bool
    """Whether it has a file system view of its own, like a separate computer."""
    services: tuple[Service, ...]

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Machine":
        """Raises KeyError or TypeError when it is not a machine."""
        services = tuple(
            Service(entry["name"], tuple(entry["argv"]), entry["needs"])
            for entry in kept["services"]
        )
        return cls(**{**kept, "services": services})


def flags(settings: dict[str, object]) -> tuple[str, ...]:
    """`--name=value` for each setting."""
    return tuple(f"--{name}={value}" for name, value in settings.items())
