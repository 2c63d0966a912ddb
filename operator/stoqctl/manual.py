"""docs/stoqctl.md, from the command line itself: `python -m stoqctl.manual > docs/stoqctl.md`."""

import inspect
from collections.abc import Iterator
from typing import Any, Final

import typer
from typer.main import get_command

from stoqctl.app import app

HEAD: Final = """\
# stoqctl

Looks at a mesh, checks it and changes it. Installed beside kubectl it is also `kubectl stoq`. This
page is made from the program's own help, by `python -m stoqctl.manual`, and a test compares them.

Which cluster is meant: as for kubectl, by `--kubeconfig`, `--context`, `KUBECONFIG` or
`~/.kube/config`. `check`, `status` and `records` without a pod ask the cluster when one is
configured, and else the sidecar of this machine; `--netns`, `--admin`, `--store` and `--state` are
for a mesh without Kubernetes ([operations](operations.md)). Sidecars of pods are asked through the
API server's port forwarding, so the user needs the right to create `pods/portforward`.

`--json` prints one object. `stoqctl --install-completion` adds completion to the shell.

| exit status | |
|---|---|
| 0 | done, or nothing is wrong |
| 1 | it could not be done, something is wrong, or the answer is no |
| 2 | the command line is wrong |
| 3 | no API server answers |
"""


def manual() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_commands(get_command(app), "stoqctl")])


def _commands(command: Any, path: str) -> Iterator[str]:
    for name, found in command.commands.items():
        if hasattr(found, "commands"):
            yield from _commands(found, f"{path} {name}")
        else:
            yield from _command(found, f"{path} {name}")


def _command(command: Any, path: str) -> Iterator[str]:
    context = typer.Context(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"## {path}\n"
    yield f"`{path} {usage}`\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    yield "| | |\n|---|---|"
    for parameter in command.params:
        row = parameter.get_help_record(context)
        if row is not None:
            names, text = (" ".join(part.split()) for part in row)
            yield f"| `{names}` | {text.replace('<', '&lt;')} |"
    examples = [line for line in (command.epilog or "").split("\n") if line.strip()][1:]
    yield "\n```sh\n" + "\n".join(examples) + "\n```\n"


if __name__ == "__main__":
    print(manual(), end="")
