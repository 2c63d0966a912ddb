"""Entry point of `stoqctl`."""

import sys

from stoqctl.app import app
from stoqctl.errors import StoqctlError


def main() -> None:
    """Runs the command line; expected failures are one line on standard error (`errors`)."""
    try:
        app()
    except StoqctlError as error:
        print(f"stoqctl: {error}", file=sys.stderr)
        sys.exit(error.status)


if __name__ == "__main__":
    main()
