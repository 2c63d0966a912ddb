"""stoq-gateway: the sidecar's program in another role.

It has an identity and follows the registry as a sidecar does. There is no application beside it, so
it captures nothing and answers no names; it forwards what its HopGateway says.
"""

import os
import sys
from typing import Final

from stoq_sidecar.__main__ import GATEWAY, run

ROLE: Final = {
    "STOQ_GATEWAY_ENABLED": "true",
    "STOQ_CAPTURE_MODE": "none",
    "STOQ_DNS_ENABLED": "false",
}
"""What makes the program a gateway, whatever else its environment says."""


def main() -> None:
    """Entry point of the command `stoq-gateway`."""
    sys.exit(run(sys.argv[1:], {**os.environ, **ROLE}, GATEWAY))


if __name__ == "__main__":
    main()
