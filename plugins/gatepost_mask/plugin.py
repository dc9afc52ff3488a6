"""The plugin: what is masked for whom, and what is refused."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

import gatepost
from gatepost import Deny, Effect, Facts, Interest, Notice, Result, RowBatch, Session, Statement
from gatepost_mask.alphabet import suspicious
from gatepost_mask.detect import mask
from gatepost_mask.display import MARK, REMOVED, Display
from gatepost_mask.errors import hide_values
from gatepost_mask.prefilter import maybe_text
from gatepost_mask.ranges import ranges
from gatepost_mask.rows import LINES, Plan, mask_rows, plan
from gatepost_mask.tags import Tag, TaggedColumn, Tags, reads_anything

# What this plugin shows of a card number, in one piece or in groups, and of what it removes.
_MASK: Final = re.compile(
    r"\*{8,}[0-9]{4}(?![0-9])|[0-9]{6}\*{5,9}[0-9]{4}(?![0-9])|(?:[0-9*]{2}\*{2}[ .-]){2,}[0-9]{4}"
)
_AMID_DIGITS: Final = "copy_to_digits"
_COPIES: Final = frozenset(("copy_to", "copy_to_binary", _AMID_DIGITS))
# What runs or reads a query later, when its text is no longer there to tell what its columns are; and what runs a
# program, which may tell values in notices and errors.
_DEFERRED: Final = frozenset(("declare", "prepare", "do"))
# What can quote any value of the statement before.
_QUOTING: Final = "show_warnings"
# What may be any statement.
_UNREAD: Final = "unknown"


class MaskConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[plugins.mask]`.

    Attributes:
        roles: what a role sees of a card number. Of an identity's roles the one that is first here
            counts; an identity with none of them sees the last four digits.
        columns: columns that hold card numbers, other cardholder data or sensitive authentication data.
        may_filter: roles that may filter, join, sort and group by card numbers and sensitive authentication
            data, which lets them find out values that they are not shown. Those that are `clear` may anyway.
    """

    roles: dict[str, Display] = {}
    columns: tuple[TaggedColumn, ...] = ()
    may_filter: tuple[str, ...] = ()


