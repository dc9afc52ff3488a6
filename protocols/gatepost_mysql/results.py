"""What to do with a result's rows: found out once for the same facts and the same columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from gatepost.adapter import Hooks
from gatepost.cache import Cache
from gatepost.errors import UpstreamFault
from gatepost.values import Facts, Interest, Notice, NoticeKind, Result, Statement
from gatepost_mysql.capabilities import Capability
from gatepost_mysql.columns import Definition, Description, define, define_field, describe
from gatepost_mysql.frames import NULL, Reader, counted
from gatepost_sql.catalogue import Catalogue

# Definitions that are longer than this are not worth their memory.
_CACHED_BYTES: Final = 16 * 1024
# More columns than any server's tables or results can have.
_MAX_COLUMNS: Final = 1 << 16


def head(message: bytes, *, may_skip: bool) -> tuple[int, bool]:
    """The begin of a result: how many columns it has, and whether their definitions follow. Raises UpstreamFault.

    Args:
        may_skip: CACHE_METADATA was agreed on.
    """
    reader = Reader(message)
    columns = reader.counted_number()
    follow = reader.number(1) if may_skip else True
    reader.end()
    if not 0 < columns <= _MAX_COLUMNS:
        raise UpstreamFault("the server announced an impossible number of columns")
    if follow > 1:
        raise reader.malformed()
    return columns, bool(follow)


def alike(some: Sequence[bytes], others: Sequence[bytes], capabilities: Capability) -> bool:
    """Whether column definitions say the same, but for how long values may be. Raises UpstreamFault."""
    is_extended = bool(capabilities & Capability.EXTENDED_METADATA)
    one, other = ([define(each, is_extended=is_extended) for each in messages] for messages in (some, others))
    return [_meaning(each) for each in one] == [_meaning(each) for each in other]


def _meaning(definition: Definition) -> tuple[object, ...]:
    return definition.names, definition.extension, definition.type, definition.collation


class Plan(Struct, frozen=True):
    """What to do with a result's rows.

    Attributes:
        interest: what the plugins said of the result.
        is_watched: some of the rows may matter to a plugin.
        maybe: asked with a run of rows; false where none of them matters. None: always show them.
        definitions: the column definitions as the client may see them.
        facts: of the statements that this is for; held, so that no other facts get their identity.
    """

    description: Description
    definitions: tuple[bytes, ...]
    interest: Interest = Interest.NOTHING
    is_watched: bool = False
    maybe: Callable[[bytes], object] | None = None
    facts: Facts | None = None

    def matters(self, rows: bytes) -> bool:
        """Whether some of these rows may matter to a plugin, where any may."""
        return self.maybe is None or bool(self.maybe(rows))


class Plans:
    """The plans of a session.

    Args:
        catalogue: what the database holds, None while that is not known.
    """

    def __init__(self, hooks: Hooks, capabilities: Capability, catalogue: Callable[[], Catalogue | None]) -> None:
        self._hooks = hooks
        self._is_extended = bool(capabilities & Capability.EXTENDED_METADATA)
        self._catalogue = catalogue
        # By the identity of the facts: texts that differ in literals alone have the same.
        self._rows: Cache[tuple[int, bool, tuple[bytes, ...]], Plan] = Cache()
        self._definitions: Cache[bytes, tuple[Definition, bytes]] = Cache()

    def rows(self, statement: Statement, definitions: Sequence[bytes], *, is_binary: bool) -> Plan:
        """For the rows that these column definitions announce."""
        key = (id(statement.facts), is_binary, tuple(definitions))
        known = self._rows.get(key)
        if known is not None:
            return known
        plan = self._plan(statement, definitions, is_binary=is_binary)
        return self._rows.put(key, plan) if sum(map(len, definitions)) <= _CACHED_BYTES else plan

    def definition(self, message: bytes) -> bytes:
        """A column definition as the client may see it."""
        return self._seen(message)[1]

    def field(self, message: bytes) -> bytes:
        """A column definition with the column's default value, as the client may see it."""
        definition, default = define_field(message, is_extended=self._is_extended)
        if not self._hooks.wants_notices:
            return message
        shown = self._told("default", default) if default else default
        names = self._names(definition)
        if (names, shown) == (definition.names, default):
            return message
        return definition.with_names(names) + (NULL if shown is None else counted(shown))

    def _plan(self, statement: Statement, definitions: Sequence[bytes], *, is_binary: bool) -> Plan:
        seen = [self._seen(message) for message in definitions]
        catalogue = self._catalogue() if statement.facts.is_resolved else None
        described = [definition for definition, _ in seen]
        description = describe(described, statement.facts, catalogue, is_binary=is_binary)
        interest = Interest.NOTHING
        if self._hooks.wants_rows:
            interest = self._hooks.columns(Result(statement=statement, columns=description.columns))
        return Plan(
            description,
            tuple(message for _, message in seen),
            interest,
            is_watched=interest != Interest.NOTHING,
            maybe=None if interest.columns else interest.maybe,
            facts=statement.facts,
        )

    def _seen(self, message: bytes) -> tuple[Definition, bytes]:
        """A definition with the names that plugins leave."""
        known = self._definitions.get(message)
        if known is not None:
            return known
        definition = define(message, is_extended=self._is_extended)
        seen = definition, message
        if self._hooks.wants_notices:
            names = self._names(definition)
            if names != definition.names:
                changed = definition.with_names(names)
                seen = define(changed, is_extended=self._is_extended), changed
        return self._definitions.put(message, seen) if len(message) <= _CACHED_BYTES else seen

    def _names(self, definition: Definition) -> tuple[bytes, ...]:
        return (definition.names[0], *(name and self._told("name", name) for name in definition.names[1:]))

    def _told(self, what: str, text: bytes) -> bytes:
        notice = Notice(NoticeKind.COLUMN, {what: text.decode("utf-8", "replace")})
        self._hooks.notice(notice)
        return notice.fields[what].encode()
