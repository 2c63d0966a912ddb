"""stoq-sidecar: the agent of one pod.

Its pages listen before the larger part of the program is loaded: a kubelet that asks meanwhile
waits for its answer, where one that was refused would ask again seconds later and the pod would be
out of its Services for as long.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from stoq import logs
from stoq.capture import addresses
from stoq.settings.options import SettingsError, describe, dump
from stoq_sidecar import listeners
from stoq_sidecar.settings import REFUSAL, Settings, read, required

log = logging.getLogger("stoq.main")

FAILURE: Final = 1

SIDECAR: Final = "stoq-sidecar"
GATEWAY: Final = "stoq-gateway"

DESCRIPTIONS: Final = {
    SIDECAR: "Carries a pod's TCP connections over STOQ.",
    GATEWAY: "Carries connections of others to where there is no route, and cannot read them.",
}

_EXAMPLES = """\
examples:
  stoq-sidecar                                  run with settings from the environment
  stoq-sidecar --config /etc/stoq/sidecar.toml  ... and from a file; the environment wins
  stoq-sidecar --check                          are the settings right? show them and end
  stoq-sidecar --variables                      every setting, its default and its reason
  curl -s '[::1]:14000/connections'             who talks to us, and what was negotiated
  curl -s '[::1]:14020/healthz/ready'           what still blocks
  kill -HUP <pid>                               reload: log level, bundle, token, a new SVID

exit status: 0 ended as told, 1 could not run, 2 settings cannot be used
"""


def parser(program: str = SIDECAR) -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog=program,
        description=DESCRIPTIONS[program],
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--config", default="", help="TOML file with settings")
    action = made.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="show the settings and end")
    action.add_argument("--variables", action="store_true", help="list every setting and end")
    return made


def run(arguments: Sequence[str], environment: Mapping[str, str], program: str = SIDECAR) -> int:
    """Does what the command line of `program` asks; returns the exit status."""
    options = parser(program).parse_args(arguments)
    if options.variables:
        for variable, default, expects, why in describe(Settings):
            sys.stdout.write(f"{variable}={default}\n    {expects}; {why}\n")
        return 0
    again = partial(checked, options.config, environment)
    try:
        settings = again()
    except (SettingsError, ValueError) as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"{program}: {line}\n")
        return REFUSAL
    if options.check:
        sys.stdout.write("\n".join(lines(settings)) + "\n")
        return 0
    logs.configure(settings.log.level, settings.log.format)
    for line in lines(settings):
        log.info("setting %s", line)
    try:
        pages = listeners.pages(ipv6=addresses.ipv6_available())
    except OSError as failure:
        return _cannot_run(failure)
    return _serve(settings, pages, again)


def checked(config: str, environment: Mapping[str, str]) -> Settings:
    """Settings that a sidecar can run with. Raises SettingsError."""
    settings = read(config, environment)
    settings.plan()
    problems = required(settings)
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def lines(settings: Settings) -> list[str]:
    """Every setting as `group.option = value`. None of them is a secret."""
    return [
        f"{group}.{name} = {value}"
        for group, options in dump(settings).items()
        for name, value in options.items()
    ]


def _serve(settings: Settings, pages: listeners.Pages, again: partial[Settings]) -> int:
    import asyncio

    from stoq_sidecar.app import App, StartError

    async def serve() -> None:
        app = App(settings, pages)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, app.stop)
        loop.add_signal_handler(signal.SIGHUP, app.reload, again)
        await app.run()

    try:
        asyncio.run(serve())
    except (StartError, OSError, ValueError) as failure:
        return _cannot_run(failure)
    return 0


def _cannot_run(why: Exception) -> int:
    log.error("cannot run: %s", why)
    return FAILURE


def main() -> None:
    """Entry point of the command `stoq-sidecar`."""
    sys.exit(run(sys.argv[1:], os.environ))


if __name__ == "__main__":
    main()
