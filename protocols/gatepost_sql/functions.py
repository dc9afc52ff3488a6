"""What calling one of PostgreSQL's built-in functions or operators can do.

The data is `postgres.toml`, taken from a running server. A name alone does not prove that the built-in function is
meant: a user's function of the same name may stand before it in the search path, or fit the arguments better. Only
the catalogue can settle that.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Final

from gatepost.values import Effect

_data = tomllib.loads(resources.files(__package__).joinpath("postgres.toml").read_text("utf-8"))

# Name -> effect of calling it. A name that is missing is unknown.
FUNCTIONS: Final[Mapping[str, Effect]] = {
    **dict.fromkeys(_data["harmless"], Effect.READ),
    **dict.fromkeys(_data["harmless_volatile"], Effect.READ),
    **{name: Effect(effect) for effect, names in _data["effects"].items() for name in names},
}

# All names that PostgreSQL's own functions have.
BUILT_IN: Final[frozenset[str]] = frozenset(FUNCTIONS) | frozenset(_data["others"])

# Those that return sets of rows.
SETS: Final[frozenset[str]] = frozenset(_data["sets"])

# Those that read whatever a text tells them to.
READERS: Final[frozenset[str]] = frozenset(_data["readers"])

OPERATORS: Final[frozenset[str]] = frozenset(_data["operators"]["names"])

# Functions of one argument of any type. `t.f` calls f(t) with the whole row where t has no column f.
ROW_FUNCTIONS: Final[frozenset[str]] = frozenset(_data["row_functions"])
