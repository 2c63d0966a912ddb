"""`stoq-control`: certificate authority, registry and socket broker in one process, on files."""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from stoq import program
from stoq.settings.options import FILE_VARIABLE, SettingsError, describe
from stoq_operator import join
from stoq_operator.ca import Ca
from stoq_operator.filestate import ROTATE_FILE, FileRoots
from stoq_operator.kept import StateError
from stoq_operator.onfiles import serve
from stoq_operator.settings import Settings, read
from stoq_operator.state import StateDirectory

log: Final = logging.getLogger("stoq.control")

REFUSED: Final = 2
"""Exit status for flags, settings and requests that can not be."""

FAILED: Final = 1
"""Exit status for what the machine refuses."""

EXAMPLES: Final = """\
examples:
  stoq-control --store ./store --state ./state --bundle ./bundle.pem --listen '[fd00::1]:14012'
  stoq-control join-token shop/web-0 --store ./store --address fd00::2 --output ./web-0.token
  stoq-control rotate-root --state ./state
  stoq-control make-root --state ./root --trust-domain cluster.local
  stoq-control settings
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    flags = _parser().parse_args(arguments)
    try:
        settings = read(flags.config, os.environ, vars(flags))
        return _COMMANDS[flags.command or "serve"](flags, settings)
    except (SettingsError, join.JoinError) as error:
        print(f"stoq-control: {error}", file=sys.stderr)
        return REFUSED
    except (StateError, OSError) as error:
        print(f"stoq-control: {error}", file=sys.stderr)
        return FAILED


def _serve(_flags: argparse.Namespace, settings: Settings) -> int:
    program.until_told(partial(serve, settings), settings, log)
    return 0


def _join_token(flags: argparse.Namespace, settings: Settings) -> int:
    namespace, slash, name = flags.workload.partition("/")
    if not slash:
        raise join.JoinError(f"{flags.workload!r} is no workload; write <namespace>/<name>")
    token = join.issue(
        Path(settings.store.directory),
        namespace,
        name,
        addresses=flags.address,
        service_account=flags.service_account,
        netns=flags.netns,
        output=Path(flags.output) if flags.output else None,
    )
    if not flags.output:
        print(token)
    return 0


def _rotate_root(_flags: argparse.Namespace, settings: Settings) -> int:
    state = StateDirectory(Path(settings.state.directory))
    state.write(ROTATE_FILE, b"")
    print("a new root is made within a second; it signs a day later, see the log")
    return 0


def _make_root(_flags: argparse.Namespace, settings: Settings) -> int:
    state = StateDirectory(Path(settings.state.directory))
    roots = FileRoots(state)
    if roots.roots:
        raise StateError(f"{state.path}/ca has a root already; choose another --state")
    made = Ca(settings.mesh.trust_domain, settings.mesh.profile).advanced(
        int(time.time()), 0, wanted=False
    )
    asyncio.run(roots.keep(made))
    print(f"{state.path}/ca has the root of {settings.mesh.trust_domain}, {settings.mesh.profile}")
    return 0


def _settings(_flags: argparse.Namespace, _settings: Settings) -> int:
    print(f"{FILE_VARIABLE}: a TOML file with tables of these options")
    for variable, default, expects, why in describe(Settings):
        print(f"{variable} (default {default or 'empty'}): {expects}\n    {why}")
    return 0


_COMMANDS: Final = {
    "serve": _serve,
    "join-token": _join_token,
    "rotate-root": _rotate_root,
    "make-root": _make_root,
    "settings": _settings,
}


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--config", metavar="FILE", help="TOML file (STOQ_CONFIG_FILE)")
    common.add_argument("--store", metavar="DIR", help="YAML manifests (STOQ_STORE_DIRECTORY)")
    common.add_argument("--state", metavar="DIR", help="keys and ledger (STOQ_STATE_DIRECTORY)")
    common.add_argument("--bundle", metavar="FILE", help="written roots (STOQ_STATE_BUNDLE)")
    common.add_argument("--listen", metavar="ADDR", help="UDP endpoint (STOQ_LISTEN_ADDRESS)")
    common.add_argument("--metrics", metavar="ADDR", help="HTTP endpoint (STOQ_LISTEN_METRICS)")
    common.add_argument(
        "--trust-domain", metavar="NAME", help="without a MeshConfig (STOQ_MESH_TRUST_DOMAIN)"
    )
    common.add_argument("--log-level", metavar="LEVEL", help="(STOQ_LOG_LEVEL)")
    parser = argparse.ArgumentParser(
        prog="stoq-control",
        parents=[common],
        description="Registry, certificate authority and socket broker of a mesh on one machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(config="")
    commands = parser.add_subparsers(dest="command", metavar="command", help="default: serve")
    commands.add_parser("serve", parents=[common], help="run until SIGTERM")
    token = commands.add_parser(
        "join-token",
        parents=[common],
        help="make a token for a workload and store its hash",
        description="Writes the SHA-256 of a fresh token to the workload's manifest, which is made "
        "if there is none; prints the token, or writes it to a file that only its owner can read.",
    )
    token.add_argument("workload", help="<namespace>/<name>")
    token.add_argument("--address", action="append", default=[], help="of a new workload; repeat")
    token.add_argument("--service-account", default="default", help="of a new workload")
    token.add_argument("--netns", default="", help="path, for the socket broker, of a new workload")
    token.add_argument("--output", metavar="FILE", help="where the token goes")
    commands.add_parser("rotate-root", parents=[common], help="have a new root made")
    commands.add_parser(
        "make-root",
        parents=[common],
        help="make the first root without a mesh",
        description="Writes a new root, its key and its certificate to ca/ of --state, for the "
        "Secret stoq-ca of a cluster or for a control process to begin with. STOQ_MESH_PROFILE "
        "chooses its algorithms. Serves nothing and needs no network.",
    )
    commands.add_parser("settings", parents=[common], help="list all options")
    return parser


if __name__ == "__main__":
    sys.exit(main())
