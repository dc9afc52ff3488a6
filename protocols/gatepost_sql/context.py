"""What a statement's meaning depends on besides its text."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gatepost.values import Facts
from gatepost_sql.catalogue import Catalogue


class Context(Struct, frozen=True, kw_only=True):
    """What is known of the session that a text is meant for.

    Attributes:
        catalogue: what the database holds; None while that is not known, or stale. Then the text alone is judged.
        search_path: the schemas in which names without one are looked up, in their order, "$user" already replaced and
            those that do not exist left out or not; None if it is not known. pg_catalog comes first if it is not there.
        database: the current database, "" if it is not known. A name with another database is refused by the server.
        prepared: what EXECUTE runs, by name: facts of the prepared statement itself, as `preparation` tells.
        has_temporary: the session may have made temporary objects, which hide others of their names.
    """

    catalogue: Catalogue | None = None
    search_path: tuple[str, ...] | None = None
    database: str = ""
    prepared: Mapping[str, Facts] = {}
    has_temporary: bool = False
