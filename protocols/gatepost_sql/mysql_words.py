"""MySQL's and MariaDB's words: what calling a built-in function can do, and which words are the grammar's.

The data is `mysql.toml`, after the reference manuals. A name that is missing is a user's function, or one that nobody
has judged. A stored function has no built-in function's name, unless a space stands before the bracket.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Final

from gatepost.values import Effect

_data = tomllib.loads(resources.files(__package__).joinpath("mysql.toml").read_text("utf-8"))

# Name -> effect of calling it. A name that is missing is unknown.
FUNCTIONS: Final[Mapping[str, Effect]] = {
    **dict.fromkeys(_data["harmless"].split(), Effect.READ),
    **{name: Effect(effect) for effect, names in _data["effects"].items() for name in names.split()},
}

# Without an argument it tells what it was given last.
LAST_INSERT_ID: Final = "last_insert_id"

# Types may have a bracket behind them as a function has.
TYPES: Final[frozenset[str]] = frozenset(_data["types"].split())
KEYWORDS: Final[frozenset[str]] = frozenset(_data["keywords"].split())
NO_CALLS: Final[frozenset[str]] = frozenset(_data["no_calls"].split())
ADMINISTERED: Final[frozenset[str]] = frozenset(_data["administered"].split())
LOCAL_ENGINES: Final[frozenset[str]] = frozenset(_data["local_engines"].split())
BEFORE_KIND: Final[frozenset[str]] = frozenset(_data["before_kind"].split())

# What SHOW shows -> the table that holds the same.
SHOWN: Final[Mapping[str, str]] = _data["shown"]["tables"]
SHOWN_BEFORE: Final[frozenset[str]] = frozenset(_data["shown"]["before"].split())
