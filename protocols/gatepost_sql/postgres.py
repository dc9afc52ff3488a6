"""PostgreSQL's text to `Facts`, by PostgreSQL's own grammar (libpg_query, through postgast).

The grammar takes text as a server does whose `standard_conforming_strings` is on. A text that would do something else
with that off is UNKNOWN.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from msgspec.structs import replace

from gatepost.values import Effect, Facts
from gatepost_sql import bounds, readings, tree
from gatepost_sql.catalogue import Catalogue
from gatepost_sql.errors import NotAccepted, NotUnderstood
from gatepost_sql.glance import at_a_glance, has_integers
from gatepost_sql.names import Names
from gatepost_sql.remembered import Remembered
from gatepost_sql.tree import Node
from gatepost_sql.walk import Walk

# Of texts that are longer, or have more brackets, the normal form costs more than it saves.
_FORM_BYTES: Final = 4096
_FORM_BRACKETS: Final = 100

# Trees of texts up to this length have few objects.
_FEW_OBJECTS: Final = 512

_NOTHING: Final[Mapping[str, Facts]] = {}

_may_not_limit = re.compile(rb"null|all|\$").search

# Facts by the text with its constants replaced by parameters, for statements whose constants do not matter; and by what
# such a text is at a glance, if all of its integers are constants.
_forms: Final = Remembered()


def judge(text: str, names: Names | None = None, prepared: Mapping[str, Facts] = _NOTHING) -> Facts:
    """The facts of `text`, from those of a text that differs in literals only where there are any. Never raises.

    Args:
        names: what names stand for; None: nothing but the text tells.
        prepared: what EXECUTE runs, by name.
    """
    if len(text) <= _FEW_OBJECTS:
        return _judge(text, names, prepared)
    with _collector_paused():
        return _judge(text, names, prepared)


def preparation(text: str, names: Names | None = None) -> tuple[str, Facts] | None:
    """The name and the facts of the statement that a text prepares; None if it does not, or does something else too."""
    try:
        (statement,) = tree.parse(bounds.encode(text))
        prepared = statement["PrepareStmt"]
        return prepared["name"], _found([prepared["query"]], names, "")
    except (NotUnderstood, RecursionError, AttributeError, LookupError, TypeError, ValueError):
        return None


def names_of(catalogue: Catalogue, search_path: tuple[str, ...] | None, database: str, has_temporary: bool) -> Names:
    """What names stand for in a session; arguments as in `Context`."""
    return Names(catalogue, search_path, database, has_temporary, lambda parsed, names: _found(parsed, names, ""))


def _found(statements: list[Node], names: Names | None, fingerprint: str) -> Facts:
    return Walk(statements, names).facts(fingerprint)


def _judge(text: str, names: Names | None, prepared: Mapping[str, Facts]) -> Facts:
    forms = _forms if names is None else names.forms
    glance = at_a_glance(text)
    known = forms.get(glance)
    if known is not None:
        return known
    try:
        data = bounds.encode(text)
        form = _normal_form(data)
        known = forms.get(form)
        if known is not None:
            _remember(forms, glance, form, known)
            return known
        statements = tree.parse(data)
        if not statements:
            return Facts(effect=Effect.READ, statements=0)
        walk = Walk(statements, names, prepared)
        facts = walk.facts(tree.fingerprint(data))
        other = readings.escaping(text) if "\\" in text else None
        if other is not None and not _is_alike(facts, _judge(other, names, prepared)):
            return _unknown("what it does depends on standard_conforming_strings")
    except NotAccepted as error:
        return replace(_unknown(str(error)), columns=frozenset())
    except NotUnderstood as error:
        return _unknown(str(error))
    except RecursionError:
        return _unknown("the statement is nested too deeply")
    except (AttributeError, LookupError, TypeError, ValueError):
        return _unknown("its parse tree has a shape that is not known")
    if form and not walk.literals_matter:
        _remember(forms, glance, form, facts)
    return facts


def _remember(forms: Remembered, glance: str, form: bytes, facts: Facts) -> None:
    """Keep the facts by a text's normal form; by what it is at a glance where others like it have the same form."""
    forms.put(form, facts)
    if glance and not has_integers(form.decode()):
        forms.put(glance, facts)


def _normal_form(data: bytes) -> bytes:
    """A text with parameters for its constants, or b"" where that is not worth its price or could hide a difference.

    A LIMIT of NULL or of a parameter is none, and looks the same there.

    Raises NotUnderstood for what the grammar does not accept.
    """
    if len(data) > _FORM_BYTES or data.count(b"(") > _FORM_BRACKETS or b"\\" in data:
        return b""
    lower = data.lower()
    if (b"limit" in lower or b"fetch" in lower) and _may_not_limit(lower):
        return b""
    return tree.normalize(data)


def _unknown(reason: str) -> Facts:
    """What can be any statement, and touch any column."""
    return Facts(effect=Effect.UNKNOWN, verbs=("unknown",), columns=frozenset("*"), reason=reason)


def _is_alike(one: Facts, other: Facts) -> bool:
    return replace(one, fingerprint="") == replace(other, fingerprint="")


@contextmanager
def _collector_paused() -> Iterator[None]:
    """No search for cycles meanwhile: it would look again and again at a large tree that lives for a moment."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
