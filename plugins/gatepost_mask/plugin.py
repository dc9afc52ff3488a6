"""The plugin: what is masked for whom."""

from __future__ import annotations

from msgspec import Struct

import gatepost
from gatepost import Interest, Notice, Result, RowBatch, Session
from gatepost_mask.cells import may_hold
from gatepost_mask.detect import mask
from gatepost_mask.display import Display
from gatepost_mask.prefilter import maybe, maybe_text
from gatepost_mask.rows import mask_rows


class MaskConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[plugins.mask]`.

    Attributes:
        roles: what a role sees of a card number. Of an identity's roles the one that is first here
            counts; an identity with none of them sees the last four digits.
    """

    roles: dict[str, Display] = {}


class Mask:
    """Masks card numbers wherever text leaves for a client or comes to rest.

    An identity whose role is `clear` sees card numbers; that it did is on record with its name and roles (the
    audit plugin). Sensitive authentication data leaves for nobody (PCI DSS 3.3.1).
    """

    Config = MaskConfig

    def __init__(self, config: MaskConfig) -> None:
        self._config = config

    @gatepost.hookimpl
    def on_columns(self, session: Session, result: Result) -> Interest:
        binary = frozenset(
            position for position, column in enumerate(result.columns) if not column.is_text and may_hold(column.kind)
        )
        return Interest(maybe=maybe, columns=binary)

    @gatepost.hookimpl
    def on_rows(self, session: Session, batch: RowBatch) -> None:
        mask_rows(batch, self._display(session))

    @gatepost.hookimpl
    def on_notice(self, session: Session, notice: Notice) -> None:
        display = self._display(session)
        for name, text in notice.fields.items():
            if maybe_text(text):
                notice.fields[name] = mask(text, display)

    @gatepost.hookimpl
    def on_store(self, text: str) -> str:
        return mask(text, Display.LAST4) if maybe_text(text) else text

    def _display(self, session: Session) -> Display:
        roles = session.identity.roles if session.identity else ()
        return next((display for role, display in self._config.roles.items() if role in roles), Display.LAST4)
