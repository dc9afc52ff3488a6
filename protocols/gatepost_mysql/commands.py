"""What becomes of each command of a client: it goes on, it is asked about first, or it is refused.

Source: MySQL internals manual, "Text Protocol" and "Prepared Statements".
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from typing import ClassVar, Final, TypeAlias

from msgspec.structs import replace

from gatepost.adapter import Action, Cancel, Ended, Environment, SendClient, SendUpstream
from gatepost.errors import ClientFault, FaultCode
from gatepost.values import Deny, DenyCode, Effect, Facts, Identity, Limit, Outcome, Scalar, Statement, Verdict
from gatepost_mysql import beside, codes, guarding, messages, parameters, settings
from gatepost_mysql.answers import Answers
from gatepost_mysql.beside import Beside
from gatepost_mysql.frames import Reader, frame, packets_of
from gatepost_mysql.guarding import Guard
from gatepost_mysql.runs import Prepared, Run
from gatepost_mysql.understanding import Understanding
from gatepost_sql.mysql_session import DATABASE

_KILL: Final = re.compile(rb"\s*kill\s+(?:(query|connection)\s+)?([0-9]{1,20})\s*;?\s*", re.IGNORECASE)
_MENTIONS_KILL: Final = re.compile(r"(?<![\w$.`@])kill(?![\w$])", re.IGNORECASE)
_EXECUTABLE: Final = re.compile(r"/\*M?!", re.IGNORECASE)
# Statements that run texts which nobody has judged.
_BY_NAME: Final = frozenset(("prepare", "execute"))
_CURSOR_FLAGS: Final = 0x07
_LONG_DATA_BYTES: Final = 6

Step: TypeAlias = "Statement | list[Action]"
Allow: TypeAlias = "Callable[[Statement], list[Action]]"


def kill_proof(gate_secret: bytes, identity: Identity) -> bytes:
    """By what a session shows another one that it may cancel it: both are the same identity's."""
    return hmac.digest(gate_secret, f"MySQL kill\0{identity.issuer}\0{identity.name}".encode(), "sha256")


