"""What is wrong with a record that breaks no rule by itself."""

from typing import NamedTuple


class Problem(NamedTuple):
    """`reason` is one CamelCase word, as conditions and events have it; `text` is for people."""

    reason: str
    text: str
