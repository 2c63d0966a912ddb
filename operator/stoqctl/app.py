"""The command line: every verb registered, nothing else."""

import typer

from stoqctl.verbs import check, connections, identity, records, revoke, status

app = typer.Typer(
    name="stoqctl",
    help="Look at a STOQ mesh: sidecars, identities, connections, records.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

for _verb in (status, connections, identity, records, revoke, check):
    app.command(_verb.__name__.rpartition(".")[2], epilog=_verb.EXAMPLES)(_verb.run)