class Commands:
    """A client's commands, one by one."""

    def __init__(
        self,
        environment: Environment,
        answers: Answers,
        understanding: Understanding,
        identity: Identity,
        *,
        read_only: bool,
    ) -> None:
        self._answers = answers
        self._understanding = understanding
        self._limits = environment.limits
        self._own_number = environment.number
        self._kill_proof = kill_proof(environment.gate_secret, identity)
        self._read_only = read_only
        self._number = 0
        self._message = b""
        self._allow: Allow | None = None

    @property
    def is_asking(self) -> bool:
        """A statement was returned and neither allowed nor denied yet."""
        return self._allow is not None

    def take(self, message: bytes) -> Step:
        """A command: what to ask about it, or what to do."""
        if not message:
            raise ClientFault("the client sent an empty command")
        handler = self._HANDLERS.get(message[0])
        self._message = message
        if handler is not None:
            return handler(self, message)
        if message[0] in _REFUSED:
            return self._refuse(_REFUSED[message[0]], codes.UNKNOWN_COMMAND)
        raise ClientFault("the client sent a command that does not exist")

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        """The answer to a statement that was returned."""
        allow = self._allow
        assert allow is not None
        self._allow = None
        if isinstance(verdict, Deny):
            return self._refuse(verdict)
        deny = self._objection(statement)
        if deny is not None:
            number, _ = codes.OF_DENIAL[deny.code]
            never = Outcome(error=str(number), message=deny.reason)
            return [*self._refuse(deny), Ended(statement, never)]
        return allow(statement)

    def _objection(self, statement: Statement) -> Deny | None:
        """The denial of what the plugins would let run, and the session can't."""
        deny = _own_refusal(statement) if statement.original is not None else None
        if deny is None and self._read_only:
            deny = settings.refusal_to_write(statement.facts)
        if deny is None and statement.limit is not None and _limits_too_late(statement.facts):
            deny = _SEVERAL
        return deny

    def _refuse(self, deny: Deny, code: tuple[int, str] | None = None) -> list[Action]:
        """An ERR in the answer's place. The server has never heard of the command."""
        return [SendClient(frame(messages.refusal(deny, code), packets_of(len(self._message))))]

    def _ask(self, text: bytes, allow: Allow, *, is_preparation: bool = False) -> Step:
        try:
            decoded = text.decode()
        except UnicodeDecodeError:
            return self._refuse(
                Deny(reason="the statement is not valid UTF-8", hint="Send it in utf8mb4.", code=DenyCode.SYNTAX)
            )
        known = self._understanding.facts(decoded)
        statement = Statement(number=self._number + 1, text=decoded, facts=known, is_preparation=is_preparation)
        deny = _own_refusal(statement)
        if deny is not None:
            return self._refuse(deny)
        return self._question(statement, allow)

    def _question(self, statement: Statement, allow: Allow) -> Statement:
        self._number = statement.number
        self._allow = allow
        return statement

    def _send(self, message: bytes | None = None) -> list[Action]:
        return [SendUpstream(frame(self._message if message is None else message, 0))]

    # Texts.

    def _query(self, message: bytes) -> Step:
        """A text. That of a cancel request is, as in other protocols, no statement."""
        kill = _KILL.fullmatch(message, 1)
        if kill is None:
            return self._ask(message[1:], self._allow_query)
        number = int(kill[2])
        if (kill[1] or b"").lower() != b"query" or number >= 1 << 31:
            return self._refuse(_NOT_OWNER, _NOT_OWNER_CODE)
        # As with the server, nobody learns whether it did anything.
        said = SendClient(frame(messages.ok(self._answers.status), packets_of(len(message))))
        return [Cancel(number, self._kill_proof), said]

    def _allow_query(self, statement: Statement) -> list[Action]:
        message = self._message
        if statement.original is not None:
            message = bytes((messages.QUERY,)) + statement.text.encode()
        run = Run(statement, limit=statement.limit)

        def start() -> Action:
            self._answers.query(run, len(message))
            return SendUpstream(frame(message, 0))

        return [self._started(run, start)]

    def _started(self, run: Run, start: Callable[[], Action]) -> Action:
        """Begin a statement, or what has to go before it."""
        if run.limit is None or not guarding.is_due(run.statement):
            return start()
        run.is_guarded = True
        return self._answers.guard(run, Guard(start), len(self._message))

    def _init_db(self, message: bytes) -> Step:
        quoted = message[1:].replace(b"`", b"``")
        return self._ask(b"USE `" + quoted + b"`", self._allow_init_db)

    def _allow_init_db(self, statement: Statement) -> list[Action]:
        if statement.original is not None:
            return self._allow_query(statement)
        self._answers.simple(len(self._message), run=Run(statement))
        return self._send()

    # Prepared statements.

    def _prepare(self, message: bytes) -> Step:
        if len(self._answers.prepared) >= self._limits.prepared:
            return self._refuse(
                Deny(
                    reason="too many prepared statements",
                    rule="gatepost: session limits",
                    hint="Close those that are not needed.",
                )
            )
        return self._ask(message[1:], self._allow_prepare, is_preparation=True)

    def _allow_prepare(self, statement: Statement) -> list[Action]:
        message = self._message
        if statement.original is not None:
            message = message[:1] + statement.text.encode()
        self._answers.prepare(Run(statement), len(message))
        return self._send(message)

    def _execute(self, message: bytes) -> Step:
        reader = Reader(message[1:], ClientFault)
        prepared = self._prepared(reader.number(4))
        flags, iterations = reader.number(1), reader.number(4)
        if prepared is None:
            return self._refuse(_NO_STATEMENT, codes.UNKNOWN_STATEMENT)
        if flags & ~_CURSOR_FLAGS or iterations != 1:
            raise ClientFault("the client executes a statement in a way that was not agreed on")
        values, types = parameters.decode(reader, prepared.parameters, prepared.types, prepared.long_data)
        prepared.cursor = None
        return self._question(
            self._statement(prepared, values), lambda statement: self._allow_execute(statement, prepared, types)
        )

    def _statement(self, prepared: Prepared, values: tuple[tuple[Scalar, ...] | None, ...]) -> Statement:
        return Statement(
            number=self._number + 1,
            text=prepared.text,
            facts=self._understanding.renew(prepared),
            parameters=values,
            original=prepared.original,
        )

    def _allow_execute(self, statement: Statement, prepared: Prepared, types: tuple[int, ...]) -> list[Action]:
        held, message = prepared.held, self._message
        prepared.types = types
        prepared.forget_long_data()
        prepared.limit, prepared.fetched = statement.limit, 0
        run = Run(statement, limit=statement.limit)

        def start() -> Action:
            told = message
            if run.is_guarded:
                told = beside.without_cursor(told)
            if not prepared.is_told:
                told = beside.with_types(told, types)
                prepared.is_told = True
            self._answers.query(run, len(told), prepared)
            return SendUpstream(b"".join(frame(part, 0) for part in (*held, told)) if held else frame(told, 0))

        def start_beside() -> Action:
            # A plugin has rewritten what is prepared already: prepare the new text beside it.
            prepared.is_told = prepared.is_told and not beside.tells_types(message, types)
            text = bytes((messages.STMT_PREPARE,)) + statement.text.encode()
            self._answers.prepare_beside(run, len(text), Beside(message, types, held), prepared)
            return SendUpstream(frame(text, 0))

        return [self._started(run, start if statement.text == prepared.text else start_beside)]

    def _long_data(self, message: bytes) -> Step:
        reader = Reader(message[1:], ClientFault)
        prepared, index = self._prepared(reader.number(4)), reader.number(2)
        if prepared is None or index >= prepared.parameters:
            return []  # as the server does: no answer is expected, and the execution will fail
        prepared.held_bytes += len(message)
        if prepared.held_bytes > self._limits.message_bytes:
            raise ClientFault("a parameter is too long", code=FaultCode.TOO_LARGE)
        prepared.held.append(message)
        prepared.long_data.setdefault(index, bytearray()).extend(reader.rest())
        return []

    def _fetch(self, message: bytes) -> Step:
        reader = Reader(message[1:], ClientFault)
        prepared = self._prepared(reader.number(4))
        reader.number(4)
        reader.end()
        if prepared is None or prepared.cursor is None:
            return self._refuse(_NO_STATEMENT, codes.UNKNOWN_STATEMENT)
        statement = replace(prepared.cursor, number=self._number + 1)
        return self._question(statement, lambda statement: self._allow_fetch(statement, prepared))

    def _allow_fetch(self, statement: Statement, prepared: Prepared) -> list[Action]:
        if statement.text != prepared.text:
            return [*self._refuse(_REWRITTEN), Ended(statement, Outcome(error="1142", message=_REWRITTEN.reason))]
        limit = _stricter(prepared.limit, statement.limit)
        self._answers.fetch(Run(statement, limit=limit, before=prepared.fetched), len(self._message), prepared)
        return self._send()

    def _close(self, message: bytes) -> Step:
        reader = Reader(message[1:], ClientFault)
        self._answers.prepared.pop(reader.number(4), None)
        reader.end()
        return self._send()

    def _reset(self, message: bytes) -> Step:
        reader = Reader(message[1:], ClientFault)
        prepared = self._prepared(reader.number(4))
        reader.end()
        if prepared is not None:
            prepared.forget_long_data()
            prepared.cursor = None
        self._answers.simple(len(message))
        return self._send()

    def _prepared(self, number: int) -> Prepared | None:
        return self._answers.prepared.get(number)

    # The rest.

    def _simple(self, message: bytes) -> Step:
        self._answers.simple(len(message))
        return self._send()

    def _statistics(self, message: bytes) -> Step:
        self._answers.statistics(len(message))
        return self._send()

    def _reset_connection(self, message: bytes) -> Step:
        self._answers.simple(len(message), on_ok=self._was_reset)
        return self._send()

    def _was_reset(self) -> None:
        self._answers.prepared.clear()
        self._understanding.was_reset()
        self._answers.check_settings()

    def _kill(self, message: bytes) -> Step:
        return self._refuse(_NOT_OWNER, _NOT_OWNER_CODE)

    _HANDLERS: ClassVar[Mapping[int, Callable[[Commands, bytes], Step]]] = {
        messages.QUERY: _query,
        messages.INIT_DB: _init_db,
        messages.STMT_PREPARE: _prepare,
        messages.STMT_EXECUTE: _execute,
        messages.STMT_SEND_LONG_DATA: _long_data,
        messages.STMT_FETCH: _fetch,
        messages.STMT_CLOSE: _close,
        messages.STMT_RESET: _reset,
        messages.PING: _simple,
        messages.SET_OPTION: _simple,
        messages.STATISTICS: _statistics,
        messages.RESET_CONNECTION: _reset_connection,
        messages.PROCESS_KILL: _kill,
    }


