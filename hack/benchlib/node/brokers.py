"""The broker of pods whose sidecars wait for one, as the node agent keeps it. Its arguments: what
it lends of their interfaces (`off`, `copy`, `zero-copy`), and their network namespaces.

It serves until SIGTERM. Sidecars ask again until it is there.
"""

import asyncio
import sys
from collections.abc import Sequence

from stoq import constants
from stoq.broker.keeper import Keeper
from stoq.broker.server import Pod
from stoq.capture.plan import Plan
from stoq_node.lending import lender


def pods(namespaces: Sequence[str]) -> dict[str, Pod]:
    """What a keeper is told, by the names of namespaces."""
    return {
        name: Pod(name, "bench", f"/run/netns/{name}", Plan(client_address=True))
        for name in namespaces
    }


async def serve(mode: str, namespaces: Sequence[str]) -> None:
    """Until it is cancelled."""
    keeper = Keeper("stoq-bench", constants.SIDECAR_UID, lender=lender(mode))
    keeper.update(pods(namespaces))
    await keeper.run()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2:]))
