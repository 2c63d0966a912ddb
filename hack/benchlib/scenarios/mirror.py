"""What requests wait for when their connections are copied for a shadow."""

from typing import ClassVar

from benchlib.scenarios.latency import Latency


class Mirror(Latency):
    """The same load over ours as it is, and with a copy of every connection."""

    name: ClassVar[str] = "mirror"
