"""The catalogue of a small shop, and what is said of texts that are meant for it."""

from __future__ import annotations

from gatepost import Facts, Origin
from gatepost_sql import Context, facts
from gatepost_sql.catalogue import (
    Attribute,
    Cast,
    Catalogue,
    Function,
    Operator,
    Relation,
    RelationKind,
    Type,
    Volatility,
)


def relation(
    oid: int,
    name: str,
    columns: str,
    kind: str = "r",
    definition: str = "",
    parents: tuple[int, ...] = (),
    table: int = 0,
) -> Relation:
    schema, _, name = name.rpartition(".")
    return Relation(
        oid=oid,
        schema=schema or "public",
        name=name,
        kind=RelationKind(kind),
        attributes=tuple(
            Attribute(number, column, "pg_catalog.text") for number, column in enumerate(columns.split(), 1)
        ),
        definition=definition,
        parents=parents,
        table=table,
    )


def function(oid: int, name: str, arguments: int, volatility: str, language: str, body: str = "", **more) -> Function:
    schema, _, name = name.rpartition(".")
    more.setdefault("returns_set", False)
    return Function(
        oid=oid,
        schema=schema or "public",
        name=name,
        arguments=arguments,
        volatility=Volatility(volatility),
        language=language,
        body=body,
        **more,
    )


OTHER_PATH = 'search_path=other, "pg_temp"'

RELATIONS = [
    relation(1, "cards", "id holder pan cvv meta"),
    relation(2, "a", "id x"),
    relation(3, "notes", "n"),
    relation(4, "other.notes", "n m"),
    relation(5, "other.lonely", "k"),
    relation(6, "cards_new", "id pan more", parents=(1,)),
    relation(7, "cards_today", "id pan", parents=(6,)),
    relation(10, "numbers", "num who", "v", "SELECT pan AS num, holder AS who FROM public.cards WHERE id > 3"),
    relation(11, "nested", "deep twice", "v", "SELECT num, num || num FROM public.numbers"),
    relation(12, "stored", "s", "m", "SELECT pan FROM public.cards"),
    relation(13, "writing", "w", "v", "SELECT public.paid(id) AS w FROM public.cards"),
    relation(14, "broken", "b", "v", "SELECT 1 +"),
    relation(15, "loop", "l", "v", "SELECT l FROM public.loop"),
    relation(16, "counting", "c", "v", "SELECT count(*) FROM public.cards WHERE pan LIKE '4%'"),
    relation(20, "pg_catalog.pg_stats", "schemaname tablename most_common_vals", "v", "SELECT 1, 2, 3"),
    relation(21, "pg_catalog.pg_class", "oid relname"),
    relation(22, "information_schema.tables", "table_name", "v", "SELECT 1"),
    relation(30, "cards_pan", "", "i", table=1),
    relation(31, "other.notes_n", "", "I", table=4),
    relation(32, "other.cards_pan", "", "i", table=5),
]

FUNCTIONS = [
    function(20_001, "pan_of", 1, "s", "sql", "SELECT pan FROM cards WHERE id = $1"),
    function(20_018, "ids_like", 1, "s", "sql", "SELECT id FROM cards WHERE pan LIKE $1", returns_set=True),
    function(20_002, "plus", 2, "i", "sql", "BEGIN ATOMIC\n SELECT (a + b);\nEND", defaults=1),
    function(20_003, "twice", 1, "i", "sql", "RETURN (x * 2)"),
    function(20_004, "paid", 1, "v", "sql", "UPDATE cards SET holder = ''"),
    function(20_005, "owned", 0, "s", "sql", "SELECT 1", is_definer=True, owner="root"),
    function(20_006, "scripted", 0, "s", "plpgsql"),
    function(20_007, "similarity", 2, "i", "c"),
    function(20_008, "crosstab", 1, "s", "c"),
    function(20_009, "lying", 0, "s", "sql", "SELECT public.paid(1)"),
    function(20_010, "around", 0, "s", "sql", "SELECT around()"),
    function(
        20_011, "elsewhere", 0, "s", "sql", "SELECT m FROM notes LIMIT 1", settings=('search_path=other, "pg_temp"',)
    ),
    function(20_012, "other.hidden", 0, "i", "sql", "SELECT 1"),
    function(20_013, "lower", 1, "v", "plpgsql"),
    function(20_014, "other.query_to_xml", 4, "i", "sql", "SELECT 1"),
    function(20_015, "same", 2, "i", "c"),
    function(20_016, "noisy", 2, "v", "plpgsql"),
    function(20_017, "totals", 1, "i", "internal", kind="a"),
]


def catalogue() -> Catalogue:
    return Catalogue(
        0.0,
        RELATIONS,
        FUNCTIONS,
        [
            Operator(schema="public", name="=~", function=20_015),
            Operator(schema="public", name="&&&", function=20_016),
            Operator(schema="public", name="@>", function=20_016),
        ],
        [Cast(source="public.money", target="public.coin", function=20_016)],
        [
            Type(schema="public", name="coin", kind="c"),
            Type(schema="public", name="mood", kind="e"),
            Type(schema="public", name="checked", kind="d", is_checked=True),
        ],
    )


CATALOGUE = catalogue()
SHOP = Context(catalogue=CATALOGUE, search_path=("public",), database="shop")


def of(text: str, context: Context = SHOP) -> Facts:
    return facts(text, context=context)


def short(origins: tuple[Origin, ...] | None) -> str | None:
    """Origins as "table.column table.column", in the alphabet's order; the schema "public" is left out."""
    if origins is None:
        return None
    return " ".join(sorted(f"{origin.relation.removeprefix('public.')}.{origin.column}" for origin in origins))
