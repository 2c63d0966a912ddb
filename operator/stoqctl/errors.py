"""What the user is told when something expected goes wrong."""


class StoqctlError(Exception):
    """The command can not do what was asked; the text says why and what to do."""
