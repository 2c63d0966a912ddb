"""One end of one of the two: see `benchlib.apiload`."""

import argparse
import importlib
import json
import sys
from pathlib import Path

MODULES = {"stoq": "ours", "grpc": "theirs"}


def main() -> int:
    """Runs a server until it is killed, or prints what a client measured as JSON."""
    parser = argparse.ArgumentParser(prog="benchlib.apiload", description=__doc__)
    parser.add_argument("end", choices=["server", "client"])
    parser.add_argument("library", choices=sorted(MODULES))
    parser.add_argument("address", help="address and port, such as [fd00::1]:7100")
    parser.add_argument("folder", type=Path, help="of certificates")
    parser.add_argument("--calls", type=int, default=32, help="at once (%(default)s)")
    parser.add_argument("--rate", type=float, default=1000.0, help="a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each part (%(default)s)")
    given = parser.parse_args()
    # Each needs a library that the other does not.
    module = importlib.import_module(f"benchlib.apiload.{MODULES[given.library]}")
    if given.end == "server":
        module.run_server(given.address, given.folder)
        return 0
    figures = module.run_client(given.address, given.folder, given.calls, given.rate, given.seconds)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