_NOT_OWNER_CODE: Final = (1095, "HY000")
_NOT_OWNER: Final = Deny(
    reason="an agent may cancel what its own sessions run, and end no session",
    rule="gatepost: own sessions",
    hint="Use KILL QUERY with the connection id of a session of yours, or close that session.",
)
_NO_STATEMENT: Final = Deny(
    reason="there is no prepared statement of that number, or no open cursor of it",
    rule="gatepost: prepared statements",
    hint="Prepare it again.",
)
_REWRITTEN: Final = Deny(
    reason="a plugin has other words for this statement, whose rows are fetched from a cursor already",
    rule="gatepost: prepared statements",
    hint="Execute it without a cursor, or send it as a text.",
)


_SEVERAL: Final = Deny(
    reason="how many rows it may show is limited, and the text has several statements, not all of which only read",
    rule="gatepost: limits",
    hint="Send them one by one.",
)


def _limits_too_late(known: Facts) -> bool:
    """The error of a limit comes behind what the server has done of the same text."""
    return known.statements > 1 and known.effect not in (Effect.READ, Effect.CONTROL)


def _stricter(one: Limit | None, other: Limit | None) -> Limit | None:
    if one is None or other is None:
        return one or other
    return min(one, other, key=lambda limit: limit.rows)


