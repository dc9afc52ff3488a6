"""What becomes of each command of a client: it goes on, it is asked about first, or it is refused.

Source: MySQL internals manual, "Text Protocol" and "Prepared Statements".
"""

from __future__ import annotations

import hmac
import re
import struct
from collections.abc import Callable, Mapping
from typing import ClassVar, Final, TypeAlias

from msgspec.structs import replace

from gatepost.adapter import Action, Cancel, Ended, Environment, SendClient, SendUpstream
from gatepost.errors import ClientFault, FaultCode
from gatepost.values import Deny, DenyCode, Identity, Limit, Outcome, Statement, Verdict
from gatepost_mysql import beside, codes, guarding, messages, parameters, refusals, settings
from gatepost_mysql.answers import Answers
from gatepost_mysql.beside import Beside
from gatepost_mysql.capabilities import Capability
from gatepost_mysql.frames import Reader, frame, packets_of
from gatepost_mysql.guarding import Guard
from gatepost_mysql.parameters import Attributes, Parameters
from gatepost_mysql.runs import Prepared, Run
from gatepost_mysql.understanding import Understanding

_KILL: Final = re.compile(rb"\s*kill\s+(?:(query|connection)\s+)?([0-9]{1,20})\s*;?\s*", re.IGNORECASE)
# Of a COM_STMT_EXECUTE: the command, the statement's number, flags, iterations.
_execution: Final = struct.Struct("<BIBI").unpack
_EXECUTION_BYTES: Final = 10
_CURSOR_FLAGS: Final = 0x07
_IS_COUNTED: Final = 0x08
# How often what came ahead of executions is counted while it grows to its bound: not at each of thousands of pieces.
_COUNTED_TIMES: Final = 64

Step: TypeAlias = "Statement | list[Action]"
Allow: TypeAlias = "Callable[[Statement], list[Action]]"


def kill_proof(gate_secret: bytes, identity: Identity) -> bytes:
    """By what a session shows that it may cancel or end another one: both are the same identity's."""
    return hmac.digest(gate_secret, f"MySQL kill\0{identity.issuer}\0{identity.name}".encode(), "sha256")


