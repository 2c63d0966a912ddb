"""The command line: every verb registered, nothing else."""

import typer

from stoqctl.verbs import (
    adapt,
    bugreport,
    check,
    connections,
    identity,
    inject,
    logs,
    policy,
    probe,
    records,
    revoke,
    rotate,
    status,
    uninstall,
    upgrade,
)

app = typer.Typer(
    name="stoqctl",
    help="Look at a STOQ mesh, check it and change it. Also `kubectl stoq`.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

for _verb in (
    check,
    status,
    records,
    connections,
    adapt,
    identity,
    probe,
    logs,
    inject,
    rotate,
    revoke,
    upgrade,
    uninstall,
    bugreport,
):
    app.command(_verb.__name__.rpartition(".")[2], epilog=_verb.EXAMPLES)(_verb.run)
app.add_typer(policy.app)
