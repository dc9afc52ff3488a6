"""Reads what a server holds, with a login of its own: the one module of this package that does I/O.

information_schema shows a login what it has a right on. REFERENCES shows tables and columns, and no row of them.
SELECT and SHOW VIEW together show a view's definition, and TRIGGER shows triggers. What is not shown is not in the
catalogue.

Source: MySQL 9 manual and MariaDB Knowledge Base, "INFORMATION_SCHEMA Tables".
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import aiomysql
from msgspec.structs import replace
from pymysql.constants import CLIENT

from gatepost.adapter import TlsPolicy, TlsTerms
from gatepost.errors import FaultCode, UpstreamFault
from gatepost.values import Target, UpstreamCredentials
from gatepost_mysql import handshake, messages, proofs
from gatepost_mysql.frames import Inbox
from gatepost_sql.catalogue import Attribute, Catalogue, Function, Relation, RelationKind, Volatility

# Bounds for what one server may hold; beyond them it stays unknown.
MAX_ROWS: Final = 1_000_000
MAX_CHARACTERS: Final = 256 * 1024 * 1024
# What a server's first message may have.
_HANDSHAKE_BYTES: Final = 1024
# A definition that is longer is not worth reading: what it defines is unknown then.
_DEFINITION: Final = 256 * 1024

_FOLDS: Final = "SELECT @@lower_case_table_names"

_COLUMNS: Final = """
SELECT table_schema, table_name, ordinal_position, column_name, data_type, extra, generation_expression
FROM information_schema.columns ORDER BY table_schema, table_name, ordinal_position
"""

_TABLES: Final = "SELECT table_schema, table_name, table_type, engine FROM information_schema.tables"

_VIEWS: Final = "SELECT table_schema, table_name, view_definition FROM information_schema.views"

_TRIGGERS: Final = """
SELECT trigger_schema, trigger_name, event_object_schema, event_object_table FROM information_schema.triggers
"""

_ROUTINES: Final = """
SELECT routine_schema, routine_name, routine_type, is_deterministic, sql_data_access, security_type, definer
FROM information_schema.routines
"""

_QUOTED: Final = re.compile(r"`((?:[^`]|``)+)`")

_KINDS: Final = {"VIEW": RelationKind.VIEW, "SEQUENCE": RelationKind.SEQUENCE}
# Their names, and those of their columns, are the same in any case of letters.
_SYSTEM: Final = frozenset({"information_schema", "performance_schema"})


async def inspect(target: Target, credentials: UpstreamCredentials, tls: TlsTerms) -> Catalogue:
    """Read the catalogue of a target's server: of all databases that the login is shown.

    Raises:
        UpstreamFault: the server cannot be reached, refuses, or holds too much.
    """
    try:
        connection = await _connect(target, credentials, tls)
        try:
            return await _Reading(connection).catalogue(credentials.database or target.database)
        finally:
            with contextlib.suppress(aiomysql.MySQLError, OSError):
                await connection.ensure_closed()
    except aiomysql.MySQLError as error:
        # Never shown as it is: it may name the login.
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        text = f"the database refused gatepost's inspection (error {number})"
        raise UpstreamFault(text, code=FaultCode.UPSTREAM_REFUSED) from None
    except (OSError, EOFError) as error:
        text = f"the database cannot be inspected: {type(error).__name__}"
        raise UpstreamFault(text, code=FaultCode.UPSTREAM_DOWN) from None
    except (RuntimeError, TypeError, ValueError, LookupError):
        raise UpstreamFault("the database's catalogue holds what no known version of MySQL does") from None


async def recognise(target: Target) -> handshake.Upstream:
    """What a target's server says that it is, to anybody who connects.

    Without it, a worker's first client would be greeted otherwise than those behind it, and many a driver goes by its
    first connection for all that follow. It costs a connection without a login. Servers count those of a host, and shut
    it out behind a hundred in a row (max_connect_errors); any login, an agent's or the inspector's, begins the count
    anew. So this is done once, when a worker starts, and not again and again for as long as nobody logs in.

    Raises:
        UpstreamFault: the server cannot be reached, refuses, or is none of MySQL's protocol.
    """
    try:
        reader, writer = await (
            asyncio.open_unix_connection(target.host)
            if target.host.startswith("/")
            else asyncio.open_connection(target.host, target.port)
        )
        try:
            inbox = Inbox(_HANDSHAKE_BYTES, UpstreamFault)
            while (message := inbox.message(0)) is None:
                inbox.feed(await reader.readexactly(1))
        finally:
            writer.close()
    except (OSError, EOFError) as error:
        text = f"the database cannot be reached: {type(error).__name__}"
        raise UpstreamFault(text, code=FaultCode.UPSTREAM_DOWN) from None
    if message[:1] == bytes((messages.ERROR,)):
        raise UpstreamFault("the database refuses connections", code=FaultCode.UPSTREAM_REFUSED)
    return handshake.read(message).upstream


class _Connection(aiomysql.Connection):  # type: ignore[misc]  # it has no types
    """A connection that says nothing of a login before TLS, where TLS is demanded, and that knows MariaDB's ed25519."""

    demands_tls = False

    async def _request_authentication(self) -> None:
        if not self.server_capabilities & CLIENT.SSL:
            if self.demands_tls:
                raise UpstreamFault(
                    "the database offers no TLS, and the configuration demands it", code=FaultCode.TLS_REQUIRED
                )
            # MySQL hangs up on a client that speaks of TLS all the same.
            self.client_flag &= ~CLIENT.SSL
        await super()._request_authentication()

    async def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> Any:
        if plugin_name != proofs.ED25519.encode():
            return await super()._process_auth(plugin_name, auth_packet)
        challenge = auth_packet.read_all()[: proofs.ED25519_NONCE_BYTES]
        self.write_packet(proofs.prove_ed25519(self._password.encode(), challenge))
        answer = await self._read_packet()
        answer.check_error()
        return answer

    async def open(self) -> None:
        await self._connect()


