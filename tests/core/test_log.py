"""The log: lines that whoever reads them can trust."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from gatepost import log


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """The process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_that_is_logged_drives_a_terminal_or_begins_a_line(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure(form, lambda text: text)
    logging.getLogger("gatepost.tests").error("from %s", "\x1b]0;owned\x07\r\n\u202e\udc80 é")
    line = capsys.readouterr().err
    assert "owned" in line
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert "é" in (json.loads(line)["message"] if form == "json" else line)
