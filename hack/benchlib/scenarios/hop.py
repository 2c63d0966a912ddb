"""What a gateway on the way costs."""

from typing import ClassVar

from benchlib.scenarios.bulk import Bulk


class Hop(Bulk):
    """The same load over ours directly, and over a gateway."""

    name: ClassVar[str] = "hop"
