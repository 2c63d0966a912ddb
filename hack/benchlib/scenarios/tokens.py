"""What room in packets costs, and tokens in it."""

from typing import ClassVar

from benchlib.scenarios.bulk import Bulk


class Tokens(Bulk):
    """The same load over ours as it is, with an empty reserve, and with tokens."""

    name: ClassVar[str] = "tokens"
