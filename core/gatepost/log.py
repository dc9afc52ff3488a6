"""gatepost's log: one line an event on standard error, as text or JSON, with nothing in it that may not rest."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable

from gatepost.errors import Fault, describe


class _Line(logging.Formatter):
    def __init__(self, as_json: bool, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._as_json = as_json
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        try:
            text = self._redact(record.getMessage())
        except Fault as fault:
            text = f"(withheld: {fault})"
        if record.exc_info and record.exc_info[1] is not None:
            text += f" ({describe(record.exc_info[1])})"
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
        level = record.levelname.lower()
        if self._as_json:
            return json.dumps({"time": at, "level": level, "logger": record.name, "message": text})
        return f"{at} {level:<7} {record.name}: {visible(text)}"


def visible(text: str) -> str:
    """The text with control, format and invisible characters as escapes: one line that drives no terminal."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def configure(form: str, redact: Callable[[str], str]) -> None:
    """Send gatepost's log, warnings and worse of everything else, to standard error.

    Args:
        form: "text" or "json".
        redact: applied to each message; if it fails, the message is withheld.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line(form == "json", redact))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gatepost").setLevel(logging.INFO)
