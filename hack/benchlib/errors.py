"""Errors that end a benchmark with one line instead of a traceback."""


class BenchError(Exception):
    """Something the user can mend: a wrong option, a missing tool, a peer that did not start."""
