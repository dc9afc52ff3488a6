"""Reads what a database holds, with a login of its own: the one module of this package that does I/O.

All is read in one transaction, so that it fits together. What it reads is visible to every role: the login needs no
right on any table. Source: PostgreSQL 18 documentation, 52 "System Catalogs".
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeVar

import asyncpg

from gatepost.adapter import TlsPolicy, TlsTerms
from gatepost.errors import FaultCode, UpstreamFault
from gatepost.values import Target, UpstreamCredentials
from gatepost_sql.catalogue import (
    FIRST_USER_OID,
    INDEXES,
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

T = TypeVar("T")

# Bounds for what one database may hold; beyond them it stays unknown.
MAX_ROWS: Final = 1_000_000
MAX_CHARACTERS: Final = 256 * 1024 * 1024
# A definition that is longer is not worth reading: what it defines is unknown then.
_DEFINITION: Final = 256 * 1024
_PREFETCH: Final = 2000
_CLOSE_SECONDS: Final = 5.0
_STATEMENT_TIMEOUT: Final = "60s"
_SQL_BODIES: Final = 14

_KINDS: Final = [kind.value for kind in RelationKind]
_WITH_COLUMNS: Final = [kind.value for kind in RelationKind if kind not in INDEXES]

_RELATIONS: Final = """
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END AS definition,
       EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN') AS has_rules,
       c.relhastriggers AS has_triggers,
       ARRAY(SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid ORDER BY i.inhseqno) AS parents,
       coalesce(x.indrelid, 0) AS "table"
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index x ON x.indexrelid = c.oid
WHERE c.relkind::text = ANY ($1::text[]) AND n.nspname !~ '^pg_(temp|toast)'
"""

_SCHEMAS: Final = "SELECT n.nspname::text AS name FROM pg_catalog.pg_namespace n WHERE n.nspname !~ $1::text"
_NOT_SHARED: Final = "^pg_(temp|toast)"

_ATTRIBUTES: Final = """
SELECT a.attrelid AS relation, a.attnum::int4 AS number, a.attname::text AS name,
       tn.nspname || '.' || t.typname AS type,
       CASE WHEN a.atthasdef THEN ARRAY(
         SELECT sn.nspname || '.' || s.relname
         FROM pg_catalog.pg_attrdef f
         JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid
         JOIN pg_catalog.pg_class s ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND s.oid = d.refobjid
         JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
         WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum AND s.relkind = 'S' ORDER BY 1
       ) END AS sequences,
       CASE WHEN a.atthasdef THEN ARRAY(
         SELECT o.attname::text
         FROM pg_catalog.pg_attrdef f
         JOIN pg_catalog.pg_depend d
           ON (d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid)
           OR (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = f.adrelid AND d.objsubid = f.adnum)
         JOIN pg_catalog.pg_attribute o ON o.attrelid = d.refobjid AND o.attnum = d.refobjsubid
         WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum AND o.attnum <> a.attnum
           AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = a.attrelid ORDER BY o.attnum
       ) END AS sources
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind::text = ANY ($1::text[]) AND n.nspname !~ '^pg_(temp|toast)'
ORDER BY a.attrelid, a.attnum
"""

_FUNCTIONS: Final = """
SELECT p.oid, n.nspname::text AS schema, p.proname::text AS name, p.prokind::text AS kind,
       p.pronargs::int4 AS arguments, p.pronargdefaults::int4 AS defaults, p.provariadic <> 0 AS is_variadic,
       p.provolatile::text AS volatility, l.lanname::text AS language, p.prosecdef AS is_definer,
       pg_catalog.pg_get_userbyid(p.proowner)::text AS owner,
       CASE WHEN l.lanname = 'sql' THEN {body} END AS body, p.proconfig AS settings,
       p.proretset AS returns_set
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE p.oid >= $1::oid
"""
_BODY: Final = "p.prosrc"
_PARSED_BODY: Final = "coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)"

_OPERATORS: Final = """
SELECT n.nspname::text AS schema, o.oprname::text AS name, o.oprcode::oid AS function
FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
WHERE o.oid >= $1::oid
"""

_CASTS: Final = """
SELECT sn.nspname || '.' || s.typname AS source, tn.nspname || '.' || t.typname AS target, c.castfunc AS function
FROM pg_catalog.pg_cast c
JOIN pg_catalog.pg_type s ON s.oid = c.castsource JOIN pg_catalog.pg_namespace sn ON sn.oid = s.typnamespace
JOIN pg_catalog.pg_type t ON t.oid = c.casttarget JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
WHERE c.oid >= $1::oid
"""

_TYPES: Final = """
SELECT n.nspname::text AS schema, t.typname::text AS name, t.typtype::text AS kind,
       EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c') AS is_checked
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
WHERE t.oid >= $1::oid AND t.typcategory <> 'A' AND (c.oid IS NULL OR c.relkind = 'c')
  AND n.nspname !~ '^pg_(temp|toast)'
