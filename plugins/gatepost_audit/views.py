"""What the commands print."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from gatepost import Shown
from gatepost.log import visible
from gatepost_audit.render import put_fields, put_json, put_line, put_table, when
from gatepost_audit.search import Found
from gatepost_audit.segment import Place
from gatepost_audit.verify import Report


def put_found(found: Iterable[Found], columns: Sequence[str], as_json: bool) -> None:
    """A table of these columns, or all in JSON."""
    if as_json:
        for each in found:
            put_json(each)
    else:
        put_table(columns, ([_cell(each[column]) for column in columns] for each in found))


def put_statements(found: Iterable[Found], as_json: bool) -> None:
    rows = found if as_json else ({**each, "outcome": outcome(each)} for each in found)
    put_found(rows, ("time", "id", "identity", "target", "effect", "verdict", "outcome", "text"), as_json)


def put_changes(found: Iterable[Found], as_json: bool) -> None:
    rows = found if as_json else ({**each, "outcome": "" if each["done"] else "not done"} for each in found)
    put_found(rows, ("time", "who", "action", "name", "detail", "outcome"), as_json)


def outcome(statement: Found) -> str:
    """In a few words."""
    if statement["verdict"] == "deny":
        return "denied"
    if statement["ran"] is None:
        return "no end recorded"
    if not statement["ran"]:
        return "not run"
    if statement["error"]:
        return f"error {statement['error']}"
    is_kept = statement["stop"] > statement["start"] or not statement["bytes"]
    return (
        f"{statement['rows']} rows" + ("" if statement["complete"] else ", cut off") + ("" if is_kept else ", not kept")
    )


def put_session(session: Found, statements: Iterable[Found], as_json: bool) -> None:
    if as_json:
        put_json({**session, "statements": list(statements)})
        return
    put_fields((name, _cell(value)) for name, value in session.items())
    put_line("")
    put_statements(statements, as_json)


def put_statement(statement: Found, answer: Iterable[Shown], as_json: bool) -> None:
    if as_json:
        put_json({**statement, "answer": [_shown(each) for each in answer]})
        return
    put_fields((name, _cell(value)) for name, value in statement.items())
    put_line("")
    for each in answer:
        put_line(shown_line(each))


def put_replay(steps: Iterable[Found | Shown], as_json: bool) -> None:
    for step in steps:
        if isinstance(step, Shown):
            if as_json:
                put_json({"event": "shown", **_shown(step)})
            else:
                put_line("    " + shown_line(step))
        elif as_json:
            put_json({"event": "asked", **step})
        else:
            put_line(f"{step['time']} #{step['number']} {step['verdict']} ({outcome(step)}): {visible(step['text'])}")
            for number, bind in enumerate(step["binds"], 1):
                put_line(f"    ${number} = {'NULL' if bind is None else visible(', '.join(bind))}")
            for name, value in step["attributes"]:
                put_line(f"    {visible(name)} = {'NULL' if value is None else visible(', '.join(value))}")
            if step["verdict"] != "allow":
                put_line(f"    {visible(step['plugin'])} {visible(step['rule'])}: {visible(step['reason'])}")


def shown_line(shown: Shown) -> str:
    return f"{shown.kind}: " + " | ".join("NULL" if cell is None else visible(cell) for cell in shown.cells)


def put_report(report: Report, as_json: bool) -> None:
    assert report.end is not None
    if as_json:
        found: dict[str, Any] = msgspec.structs.asdict(report)
        del found["end"]
        last, digest = report.end.sequence - 1, report.end.head.hex()
        put_json({**found, "since": when(report.since), "last": last, "head": digest, "sound": True})
        return
    for note in report.notes:
        put_line(f"Note: {note}")
    put_line(
        f"Sound: {report.entries} entries in {report.segments} segments since {when(report.since)}, "
        f"{report.checkpoints} signed checkpoints, {report.unsigned} entries after the last of them."
    )
    put_line(f"Head: {head(report.end)}")


def head(end: Place) -> str:
    """The chain's head as a person keeps it: the number of the last entry, and the digest."""
    return f"{end.sequence - 1}:{end.head.hex()}"


def _shown(shown: Shown) -> dict[str, Any]:
    return {"kind": shown.kind, "cells": list(shown.cells)}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
