"""What is wrong with a record, so that its author can mend it."""

from typing import Final

MAX_SHOWN: Final = 80
"""Characters of a value that a message repeats."""


class RecordError(ValueError):
    """`field` has a value that breaks a rule; `hint` says what would be right."""

    def __init__(self, field: str, value: object, hint: str) -> None:
        shown = "missing" if value is MISSING else repr(value)
        if len(shown) > MAX_SHOWN:
            shown = shown[: MAX_SHOWN - 1] + "…"
        super().__init__(f"{field} is {shown}: {hint}")
        self.field = field
        self.value = value
        self.hint = hint


class _Missing:
    """A field that is not there at all."""


MISSING: Final = _Missing()