"""


async def inspect(target: Target, credentials: UpstreamCredentials, tls: TlsTerms) -> Catalogue:
    """Read the catalogue of a target's database.

    Raises:
        UpstreamFault: the database cannot be reached, refuses, or holds too much.
    """
    database = credentials.database or target.database
    if not database:
        raise UpstreamFault(
            f"it is not said which database of target {target.name} is to be inspected",
            code=FaultCode.UPSTREAM_REFUSED,
            hint="Set the target's `database`, or the inspector's.",
        )
    try:
        connection = await _connect(target, credentials, database, tls)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await _Reading(connection).catalogue(database)
        finally:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await connection.close(timeout=_CLOSE_SECONDS)
    except asyncpg.PostgresError as error:
        # Never shown as it is: it may name the login.
        text = f"the database refused gatepost's inspection (SQLSTATE {error.sqlstate})"
        raise UpstreamFault(text, code=FaultCode.UPSTREAM_REFUSED) from None
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        text = f"the database cannot be inspected: {type(error).__name__}"
        raise UpstreamFault(text, code=FaultCode.UPSTREAM_DOWN) from None
    except ValueError:
        raise UpstreamFault("the database's catalogue holds what no known version of PostgreSQL does") from None


async def _connect(
    target: Target, credentials: UpstreamCredentials, database: str, tls: TlsTerms
) -> asyncpg.Connection:
    async def connect(context: Any) -> asyncpg.Connection:
        # All that the environment could say otherwise is said here.
        return await asyncpg.connect(
            host=target.host,
            port=target.port,
            user=credentials.user,
            password=credentials.password.reveal() if credentials.password else "",
            database=database,
            ssl=context,
            direct_tls=tls.is_direct,
            target_session_attrs="any",
            statement_cache_size=0,
            server_settings={
                "application_name": "gatepost inspector",
                "default_transaction_read_only": "on",
                "search_path": "",
                "statement_timeout": _STATEMENT_TIMEOUT,
            },
        )

    try:
        return await connect(tls.context or False)
    except ConnectionError:
        if tls.policy is not TlsPolicy.OPTIONAL:
            raise
    return await connect(False)


class _Reading:
    """One reading, within its bounds."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._rows_left = MAX_ROWS
        self._characters_left = MAX_CHARACTERS

    async def catalogue(self, database: str) -> Catalogue:
        read_at = time.time()
        attributes: dict[int, list[Attribute]] = {}
        async for row in self._rows(_ATTRIBUTES, _WITH_COLUMNS):
            of = attributes.setdefault(row["relation"], [])
            sequences, sources = (tuple(row[key] or ()) for key in ("sequences", "sources"))
            of.append(Attribute(row["number"], row["name"], row["type"], sequences=sequences, sources=sources))
        body = _PARSED_BODY if self._connection.get_server_version().major >= _SQL_BODIES else _BODY
        return Catalogue(
            read_at,
            await self._all(lambda row: _relation(row, attributes), _RELATIONS, _KINDS),
            await self._all(_function, _FUNCTIONS.format(body=body), FIRST_USER_OID),
            await self._all(lambda row: Operator(**row), _OPERATORS, FIRST_USER_OID),
            await self._all(lambda row: Cast(**row), _CASTS, FIRST_USER_OID),
            await self._all(lambda row: Type(**row), _TYPES, FIRST_USER_OID),
            database=database,
            schemas=await self._all(lambda row: str(row["name"]), _SCHEMAS, _NOT_SHARED),
        )

    async def _all(self, make: Callable[[asyncpg.Record], T], query: str, argument: object) -> list[T]:
        return [make(row) async for row in self._rows(query, argument)]

    async def _rows(self, query: str, argument: object) -> AsyncIterator[asyncpg.Record]:
        async for row in self._connection.cursor(query, argument, prefetch=_PREFETCH):
            self._rows_left -= 1
            self._characters_left -= sum(len(value) for value in row.values() if isinstance(value, str))
            if self._rows_left < 0 or self._characters_left < 0:
                raise UpstreamFault("the database's catalogue is too large", code=FaultCode.TOO_LARGE)
            yield row


def _relation(row: asyncpg.Record, attributes: dict[int, list[Attribute]]) -> Relation:
    return Relation(
        oid=row["oid"],
        schema=row["schema"],
        name=row["name"],
        kind=RelationKind(row["kind"]),
        attributes=tuple(attributes.get(row["oid"], ())),
        definition=_definition(row["definition"]),
        has_rules=row["has_rules"],
        has_triggers=row["has_triggers"],
        parents=tuple(row["parents"]),
        table=row["table"],
    )


def _function(row: asyncpg.Record) -> Function:
    values = dict(row)
    values["volatility"] = Volatility(values["volatility"])
    values["body"] = _definition(values["body"])
    values["settings"] = tuple(values["settings"] or ())
    return Function(**values)


def _definition(text: str | None) -> str:
    return text if text is not None and len(text) <= _DEFINITION else ""
