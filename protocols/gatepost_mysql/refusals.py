"""What the session itself refuses, whatever plugins say of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gatepost.values import Deny, DenyCode, Effect, Facts, Statement
from gatepost_mysql import messages, settings
from gatepost_sql.mysql_load import LOADS
from gatepost_sql.mysql_session import DATABASE

_LOCAL: Final = re.compile(r"\blocal\b", re.IGNORECASE)
_INFILE: Final = re.compile(r"\binfile\b", re.IGNORECASE)
_MENTIONS_KILL: Final = re.compile(r"(?<![\w$.`@])kill(?![\w$])", re.IGNORECASE)
_EXECUTABLE: Final = re.compile(r"/\*M?!", re.IGNORECASE)
# Statements that run texts which nobody has judged.
_BY_NAME: Final = frozenset(("prepare", "execute"))
_SUSPECT: Final = _BY_NAME | {"kill", LOADS}

# Whatever is wrong with a session's number, whoever asks is told the same.
_OWN_SESSIONS: Final = "gatepost: own sessions"
_WHICH_NUMBER: Final = "the connection id that its driver was told at the login, which CONNECTION_ID() does not tell"
NO_SESSION: Final = Deny(
    reason="no session of yours has this number",
    rule=_OWN_SESSIONS,
    hint=f"Name a session of yours by {_WHICH_NUMBER}.",
)
_NOT_OWNER: Final = Deny(
    reason="an agent may end and cancel its own sessions alone, one at a time",
    rule=_OWN_SESSIONS,
    hint=f"Send KILL or KILL QUERY by itself, and behind it {_WHICH_NUMBER}.",
)
CANCELLED: Final = Deny(reason="the statement was cancelled by itself", rule=_OWN_SESSIONS, code=DenyCode.CANCELLED)
NO_STATEMENT: Final = Deny(
    reason="there is no prepared statement of that number, or no open cursor of it",
    rule="gatepost: prepared statements",
    hint="Prepare it again.",
)
REWRITTEN: Final = Deny(
    reason="a plugin has other words for what this command stands for",
    rule="gatepost: commands",
    hint="Send the statement that does the same.",
)
FETCHED: Final = Deny(
    reason="a plugin has other words for this statement, whose rows are fetched from a cursor already",
    rule="gatepost: prepared statements",
    hint="Execute it without a cursor, or send it as a text.",
)
_NOT_PLAIN: Final = Deny(
    reason="a file of the client is read by a plain LOAD DATA LOCAL alone, sent as a text of its own",
    rule="gatepost: local files",
    hint="Send LOAD DATA LOCAL INFILE 'file' INTO TABLE … by itself, without preparing it, or INSERT the rows.",
)
_SEVERAL: Final = Deny(
    reason="how many rows it may show is limited, and the text has several statements, not all of which only read",
    rule="gatepost: limits",
    hint="Send them one by one.",
)


def of_limit(known: Facts) -> Deny | None:
    """The denial of a limited text where the limit's error would come behind what the server has done of it."""
    is_too_late = known.statements > 1 and known.effect not in (Effect.READ, Effect.CONTROL)
    return _SEVERAL if is_too_late else None


def of_statement(statement: Statement) -> Deny | None:
    """The denial of what the session itself cannot let through."""
    known = statement.facts
    if known.effect is not Effect.UNKNOWN and not known.settings and _SUSPECT.isdisjoint(known.verbs):
        return None
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
    if _may_read_file(statement):
        return _NOT_PLAIN
    return settings.refusal(known)


def _may_read_file(statement: Statement) -> bool:
    """The server may ask for a file of the client's in a way that the session does not follow."""
    known = statement.facts
    if LOADS in known.verbs:
        return known.statements > 1 or statement.is_preparation
    text = statement.text
    return known.effect is Effect.UNKNOWN and _LOCAL.search(text) is not None and _INFILE.search(text) is not None


def _unsupported(what: str, hint: str) -> Deny:
    return Deny(reason=f"{what} is not supported through the gateway", hint=hint)


_REPLICATION: Final = _unsupported("replication", "Replicate from the database itself.")
_OPERATION: Final = _unsupported("operating the server", "Ask the database's operator.")
_STATEMENT: Final = _unsupported("this command", "Send the statement that does the same.")

# Known commands that are refused; the session goes on.
COMMANDS: Final[Mapping[int, Deny]] = {
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
