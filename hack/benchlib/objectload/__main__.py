"""One end of them: see `benchlib.objectload`."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from benchlib.objectload import ends


def main() -> int:
    """Receives until it is killed, or prints what a sender measured as JSON."""
    parser = argparse.ArgumentParser(prog="benchlib.objectload", description=__doc__)
    parser.add_argument("end", choices=["receive", "send"])
    parser.add_argument("address", help="address and port, such as [fd00::1]:14008")
    parser.add_argument("folder", type=Path, help="of identities; the receiver makes them")
    parser.add_argument("--workers", type=int, default=2, help="threads (%(default)s)")
    parser.add_argument("--lanes", type=int, default=1, help="connections (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="to send for (%(default)s)")
    given = parser.parse_args()
    if given.end == "receive":
        asyncio.run(ends.receive(given.address, given.folder, given.workers))
        return 0
    figures = asyncio.run(
        ends.send(given.address, given.folder, given.workers, given.lanes, given.seconds)
    )
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
