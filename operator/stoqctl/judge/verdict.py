"""All checks, in the order in which one mends things. Pure."""

from collections.abc import Sequence

from stoqctl.finding import Finding
from stoqctl.judge import agents, honoured, install, network, records, udp, workloads
from stoqctl.judge.facts import Facts, Object


def before(facts: Facts) -> list[Finding]:
    """Before an installation."""
    return [
        *install.api(facts),
        *install.nodes(facts),
        *install.before(facts),
        *workloads.namespaces(facts),
    ]


def after(facts: Facts, objects: Sequence[Object], now: float) -> list[Finding]:
    """Of an installed mesh; `objects` are the records and policies, `now` Unix seconds."""
    return [
        *install.api(facts),
        *install.nodes(facts),
        install.definitions(facts),
        *install.operator(facts, now),
        *install.webhook(facts, now),
        install.mesh(facts),
        *workloads.namespaces(facts),
        *install.roots(facts, now),
        *workloads.pods(facts),
        udp.findings(facts),
        *agents.findings(facts),
        *honoured.findings(facts, objects),
        *network.findings(facts),
        records.findings(objects),
    ]
