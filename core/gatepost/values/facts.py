"""What the text of a statement means."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Effect(StrEnum):
    """What a statement can do, the strongest of all its parts."""

    READ = "read"
    WRITE = "write"
    DEFINE = "define"
    CONTROL = "control"
    ADMINISTER = "administer"
    UNKNOWN = "unknown"


class Use(Struct, frozen=True, kw_only=True, gc=False):
    """A verb on an object: ("select", "public.cards", ("pan",)).

    Attributes:
        verb: what is done with it.
        name: the object's, qualified by its schema where the text or the catalogue tells. Where it is not known what is
            reached, a part is `*`: "public.*" may be any object of the schema, "*.*" any at all.
        columns: those that the verb touches, None where they are not known.
        is_bounded: a WHERE, a LIMIT or a join's condition bounds the rows that it touches.
        via: the view, function or partition that leads to it, "" for what the statement's own text names.
    """

    verb: str
    name: str
    columns: tuple[str, ...] | None = None
    is_bounded: bool = True
    via: str = ""


class Origin(Struct, frozen=True, gc=False):
    """A base table's column. `relation` is qualified by its schema where the catalogue tells, "" where nothing does."""

    relation: str
    column: str


class Output(Struct, frozen=True, kw_only=True, gc=False):
    """An output column by position.

    Attributes:
        origins: the base columns that its values derive from, None where that cannot be proven.
        is_direct: its values are those of its one origin, unchanged; a partition's column is its parents' too.
    """

    name: str
    origins: tuple[Origin, ...] | None = None
    is_direct: bool = False


class Facts(Struct, frozen=True, kw_only=True, gc=False):
    """What the text of a statement means, as far as it can be proven without running it.

    Attributes:
        effect: the strongest effect of any part; `UNKNOWN` where nothing can be proven.
        statements: how many statements the text holds.
        verbs: what each of them is, in order: "select", "insert", "copy_to", "set", "begin", ….
        objects: tables and the like, with the verb and the columns on them.
        functions: names of the functions called, lower case, schema-qualified where the text does so.
        calls: those of them that may do more than read, or of which that is not known.
        apart: what `effect` would be if `calls` did nothing; None where that is not told.
        columns: every column name that occurs anywhere, lower case unless quoted; "*" where it can be any.
        renamed: names that it gives to columns, where the text alone tells: what is called so need not be the column of
            that name. "*" is one of them where a list gives any.
        outputs: the output columns of a single query, or () where the text does not tell.
        predicates: the base columns by which it decides which rows come, in what order or in which groups; None where
            that cannot be proven. By which a view's definition decides, who asks cannot choose.
        is_resolved: names are those of the database's catalogue, views and functions followed; if not, they are those
            of the text.
        may_hide: what it reads may show columns of other tables under names of its own, and the catalogue that would
            tell is to be had, but not known now.
        depth: how deeply queries are nested in it, 1 for a plain one.
        settings: session settings that it changes, with the new value or None (RESET, or no constant).
        fingerprint: the same for texts that differ in literals only.
        reason: why `effect` is UNKNOWN, or which part decided it.
    """

    effect: Effect
    statements: int = 1
    verbs: tuple[str, ...] = ()
    objects: tuple[Use, ...] = ()
    functions: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    apart: Effect | None = None
    columns: frozenset[str] = frozenset()
    renamed: frozenset[str] = frozenset()
    outputs: tuple[Output, ...] = ()
    predicates: tuple[Origin, ...] | None = None
    is_resolved: bool = False
    may_hide: bool = False
    depth: int = 1
    settings: tuple[tuple[str, str | None], ...] = ()
    fingerprint: str = ""
    reason: str = ""
