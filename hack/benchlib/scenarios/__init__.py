"""What is measured over a path."""

from benchlib.scenarios.api import Api
from benchlib.scenarios.base import Scenario
from benchlib.scenarios.bulk import Bulk
from benchlib.scenarios.cpu import Cpu
from benchlib.scenarios.handshake import Handshake
from benchlib.scenarios.hop import Hop
from benchlib.scenarios.latency import Latency
from benchlib.scenarios.memory import Memory
from benchlib.scenarios.mirror import Mirror
from benchlib.scenarios.shards import Shards
from benchlib.scenarios.stall import Stall
from benchlib.scenarios.tokens import Tokens
from benchlib.scenarios.udp import Udp

ALL: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Bulk(),
        Latency(),
        Handshake(),
        Memory(),
        Cpu(),
        Stall(),
        Api(),
        Tokens(),
        Hop(),
        Mirror(),
        Shards(),
        Udp(),
    )
}
