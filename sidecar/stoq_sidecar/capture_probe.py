"""Proves that capture works before the application may start.

The sidecar dials a port on loopback that nobody listens on. Only capture can turn that connection
to the outbound listener, and only the engine of this very process answers it with the nonce made
at start. A pod whose rules are missing, or point to another process, therefore never becomes
ready.
"""

import asyncio
import logging
from typing import Final

from stoq import constants
from stoq.settings.kinds import join_host_and_port
from stoq_sidecar.backoff import Backoff
from stoq_sidecar.readiness import Readiness

log = logging.getLogger("stoq.capture")

LATCH: Final = "capture"

NONCE_BYTES: Final = 16

PATIENCE: Final = 2.0
"""Seconds for one probe; through loopback it takes well under a millisecond."""

EAGER: Final = 5.0
"""Seconds for which the probe is tried every `PAUSE`: stoq-init programs capture while we start,
and the application waits for both. One that is refused costs well under a millisecond."""

PAUSE: Final = 0.02

RETRY: Final = Backoff(0.05, 1.0)
"""After that: by hand the rules may come at any time."""


async def probe(host: str, nonce: bytes, port: int = constants.PROBE_PORT) -> str | None:
    """Dials `host`; None when the nonce came back, else what is wrong."""
    where = join_host_and_port(host, port)
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                answer = await reader.read(NONCE_BYTES + 1)
            finally:
                writer.close()
    except ConnectionRefusedError:
        return (
            f"connection to {where} refused: no capture rule turns it to port "
            f"{constants.OUTBOUND_PORT}; has stoq-init (or the node agent) run in this pod?"
        )
    except TimeoutError:
        return f"connection to {where} unanswered for {PATIENCE:g} s"
    except OSError as error:
        return f"connection to {where} failed: {error}"
    if answer == nonce:
        return None
    return (
        f"connection to {where} was answered by another process ({len(answer)} bytes, not our "
        "nonce): a second sidecar, or rules of another program, in this pod?"
    )


async def verify(
    hosts: list[str],
    nonce: bytes,
    readiness: Readiness,
    patience: float,
    port: int = constants.PROBE_PORT,
) -> None:
    """Probes until every host of `hosts` passes; says meanwhile at the latch what is missing. Warns
    once after `patience` seconds without success.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    failures, warned = 0, False
    while True:
        problems = [found for host in hosts if (found := await probe(host, nonce, port))]
        if not problems:
            return
        readiness.note(LATCH, problems[0])
        waited = loop.time() - started
        if not warned and waited > patience:
            warned = True
            log.warning("capture is not in force after %g s: %s", patience, "; ".join(problems))
        if waited < EAGER:
            await asyncio.sleep(PAUSE)
        else:
            failures += 1
            await asyncio.sleep(RETRY.delay(failures, 0.5))


def hosts(*, ipv6: bool, ipv4: bool) -> list[str]:
    """Loopback addresses to probe for the families in use."""
    return ["::1"] * ipv6 + ["127.0.0.1"] * ipv4
