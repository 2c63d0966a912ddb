"""`stoq-operator`: a control process in a cluster, one of several replicas.

Every replica serves the registry and signs; the one that holds the Lease writes.
"""

import asyncio
import logging
import os
import sys
from functools import partial
from typing import Final

from stoq import program
from stoq.settings.options import SettingsError
from stoq_kube.apiserver import ApiError
from stoq_kube.kube import ApiServer
from stoq_operator.clustersettings import ClusterSettings, read
from stoq_operator.clusterstore import ClusterStore
from stoq_operator.kept import StateError
from stoq_operator.lease import Election
from stoq_operator.metrics import Metrics
from stoq_operator.podadmission import PodTokens
from stoq_operator.process import Parts, run
from stoq_operator.reconciler import Reconciler
from stoq_operator.recordvips import RecordVips
from stoq_operator.secretroots import SecretRoots
from stoq_operator.secrettickets import SecretTickets
from stoq_operator.webhooktls import WebhookTls

log: Final = logging.getLogger("stoq.operator")

LEASE: Final = "stoq-operator"

REFUSED: Final = 2
"""Exit status for settings that can not be."""

FAILED: Final = 1
"""Exit status for what the machine or the cluster refuses."""


def main() -> int:
    """The program; returns the exit status."""
    try:
        settings = read(os.environ)
        program.until_told(partial(serve, settings), settings, log)
    except SettingsError as error:
        sys.stderr.write(f"stoq-operator: {error}\n")
        return REFUSED
    except (StateError, ApiError, OSError) as error:
        sys.stderr.write(f"stoq-operator: {error}\n")
        return FAILED
    return 0


async def serve(settings: ClusterSettings, stop: asyncio.Event) -> None:
    """Runs until `stop` is set.

    Raises `ApiError`, `StateError` and `OSError` for what keeps it from starting.
    """
    client = ApiServer()
    place = settings.kubernetes.namespace
    election = Election(client, place, LEASE, settings.identity)
    store = ClusterStore(client)
    roots = SecretRoots(client, election, place)
    reconciler = Reconciler(
        client, election, place, lambda: store.rejected, settings.inject.capture
    )
    webhook = WebhookTls(client, election, place)
    tickets = SecretTickets(client, election, place)
    metrics = Metrics()
    metrics.leads(lambda: election.leads)
    roots.on_verdict.append(reconciler.roots_judged)
    parts = Parts(
        store=store,
        roots=roots,
        vips=RecordVips(),
        admission=PodTokens(client),
        metrics=metrics,
        bundle=reconciler.bundled,
        settled=reconciler.settled,
        tickets=tickets.tell,
        beside=(
            client.run,
            store.run,
            roots.run,
            reconciler.run,
            webhook.run,
            tickets.run,
            election.run,
        ),
    )
    try:
        await run(
            parts,
            stop,
            mesh=settings.mesh,
            listen=settings.listen,
            ca=settings.ca,
            log_level=settings.log.level,
        )
    finally:
        await client.close()
