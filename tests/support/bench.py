"""Rounds that never ran, for the tests of what is made of them."""

from benchlib.report import Rounds
from benchlib.samples import Metric, RelayUse, Sample
from benchlib.settings import Settings

THROUGHPUT = Metric("throughput", "Gbit/s", "payload")


def sample(rate: float, *, cpu: float = 1.0, rss: float = 50.0) -> Sample:
    """One bulk measurement that carried 2 GB."""
    relays = {"client": RelayUse(cpu, rss), "server": RelayUse(2 * cpu, 2 * rss)}
    return Sample({"throughput": rate}, relays, gigabytes=2.0, busy_cores=1.5, steal=0.01)


def two_rounds() -> Rounds:
    """Ours at 8 and 9, Envoy at 10 and 10, a direct path without relays."""
    rounds = Rounds(Settings("bulk", rounds=2), (THROUGHPUT,))
    for ours in (8.0, 9.0):
        rounds.add("direct", Sample({"throughput": 16.0}, gigabytes=2.0))
        rounds.add("envoy", sample(10.0))
        rounds.add("stoq", sample(ours, cpu=2.0))
    return rounds
