"""Log records as lines on standard error, for people or for collectors."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

TRACE: Final = 5

LEVELS: Final = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
"""Names of levels, as the engine has them, to Python's."""


class _Lines(logging.Formatter):
    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        level = record.levelname.lower().replace("warning", "warn")
        if self._as_json:
            fields = {"time": moment, "level": level, "target": record.name, "message": message}
            return json.dumps(fields, ensure_ascii=False)
        return f"{moment} {level:5} {record.name}: {message}"


def configure(level: str, shape: str) -> None:
    """Sends all records of `level` and above to standard error, as `text` or `json`."""
    logging.addLevelName(TRACE, "TRACE")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(as_json=shape == "json"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)


def set_level(level: str) -> None:
    """Changes the level at run time. Raises KeyError for a name that is none of `LEVELS`."""
    logging.getLogger().setLevel(LEVELS[level])
