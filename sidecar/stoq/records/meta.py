"""What every record has: where it is from, what it is called, what it is labelled with."""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal, NamedTuple, Self

import msgspec

from stoq.records import checks
from stoq.records.errors import MISSING, RecordError

API_VERSION: Final = "stoq.dev/v1alpha1"


class Key(NamedTuple):
    """Names one record; `namespace` is empty for records of the whole mesh."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}"


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """Kubernetes' ObjectMeta, as far as we read it; other fields pass unread."""

    name: str
    namespace: str = ""
    uid: str = ""
    labels: Mapping[str, str] = {}
    generation: int = 0
    """Counts the changes of the spec; 0 where nobody counts, as in a file."""
    creation_timestamp: str | None = None
    """RFC 3339, as the API server writes it; absent in a file."""


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Kubernetes' metav1.Condition: one thing that is so, or is not, and why."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    """CamelCase, for programs."""
    message: str = ""
    """For people."""
    last_transition_time: str = ""
    """RFC 3339; when `status` became what it is."""
    observed_generation: int = 0
    """`metadata.generation` of the object that was judged."""


class Status(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the operator found out about a record; only the operator writes it."""

    conditions: tuple[Condition, ...] = ()


class Spec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of the specs: an unknown field is a mistake, not a wish to be ignored."""

    def checked(self) -> Self:
        """The spec in canonical form. Raises `RecordError` with paths below `spec`."""
        return self


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the kinds."""

    KIND: ClassVar[str]
    NAMESPACED: ClassVar[bool] = True

    metadata: Metadata
    status: Status = Status()

    @property
    def key(self) -> Key:
        """Names this record in its store."""
        return Key(self.KIND, self.metadata.namespace, self.metadata.name)

    def check_metadata(self) -> None:
        """Raises `RecordError` when name or namespace break Kubernetes' rules."""
        checks.dns_subdomain("metadata.name", self.metadata.name)
        if self.NAMESPACED:
            hint = f"a {self.KIND} belongs to a namespace; add one such as default"
            if not self.metadata.namespace:
                raise RecordError("metadata.namespace", MISSING, hint)
            checks.dns_label("metadata.namespace", self.metadata.namespace)
        elif self.metadata.namespace:
            raise RecordError(
                "metadata.namespace",
                self.metadata.namespace,
                f"a {self.KIND} holds for the whole mesh; remove the namespace",
            )


class Selector(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Chooses workloads of the same namespace by their labels."""

    match_labels: Mapping[str, str]

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether all labels asked for are there."""
        return all(labels.get(name) == value for name, value in self.match_labels.items())

    def check(self, field: str) -> None:
        """Raises `RecordError` for a selector that would choose everything."""
        if not self.match_labels:
            raise RecordError(f"{field}.matchLabels", {}, "name at least one label")