class Commands:
    """A client's commands, one by one.

    A KILL never reaches the server, where all sessions are the same user's and have other numbers.
    """

    def __init__(
        self,
        environment: Environment,
        capabilities: Capability,
        answers: Answers,
        understanding: Understanding,
        identity: Identity,
        *,
        read_only: bool,
    ) -> None:
        self._capabilities = capabilities
        self._has_attributes = bool(capabilities & Capability.QUERY_ATTRIBUTES)
        self._answers = answers
        self._understanding = understanding
        self._limits = environment.limits
        self._own_number = environment.number
        self._kill_proof = kill_proof(environment.gate_secret, identity)
        self._read_only = read_only
        self._number = 0
        self._message = self._packet = b""
        self._text_at = 1
        self._allow: Allow | None = None
        # What the statement that was returned executes.
        self._executing: Prepared | None = None
        self._is_seeking = False
        self._killing: Statement | None = None
        # How much has come ahead of executions since what is held of that was counted.
        self._ahead = 0

    @property
    def is_asking(self) -> bool:
        """A statement was returned and neither allowed nor denied yet, or a session is being looked for."""
        return self._allow is not None or self._is_seeking

    def take(self, message: bytes, packet: bytes = b"") -> Step:
        """A command: what to ask about it, or what to do.

        Args:
            packet: the one that it came in, if it is at hand.
        """
        if not message:
            raise ClientFault("the client sent an empty command")
        handler = self._HANDLERS.get(message[0])
        self._message, self._packet = message, packet
        if handler is not None:
            return handler(self, message)
        if message[0] in refusals.COMMANDS:
            return self._refuse(refusals.COMMANDS[message[0]], codes.UNKNOWN_COMMAND)
        raise ClientFault("the client sent a command that does not exist")

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        """The answer to a statement that was returned."""
        allow = self._allow
        assert allow is not None
        self._allow = None
        if isinstance(verdict, Deny):
            return self._refuse(verdict)
        if self._read_only or statement.original is not None or statement.limit is not None:
            deny = self._objection(statement)
            if deny is not None:
                return self._fail(statement, deny)
        return allow(statement)

    def cancelled(self, found: bool) -> list[Action]:
        """The answer to a KILL; there is none to one that has ended this very session."""
        if not self._is_seeking:
            return []
        self._is_seeking = False
        statement, self._killing = self._killing, None
        if not found:
            refusal, code = refusals.NO_SESSION, codes.UNKNOWN_SESSION
            return self._fail(statement, refusal, code) if statement else self._refuse(refusal, code)
        said = SendClient(frame(messages.ok(self._answers.status), packets_of(len(self._message))))
        return [said, Ended(statement, Outcome())] if statement else [said]

    def abort(self) -> list[Action]:
        """The session is over: a KILL that is not answered ends incomplete."""
        self._is_seeking = False
        statement, self._killing = self._killing, None
        return [Ended(statement, Outcome(complete=False))] if statement else []

    def _objection(self, statement: Statement) -> Deny | None:
        """The denial of what the plugins would let run, and the session can't."""
        deny = refusals.of_statement(statement) if statement.original is not None else None
        if deny is None and self._read_only:
            deny = settings.refusal_to_write(statement.facts)
        if deny is None and statement.limit is not None:
            deny = refusals.of_limit(statement.facts)
        return deny

    def _refuse(self, deny: Deny, code: tuple[int, str] | None = None) -> list[Action]:
        """An ERR in the answer's place. The server has never heard of the command."""
        return [SendClient(frame(messages.refusal(deny, code), packets_of(len(self._message))))]

    def _ask(self, text: bytes, allow: Allow, *, is_preparation: bool = False, attributes: Attributes = ()) -> Step:
        try:
            decoded = text.decode()
        except UnicodeDecodeError:
            return self._refuse(
                Deny(reason="the statement is not valid UTF-8", hint="Send it in utf8mb4.", code=DenyCode.SYNTAX)
            )
        known = self._understanding.facts(decoded)
        statement = Statement(
            number=self._number + 1,
            text=decoded,
            facts=known,
            attributes=attributes,
            is_preparation=is_preparation,
        )
        deny = refusals.of_statement(statement)
        if deny is not None:
            return self._refuse(deny)
        return self._question(statement, allow)

    def _question(self, statement: Statement, allow: Allow, prepared: Prepared | None = None) -> Statement:
        self._number = statement.number
        self._allow, self._executing = allow, prepared
        return statement

    def renew(self, statement: Statement) -> Statement:
        """The statement that was returned, by what the catalogue tells now."""
        prepared = self._executing
        if prepared is not None and prepared.text == statement.text:
            return replace(statement, facts=self._understanding.renew(prepared))
        return replace(statement, facts=self._understanding.facts(statement.text))

    def _fail(self, statement: Statement, deny: Deny, code: tuple[int, str] | None = None) -> list[Action]:
        """Refuse what plugins have let run."""
        number, _ = code or codes.OF_DENIAL[deny.code]
        return [*self._refuse(deny, code), Ended(statement, Outcome(error=str(number), message=deny.reason))]

    def _rewritten(self, statement: Statement) -> list[Action]:
        """A plugin has given other words to what is not a text of its own."""
        return self._fail(statement, refusals.REWRITTEN)

    def _send(self) -> list[Action]:
        """The command goes on as it came."""
        return [SendUpstream(self._packet or frame(self._message, 0))]

    # Texts.

    def _query(self, message: bytes) -> Step:
        """A text. That of a cancel request is, as in other protocols, no statement."""
        self._text_at, attributes = parameters.attributes(message) if self._has_attributes else (1, ())
        kill = _KILL.fullmatch(message, self._text_at)
        if kill is None:
            return self._ask(message[self._text_at :], self._allow_query, attributes=attributes)
        number = int(kill[2])
        if (kill[1] or b"").lower() != b"query":
            return self._kill(message[self._text_at :].decode("ascii"), number, attributes)
        return self._refuse(refusals.CANCELLED) if number == self._own_number else self._seek(number)

    def _allow_query(self, statement: Statement) -> list[Action]:
        message = self._message
        if statement.original is not None:
            message = message[: self._text_at] + statement.text.encode()
        elif statement.limit is None:
            self._answers.query(Run(statement), len(message))
            return self._send()
        return self._run(statement, message)

    def _run(self, statement: Statement, message: bytes) -> list[Action]:
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
        reader = Reader(message[1:], ClientFault)
        name = reader.rest()
        if b"\0" in name:
            raise reader.malformed()  # MySQL takes the part before it for the name, and tells all of it
        quoted = name.replace(b"`", b"``")
        return self._ask(b"USE `" + quoted + b"`", self._allow_init_db)

    def _allow_init_db(self, statement: Statement) -> list[Action]:
        if statement.original is not None:
            return self._run(statement, messages.query(statement.text.encode(), self._capabilities))
        self._answers.simple(len(self._message), run=Run(statement))
        return self._send()

    def _field_list(self, message: bytes) -> Step:
        """It shows what a SHOW COLUMNS shows, and is judged as that."""
        reader = Reader(message[1:], ClientFault)
        table, pattern = reader.zero_ended(), reader.rest().removesuffix(b"\0")
        if b"\0" in pattern:
            raise reader.malformed()
        text = b"SHOW COLUMNS FROM `" + table.replace(b"`", b"``") + b"`"
        if pattern:
            text += b" LIKE '" + pattern.replace(b"\\", b"\\\\").replace(b"'", b"''") + b"'"
        return self._ask(text, self._allow_field_list)

    def _allow_field_list(self, statement: Statement) -> list[Action]:
        if statement.original is not None:
            return self._rewritten(statement)
        self._answers.fields(Run(statement, limit=statement.limit), len(self._message))
        return self._send()

    # Prepared statements.

    def _prepare(self, message: bytes) -> Step:
        prepared = self._answers.prepared
        size = sum(each.size for each in prepared.values())
        if len(prepared) >= self._limits.prepared or size > self._limits.message_bytes:
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
        return [SendUpstream(frame(message, 0))]

    def _execute(self, message: bytes) -> Step:
        reader = Reader(message, ClientFault)
        _, number, flags, iterations = _execution(reader.take(_EXECUTION_BYTES))
        prepared = self._prepared(number)
        if prepared is None:
            return self._refuse(refusals.NO_STATEMENT, codes.UNKNOWN_STATEMENT)
        allowed = _CURSOR_FLAGS | _IS_COUNTED if self._has_attributes else _CURSOR_FLAGS
        if flags & ~allowed or iterations != 1:
            raise ClientFault("the client executes a statement in a way that was not agreed on")
        is_named = self._has_attributes and bool(prepared.parameters or flags & _IS_COUNTED)
        ahead = prepared.long_data() if prepared.held else {}
        values, types, attributes = parameters.decode(
            reader, prepared.parameters, prepared.types, ahead, is_named=is_named
        )
        prepared.cursor = None
        return self._question(
            self._statement(prepared, values, attributes),
            lambda statement: self._allow_execute(statement, prepared, types, is_named=is_named),
            prepared,
        )

    def _statement(self, prepared: Prepared, values: Parameters, attributes: Attributes) -> Statement:
        return Statement(
            number=self._number + 1,
            text=prepared.text,
            facts=self._understanding.renew(prepared),
            parameters=values,
            attributes=attributes,
            original=prepared.original,
        )

    def _allow_execute(
        self, statement: Statement, prepared: Prepared, types: tuple[int, ...], *, is_named: bool
    ) -> list[Action]:
        held, message = prepared.held, self._message
        prepared.types = types
        prepared.forget_long_data()
        prepared.limit, prepared.fetched = statement.limit, 0
        run = Run(statement, limit=statement.limit)
        if not held and prepared.is_told and statement.limit is None and statement.text == prepared.text:
            self._answers.query(run, len(message), prepared)
            return self._send()

        def start() -> Action:
            told = message
            if run.is_guarded:
                told = beside.without_cursor(told)
            if not prepared.is_told:
                told = beside.with_types(told, types, is_named=is_named)
                prepared.is_told = True
            self._answers.query(run, len(told), prepared)
            return SendUpstream(b"".join(frame(part, 0) for part in (*held, told)) if held else frame(told, 0))

        def start_beside() -> Action:
            # A plugin has rewritten what is prepared already: prepare the new text beside it.
            prepared.is_told = prepared.is_told and not beside.tells_types(message, types, is_named=is_named)
            text = bytes((messages.STMT_PREPARE,)) + statement.text.encode()
            self._answers.prepare_beside(run, len(text), Beside(message, types, held, is_named=is_named), prepared)
            return SendUpstream(frame(text, 0))

        return [self._started(run, start if statement.text == prepared.text else start_beside)]

    def _long_data(self, message: bytes) -> Step:
        reader = Reader(message[1:], ClientFault)
        prepared, index = self._prepared(reader.number(4)), reader.number(2)
        if prepared is None or index >= prepared.parameters:
            return []  # as the server does: no answer is expected, and the execution will fail
        self._ahead += prepared.hold(message)
        if self._ahead > self._limits.message_bytes // _COUNTED_TIMES:
            self._ahead = 0
            if sum(each.held_bytes for each in self._answers.prepared.values()) > self._limits.message_bytes:
                raise ClientFault("the values that came ahead of executions are too long", code=FaultCode.TOO_LARGE)
        return []

    def _fetch(self, message: bytes) -> Step:
        reader = Reader(message[1:], ClientFault)
        prepared = self._prepared(reader.number(4))
        reader.number(4)
        reader.end()
        if prepared is None or prepared.cursor is None:
            return self._refuse(refusals.NO_STATEMENT, codes.UNKNOWN_STATEMENT)
        statement = replace(prepared.cursor, number=self._number + 1)
        return self._question(statement, lambda statement: self._allow_fetch(statement, prepared))

    def _allow_fetch(self, statement: Statement, prepared: Prepared) -> list[Action]:
        if statement.text != prepared.text:
            return self._fail(statement, refusals.FETCHED)
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

    # Other sessions.

    def _process_kill(self, message: bytes) -> Step:
        reader = Reader(message[1:], ClientFault)
        number = reader.number(4)
        reader.end()
        return self._kill(f"KILL {number}", number)

    def _kill(self, text: str, number: int, attributes: Attributes = ()) -> Step:
        known = self._understanding.facts(text)
        statement = Statement(number=self._number + 1, text=text, facts=known, attributes=attributes)
        return self._question(statement, lambda statement: self._allow_kill(statement, number))

    def _allow_kill(self, statement: Statement, number: int) -> list[Action]:
        if statement.original is not None:
            return self._rewritten(statement)
        self._killing = statement
        return self._seek(number)

    def _seek(self, number: int) -> list[Action]:
        self._is_seeking = True
        return [Cancel(number, self._kill_proof, ends_session=self._killing is not None)]

    _HANDLERS: ClassVar[Mapping[int, Callable[[Commands, bytes], Step]]] = {
        messages.QUERY: _query,
        messages.INIT_DB: _init_db,
        messages.FIELD_LIST: _field_list,
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
        messages.PROCESS_KILL: _process_kill,
    }


def _stricter(one: Limit | None, other: Limit | None) -> Limit | None:
    if one is None or other is None:
        return one or other
    return min(one, other, key=lambda limit: limit.rows)
