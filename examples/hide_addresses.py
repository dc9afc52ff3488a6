"""E-mail addresses leave as "(address)", whatever the column is called that they are in."""

import re

from gatepost import Interest, Row, hookimpl

ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


@hookimpl
def on_columns() -> Interest:
    """Rows without an @ are not for us: they leave undecoded."""
    return Interest(maybe=re.compile(b"@").search)


@hookimpl
def on_row(row: Row) -> None:
    for column in range(len(row)):
        texts = [scalar.text for scalar in row.scalars(column)]
        hidden = [ADDRESS.sub("(address)", text) for text in texts]
        if hidden != texts:
            row.replace(column, hidden)
