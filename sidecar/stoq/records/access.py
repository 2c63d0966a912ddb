"""AccessPolicy: who may open connections to the workloads of a namespace, or is refused there."""

from typing import ClassVar, Final, Literal, Self

import msgspec

from stoq.records import checks
from stoq.records.errors import RecordError
from stoq.records.meta import Record, Selector, Spec

MAX_RULES: Final = 64
MAX_PEERS: Final = 256
MAX_RULE_PORTS: Final = 64

Action = Literal["allow", "deny"]


class AccessPeers(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Callers, named in any of three ways; a caller is meant when one of the lists has it."""

    spiffe_ids: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    """`<namespace>/<name>`."""

    def check(self, field: str) -> None:
        """Raises `RecordError` with paths below `field`."""
        lists = {
            "spiffeIds": self.spiffe_ids,
            "namespaces": self.namespaces,
            "serviceAccounts": self.service_accounts,
        }
        if not any(lists.values()):
            raise RecordError(
                field, {}, f"name callers in {', '.join(lists)}, or leave it out for everyone"
            )
        for name, values in lists.items():
            checks.at_most(f"{field}.{name}", values, MAX_PEERS)
        for index, item in enumerate(self.spiffe_ids):
            checks.spiffe_id(f"{field}.spiffeIds[{index}]", item)
        for index, item in enumerate(self.namespaces):
            checks.dns_label(f"{field}.namespaces[{index}]", item)
        for index, item in enumerate(self.service_accounts):
            checks.service_account(f"{field}.serviceAccounts[{index}]", item)


class PortRange(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """A TCP port of the workload, or all from `port` to `endPort`."""

    port: int
    end_port: int | None = None

    def check(self, field: str) -> None:
        """Raises `RecordError`."""
        checks.port(f"{field}.port", self.port)
        if self.end_port is not None:
            checks.port(f"{field}.endPort", self.end_port)
            if self.end_port < self.port:
                raise RecordError(
                    f"{field}.endPort", self.end_port, f"use {self.port}, the port, or more"
                )


class PolicyRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Callers and ports; what is left out means all of them."""

    peers: AccessPeers | None = msgspec.field(default=None, name="from")
    ports: tuple[PortRange, ...] = ()


class AccessPolicySpec(Spec, frozen=True, kw_only=True):
    """Deny wins. Once one policy allows something at a workload, what none allows is refused."""

    selector: Selector | None = None
    """Workloads it protects; left out: all of the namespace."""
    action: Action
    dry_run: bool = False
    """Counts what it would refuse, and refuses nothing."""
    rules: tuple[PolicyRule, ...]

    def checked(self) -> Self:
        """Raises `RecordError`."""
        if self.selector is not None:
            self.selector.check("spec.selector")
        if not self.rules:
            raise RecordError("spec.rules", [], "write one rule at least; {} is everyone")
        checks.at_most("spec.rules", self.rules, MAX_RULES)
        for number, rule in enumerate(self.rules):
            if rule.peers is not None:
                rule.peers.check(f"spec.rules[{number}].from")
            checks.at_most(f"spec.rules[{number}].ports", rule.ports, MAX_RULE_PORTS)
            for index, item in enumerate(rule.ports):
                item.check(f"spec.rules[{number}].ports[{index}]")
        return self


class AccessPolicy(Record, frozen=True, kw_only=True):
    """Enforced where connections arrive, at workloads of its own namespace."""

    KIND: ClassVar[str] = "AccessPolicy"

    spec: AccessPolicySpec
