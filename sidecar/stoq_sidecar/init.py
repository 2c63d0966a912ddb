"""stoq-init: programs capture in the pod's network namespace before an application starts there.

Runs as the init container behind the sidecar, uid 0 with NET_ADMIN. Applying twice is applying
once, so neither a restarted container nor a restarted pod sandbox needs care. With `--wait` it then
gives up its privileges and holds back what comes behind it until the sidecar is ready, as
stoq-ready does where there is no stoq-init: each container that ends before the application costs
one look of the kubelet (docs/decisions/0059).
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from stoq.capture import addresses, force
from stoq.capture.nft import CaptureError
from stoq.capture.plan import Plan
from stoq.capture.rules import render
from stoq.settings.options import SettingsError
from stoq_sidecar import privileges, ready
from stoq_sidecar.dns import resolv
from stoq_sidecar.privileges import PrivilegeError
from stoq_sidecar.settings import REFUSAL, Capture, read

FAILURE = 1

_WITHOUT = "the application sees this pod's address instead of the client's"

_EXAMPLES = """\
examples:
  stoq-init                                     program capture
  stoq-init --wait                              ... and wait (the init container's command)
  stoq-init --verify                            is it in force? 0 yes, 1 no
  stoq-init --print                             show the rules, change nothing
  stoq-init --undo                              remove capture
  STOQ_CAPTURE_EXCLUDE_OUTBOUND_PORTS=443,6443 stoq-init
  ip netns exec web-0 stoq-init                 on a network namespace made by hand

exit status: 0 done, 1 it could not be done, 2 arguments or settings cannot be used, 143 told to end
while it waited
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="stoq-init",
        description="Programs capture (nftables) in the network namespace it runs in.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--config", default="", help="TOML file with settings, as for stoq-sidecar")
    action = made.add_mutually_exclusive_group()
    action.add_argument("--undo", action="store_true", help="remove capture")
    action.add_argument("--verify", action="store_true", help="compare capture with the settings")
    action.add_argument(
        "--wait",
        action="store_true",
        help="program capture, give up all privileges, end once the sidecar of this pod is ready",
    )
    action.add_argument("--print", action="store_true", help="print the rules, change nothing")
    return made


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Does what the command line asks; returns the exit status."""
    options = parser().parse_args(arguments)
    if options.wait:
        ready.end_when_told()
    try:
        settings = read(options.config, environment)
        found = resolv.read(settings.dns.resolv_conf, settings.dns.nameservers)
        plan = settings.plan(found.nameservers, tuple(addresses.gateways()))
    except (SettingsError, ValueError) as error:
        _say(str(error))
        return REFUSAL
    try:
        if options.print:
            sys.stdout.write(render(plan))
        elif options.undo:
            _say("capture removed" if force.undo() else "there was no capture to remove")
        elif options.verify:
            return _verified(plan, settings.capture)
        else:
            auto = settings.capture.client_address == "auto"
            settled = force.settle(plan) if auto else force.Settled(plan, force.apply(plan))
            _say("capture is in force" + ("" if settled.changed else " already"))
            if settled.lacking:
                _say(f"{_WITHOUT}: {settled.lacking}")
            if options.wait:
                privileges.drop()
                ready.wait(_say)
    except (CaptureError, PrivilegeError) as error:
        _say(str(error))
        return FAILURE
    return 0


def _verified(plan: Plan, capture: Capture) -> int:
    problems = force.verify(plan)
    if problems and capture.client_address == "auto":
        less = force.verify(replace(plan, client_address=False))
        if not less:
            _say(f"capture is in force; {_WITHOUT}: {problems[0]}")
            return 0
    _say("\n".join(problems) or "capture is in force")
    return FAILURE if problems else 0


def _say(text: str) -> None:
    for line in text.splitlines():
        sys.stderr.write(f"stoq-init: {line}\n")


def main() -> None:
    """Entry point of the command `stoq-init`."""
    sys.exit(run(sys.argv[1:], os.environ))


if __name__ == "__main__":
    main()
