"""PostgreSQL's text to `Facts`, by PostgreSQL's own grammar (libpg_query, through postgast).

The parse tree comes as JSON: nested plain objects, which are several times cheaper to make and to walk than messages.
A node of a kind that is not known here makes the statement UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec
from postgast import PgQueryError, fingerprint, pg_query_pb2
from postgast.errors import check_error
from postgast.native import lib

from gatepost.values import Effect, Facts
from gatepost_sql.walk import Walk

Node: TypeAlias = dict[str, Any]

# Longer texts are not parsed.
MAX_BYTES: Final = 32 << 10

_decode = msgspec.json.Decoder().decode


def judge(text: str) -> Facts:
    """The facts of `text`; never raises."""
    try:
        statements = parse(text)
        if not statements:
            return Facts(effect=Effect.READ, statements=0)
        return Walk(statements).facts(fingerprint(text).hex)
    except PgQueryError:
        return _unknown("PostgreSQL's grammar does not accept the text")
    except RecursionError:
        return _unknown("the statement is nested too deeply")
    except ValueError as error:
        return _unknown(str(error))


def parse(text: str) -> list[Node]:
    """The statements' parse nodes.

    Raises PgQueryError for what the grammar refuses, RecursionError for what is nested too deeply, and ValueError,
    with a text that quotes nothing, for what is not parsed at all.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text is not valid Unicode") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"the text is longer than {MAX_BYTES} bytes")
    if b"\0" in data:
        raise ValueError("the text holds a NUL")
    result = lib.pg_query_parse(data)
    try:
        check_error(result)
        tree = _decode(result.parse_tree)
    except msgspec.DecodeError:
        raise ValueError("the parse tree cannot be read") from None
    finally:
        lib.pg_query_free_parse_result(result)
    return [raw["stmt"] for raw in tree.get("stmts", ())]


def _unknown(reason: str) -> Facts:
    return Facts(effect=Effect.UNKNOWN, verbs=("unknown",), reason=reason)