def _own_refusal(statement: Statement) -> Deny | None:
    """The denial of what the session itself cannot let through."""
    known = statement.facts
    if not _BY_NAME.isdisjoint(known.verbs):
        return Deny(
            reason="PREPARE and EXECUTE in SQL run a text that was not judged",
            rule="gatepost: prepared texts",
            hint="Send the statement itself, or have your driver prepare it.",
        )
    if known.statements > 1 and any(name == DATABASE for name, _ in known.settings):
        return Deny(
            reason="names behind a USE in the same text are of another database than they were judged for",
            rule="gatepost: session state",
            hint="Send USE by itself, or put the database's name before the tables'.",
        )
    if known.effect is Effect.UNKNOWN and _EXECUTABLE.search(statement.text):
        return Deny(
            reason="what an executable comment does depends on the server's version",
            rule="gatepost: executable comments",
            hint="Write the statement without /*! and /*M!.",
        )
    # A KILL that the session does not carry out itself may end any session, for all are the same user's.
    if "kill" in known.verbs or (known.effect is Effect.UNKNOWN and _MENTIONS_KILL.search(statement.text)):
        return _NOT_OWNER
    return settings.refusal(known)


def _unsupported(what: str, hint: str) -> Deny:
    return Deny(reason=f"{what} is not supported through the gateway", hint=hint)


_REPLICATION: Final = _unsupported("replication", "Replicate from the database itself.")
_OPERATION: Final = _unsupported("operating the server", "Ask the database's operator.")
_STATEMENT: Final = _unsupported("this command", "Send the statement that does the same.")

# Known commands that are refused; the session goes on.
_REFUSED: Final[Mapping[int, Deny]] = {
    messages.FIELD_LIST: _unsupported("listing fields by command", "Use SHOW COLUMNS."),
    messages.PROCESS_INFO: _unsupported("listing processes by command", "Use SHOW PROCESSLIST."),
    messages.CHANGE_USER: _unsupported("changing the user", "Connect again as the other one."),
    messages.CREATE_DB: _STATEMENT,
    messages.DROP_DB: _STATEMENT,
    **dict.fromkeys((messages.REFRESH, messages.SHUTDOWN, messages.DEBUG, messages.CLONE, messages.DAEMON), _OPERATION),
    **dict.fromkeys(
        (messages.BINLOG_DUMP, messages.BINLOG_DUMP_GTID, messages.TABLE_DUMP, messages.REGISTER_SLAVE), _REPLICATION
    ),
    **dict.fromkeys(
        (messages.CONNECT, messages.CONNECT_OUT, messages.TIME, messages.DELAYED_INSERT),
        _unsupported("this command", "It is none of a client's."),
    ),
}