class Mask:
    """Masks card numbers wherever text leaves for a client or comes to rest.

    An identity whose role is `clear` sees card numbers; that it did is on record with its name and roles (the
    audit plugin). Sensitive authentication data leaves for nobody (PCI DSS 3.3.1).
    """

    Config = MaskConfig

    def __init__(self, config: MaskConfig) -> None:
        self._roles = config.roles
        self._tags = Tags(config.columns)
        self._may_filter = frozenset(config.may_filter)
        # The tables are made now, not at the first row.
        ranges()
        suspicious()

    @gatepost.hookimpl
    def on_statement(self, session: Session, statement: Statement) -> Deny | None:
        facts = statement.facts
        if facts.effect is not Effect.READ and _writes_mask(statement):
            return Deny(
                reason="The statement writes a value that was masked, in the place of the real one.",
                rule="mask.written_back",
                hint="Leave the masked column out of the statement, or copy it within the database.",
            )
        if _AMID_DIGITS in facts.verbs and self._display(session) is not Display.CLEAR:
            return Deny(
                reason="The COPY writes digits between values or into them, which takes card numbers apart.",
                rule="mask.copy",
                hint="Use another DELIMITER, QUOTE or ESCAPE than a digit.",
            )
        if self._tags and self._is_blind(facts, self._display(session)):
            if _UNREAD in facts.verbs:
                return Deny(
                    reason="The statement cannot be read, so it may show tagged columns in another form.",
                    rule="mask.columns",
                    hint="Check its syntax, or write it in a plainer or shorter way, with columns by name.",
                )
            if _QUOTING in facts.verbs:
                return Deny(
                    reason="Warnings can quote values of tagged columns.",
                    rule="mask.columns",
                    hint="Do without them: an error is told at once, and a result tells how many warnings there are.",
                )
            return Deny(
                reason="The statement reads tagged columns in a way that does not tell which values are theirs.",
                rule="mask.columns",
                hint="Use a SELECT of its own, and name the columns that you need.",
            )
        if facts.may_hide and not self._tags.every <= _shown(self._display(session)):
            return Deny(
                reason="The statement names views, functions or other things that may have come to show tagged columns "
                "under other names, and gatepost does not know the database's catalogue at present.",
                rule="mask.catalogue",
                hint="Try again in a moment; in a transaction that has defined something, commit it first.",
            )
        if self._tags and self._is_oracle(facts, session):
            return Deny(
                reason="The statement filters, joins, sorts or groups by a column whose values this role is not shown.",
                rule="mask.may_filter",
                hint="Leave that column out of WHERE, JOIN, ORDER BY, GROUP BY, DISTINCT, CASE and the like, or choose "
                "rows by another one, such as an id. Call functions that act on the session apart from it.",
            )
        return None

    @gatepost.hookimpl
    def on_columns(self, session: Session, result: Result) -> Interest:
        if result.is_copy and result.columns[0].is_text:
            return LINES
        return plan(result.columns, self._tags.treatments(result))

    @gatepost.hookimpl
    def on_rows(self, session: Session, batch: RowBatch, interest: Interest) -> None:
        found = interest if isinstance(interest, Plan) else plan(batch.columns)
        mask_rows(batch, found, self._display(session))

    @gatepost.hookimpl
    def on_notice(self, session: Session, notice: Notice) -> None:
        if self._tags and session.identity is not None:
            hide_values(notice)
        display = self._display(session)
        for name, text in notice.fields.items():
            if maybe_text(text):
                notice.fields[name] = mask(text, display)

    @gatepost.hookimpl
    def may_rest(self, session: Session) -> bool:
        """What a role sees in clear is not written down (PCI DSS 3.5.1); that it may see it is."""
        return self._display(session) is not Display.CLEAR

    @gatepost.hookimpl
    def on_store(self, text: str) -> str:
        return mask(text, Display.LAST4) if maybe_text(text) else text

    def _display(self, session: Session) -> Display:
        roles = session.identity.roles if session.identity else ()
        return next((display for role, display in self._roles.items() if role in roles), Display.LAST4)

    def _is_blind(self, facts: Facts, display: Display) -> bool:
        """Whether tagged values that this role may not see would come without their columns."""
        verbs = frozenset(facts.verbs)
        # A setting may be given any value that the statement touches, and be shown later.
        keeps = any(value is None for _, value in facts.settings)
        if _QUOTING in verbs:
            tags = self._tags.every
        elif keeps:
            tags = self._tags.touched(facts)
        elif verbs.isdisjoint(_COPIES | _DEFERRED) and _UNREAD not in verbs and not reads_anything(facts):
            return False
        else:
            tags = self._tags.read(facts)
        return not tags <= _shown(display)

    def _is_oracle(self, facts: Facts, session: Session) -> bool:
        """Whether answers would tell hidden values by which rows come, in what order, or in which groups."""
        if _GUESSABLE.isdisjoint(self._tags.deciding(facts)):
            return False
        roles = session.identity.roles if session.identity else ()
        return self._may_filter.isdisjoint(roles) and self._display(session) is not Display.CLEAR


# Digits, which answers of yes and no find out one by one.
_GUESSABLE: Final = frozenset({Tag.PAN, Tag.SAD})
_SHOWN_IN_CLEAR: Final = frozenset(Tag) - {Tag.SAD}


def _shown(display: Display) -> frozenset[Tag]:
    """The tags of the columns that are shown as they are."""
    return _SHOWN_IN_CLEAR if display is Display.CLEAR else frozenset()


def _writes_mask(statement: Statement) -> bool:
    values = statement.parameters
    if statement.attributes:
        values += tuple(value for _, value in statement.attributes)
    texts = [scalar.text for value in values for scalar in value or ()]
    if any(text == REMOVED or _has_mask(text) for text in texts):
        return True
    return f"'{REMOVED}'" in statement.text or _has_mask(statement.text)


def _has_mask(text: str) -> bool:
    # Most texts have no two marks in a row, and none of those is searched.
    return MARK * 2 in text and _MASK.search(text) is not None