async def _connect(target: Target, credentials: UpstreamCredentials, tls: TlsTerms) -> _Connection:
    # No option file is read, and all that one could say otherwise is said here.
    connection = _Connection(
        host=target.host,
        port=target.port,
        user=credentials.user,
        password=credentials.password.reveal() if credentials.password else "",
        charset="utf8mb4",
        ssl=tls.context,
        autocommit=True,
        init_command="SET SESSION TRANSACTION READ ONLY",
    )
    connection.demands_tls = tls.policy is TlsPolicy.REQUIRED
    await connection.open()
    return connection


class _Reading:
    """One reading, within its bounds."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._rows_left = MAX_ROWS
        self._characters_left = MAX_CHARACTERS

    async def catalogue(self, database: str) -> Catalogue:
        read_at = time.time()
        folds = [row async for row in self._rows(_FOLDS)] != [(0,)]
        attributes: dict[tuple[str, str], list[Attribute]] = {}
        async for schema, name, number, column, type_, extra, expression in self._rows(_COLUMNS):
            place = _place(schema, name, folds=folds)
            column = column.lower() if place[0] in _SYSTEM else column
            attributes.setdefault(place, []).append(
                Attribute(number, column, type_, "INVISIBLE" in extra.upper(), sources=_quoted(expression or ""))
            )
        definitions = {
            _place(schema, name, folds=folds): _definition(text) async for schema, name, text in self._rows(_VIEWS)
        }
        relations: list[Relation] = []
        async for schema, name, kind, engine in self._rows(_TABLES):
            place = _place(schema, name, folds=folds)
            relations.append(
                Relation(
                    oid=len(relations) + 1,
                    schema=place[0],
                    name=place[1],
                    kind=_KINDS.get(kind, RelationKind.TABLE),
                    attributes=_followed(attributes.get(place, ())),
                    definition=definitions.get(place, ""),
                    engine=engine or "",
                )
            )
        triggers = {
            (_place(schema, "", folds=folds)[0], name): ".".join(_place(of, table, folds=folds))
            async for schema, name, of, table in self._rows(_TRIGGERS)
        }
        functions = [_function(number, *row) async for number, row in _numbered(self._rows(_ROUTINES))]
        return Catalogue(read_at, relations, functions, database=database, triggers=triggers, folds_names=folds)

    async def _rows(self, query: str) -> AsyncIterator[tuple[Any, ...]]:
        async with self._connection.cursor(aiomysql.SSCursor) as cursor:
            await cursor.execute(query)
            while (row := await cursor.fetchone()) is not None:
                self._rows_left -= 1
                self._characters_left -= sum(len(value) for value in row if isinstance(value, str | bytes))
                if self._rows_left < 0 or self._characters_left < 0:
                    raise UpstreamFault("the database's catalogue is too large", code=FaultCode.TOO_LARGE)
                yield tuple(value.decode() if isinstance(value, bytes) else value for value in row)


async def _numbered(rows: AsyncIterator[tuple[Any, ...]]) -> AsyncIterator[tuple[int, tuple[Any, ...]]]:
    number = 0
    async for row in rows:
        number += 1
        yield number, row


def _place(schema: str, name: str, *, folds: bool) -> tuple[str, str]:
    if folds or schema.lower() in _SYSTEM:
        return schema.lower(), name.lower()
    return schema, name


def _function(
    number: int, schema: str, name: str, kind: str, deterministic: str, access: str, security: str, definer: str
) -> Function:
    """A stored program. What it says of its access to data, the server does not hold it to."""
    reads_nothing = access in ("NO SQL", "CONTAINS SQL")
    if deterministic == "YES" and reads_nothing:
        volatility = Volatility.IMMUTABLE
    else:
        volatility = Volatility.VOLATILE if access == "MODIFIES SQL DATA" else Volatility.STABLE
    return Function(
        oid=number,
        schema=schema,
        name=name,
        kind="p" if kind == "PROCEDURE" else "f",
        volatility=volatility,
        language="mysql",
        is_definer=security == "DEFINER",
        owner=definer,
    )


def _quoted(expression: str) -> tuple[str, ...]:
    """The names in an expression, in which servers quote those of columns."""
    return tuple(name.replace("``", "`") for name in _QUOTED.findall(expression))


def _followed(attributes: Sequence[Attribute]) -> tuple[Attribute, ...]:
    """A table's columns, the generated ones with all that they are made of, other generated ones among it."""
    by_name = {each.name.lower(): each for each in attributes}
    return tuple(replace(each, sources=_sources(each, by_name)) if each.sources else each for each in attributes)


def _sources(attribute: Attribute, by_name: Mapping[str, Attribute]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    pending = list(attribute.sources)
    while pending:
        source = by_name.get(pending.pop().lower())
        if source is not None and source.name not in found:
            found[source.name] = None
            pending += source.sources
    return tuple(found)


def _definition(text: str | None) -> str:
    return text if text is not None and len(text) <= _DEFINITION else ""
