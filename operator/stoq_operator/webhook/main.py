"""`stoq-webhook`: the command line of the admission webhook."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

from stoq import program
from stoq.settings.options import SettingsError, describe
from stoq_kube.apiserver import ApiError
from stoq_kube.kube import ApiServer
from stoq_operator.webhook.followed import Cluster
from stoq_operator.webhook.process import serve
from stoq_operator.webhook.settings import Settings, read

log: Final = logging.getLogger("stoq.webhook")

REFUSED: Final = 2
"""Exit status for flags and settings that can not be."""

FAILED: Final = 1
"""Exit status for what machine or cluster refuse."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    _parser().parse_args(arguments)
    try:
        settings = read(os.environ)
        program.until_told(partial(_connected, settings), settings, log)
    except SettingsError as error:
        print(f"stoq-webhook: {error}", file=sys.stderr)
        return REFUSED
    except (ApiError, OSError) as error:
        print(f"stoq-webhook: {error}", file=sys.stderr)
        return FAILED
    return 0


async def _connected(settings: Settings, stop: asyncio.Event) -> None:
    client = ApiServer()
    try:
        await serve(settings, Cluster(client), stop, client.run())
    finally:
        await client.close()


def _parser() -> argparse.ArgumentParser:
    options = "\n".join(
        f"  {variable} (default {default or 'empty'}): {expects}"
        for variable, default, expects, _ in describe(Settings)
    )
    return argparse.ArgumentParser(
        prog="stoq-webhook",
        description="The admission webhook that adds the mesh's containers to pods.",
        epilog=f"settings:\n{options}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


if __name__ == "__main__":
    sys.exit(main())
