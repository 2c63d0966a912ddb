"""The metadata of every object."""

from collections.abc import Mapping
from typing import Any

from stoq.records.meta import Metadata

Raw = Mapping[str, Any]
"""An object as the API server writes it in JSON."""


Place = tuple[str, str]
"""Namespace and name of an object of one kind; the namespace is empty where there is none."""


def place(raw: Raw) -> Place:
    """Where the object is."""
    return raw["metadata"].get("namespace", ""), raw["metadata"]["name"]


def metadata(raw: Raw) -> Metadata:
    """As far as we read it."""
    found = raw["metadata"]
    return Metadata(
        name=found["name"],
        namespace=found.get("namespace", ""),
        uid=found.get("uid", ""),
        labels=found.get("labels") or {},
        generation=found.get("generation", 0),
        creation_timestamp=found.get("creationTimestamp"),
    )
