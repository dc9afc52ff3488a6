"""A session that is restricted to reading: it logs in so, and no statement leaves that."""

from __future__ import annotations

import pytest
from tests import wire
from tests.protocols.postgres.exchange import PARSED, READY, READY_FAILED, error, errors, fault_of, split, texts
from tests.wire import SYNC, bind, message, parse, query

from gatepost.adapter import TlsPolicy
from gatepost.testing import Player, RecordingHooks, make_environment
from gatepost.values import EndCode, Restriction, Rewrite
from gatepost_postgres import ADAPTER

SETTING = "default_transaction_read_only"


def log_in(*reported: tuple[str, str], read_only: bool = True, options: str = "") -> Player:
    hooks = RecordingHooks(wants_statements=False, wants_rows=False, wants_notices=False)
    environment = make_environment(hooks, client_tls=TlsPolicy.REQUIRED)
    player = Player(ADAPTER.session(environment), restriction=Restriction(read_only=read_only))
    asked = {"options": options} if options else {}
    player.client(wire.SSL_REQUEST).client(wire.startup("agent", "shop", **asked))
    if player.closed is None:
        player.client(message("p", b"secret\0"))
        said = [("client_encoding", "UTF8"), ("standard_conforming_strings", "on"), *reported]
        settings = b"".join(message("S", f"{name}\0{value}\0".encode()) for name, value in said)
        player.upstream(message("R", bytes(4)) + settings + message("K", bytes(8)) + READY)
    return player


def test_the_login_asks_for_read_only_transactions() -> None:
    player = log_in((SETTING, "on"))
    assert player.serving
    assert f"{SETTING}\0on\0".encode() in player.to_upstream
    assert SETTING.encode() not in log_in(read_only=False).to_upstream


def test_a_database_that_does_not_take_it_is_not_used() -> None:
    assert fault_of(log_in((SETTING, "off")))[0] is EndCode.UPSTREAM_FAULT


def test_the_client_cannot_bring_another_setting_along() -> None:
    player = log_in(options=f"-c {SETTING}=off")
    assert fault_of(player) == (EndCode.CLIENT_FAULT, f'startup parameter "{SETTING}" is not allowed')


LEAVING = [
    f"SET {SETTING} = off",
    f"SET LOCAL {SETTING} TO DEFAULT",
    f"RESET {SETTING}",
    f'SET "{SETTING.upper()}" = 0',
    "SET transaction_read_only = off",
    "BEGIN READ WRITE",
    "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
    "SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    f"SELECT set_config('{SETTING}', 'off', false)",
    "SELECT set_config(name, 'off', false) FROM pg_settings",
    "UPDATE pg_settings SET setting = 'off'",
    "SELECT 1; BEGIN READ WRITE",
    "DO $$ BEGIN SET transaction_read_only = off; DELETE FROM t; END $$",
    "EXECUTE p",
    "SELECT unheard_of()",
]


@pytest.mark.parametrize("text", LEAVING)
@pytest.mark.parametrize("extended", [False, True])
def test_what_would_leave_them_is_denied(text: str, extended: bool) -> None:
    player = log_in()
    player.sent()
    player.client(parse(text) + SYNC if extended else query(text))
    assert text.encode() not in player.sent()[1]
    player.upstream(error("42601", "syntax error") + READY)
    to_client, _ = player.sent()
    assert errors(to_client) == ["42501"]
    fields = texts(split(to_client)[0][1])
    assert fields["D"] == "rule gatepost: read-only session"
    assert "read-only" in fields["M"]


STAYING = [
    "SELECT 1",
    "BEGIN",
    "BEGIN READ ONLY",
    f"SET {SETTING} = on",
    "SET transaction_read_only = true",
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "RESET ALL",
    "DISCARD ALL",
    "SET statement_timeout = 5",
    "INSERT INTO t VALUES (1)",
]


@pytest.mark.parametrize("text", STAYING)
def test_what_stays_in_them_is_the_databases_to_refuse(text: str) -> None:
    player = log_in()
    player.sent()
    assert player.client(query(text)).sent()[1] == query(text)


def test_a_rewrite_cannot_leave_them_either() -> None:
    player = log_in()
    player._judge = lambda statement: Rewrite(text="BEGIN READ WRITE")
    player.sent()
    player.client(query("BEGIN"))
    assert b"READ WRITE" not in player.sent()[1]
    player.upstream(error("42601", "syntax error") + READY_FAILED)
    assert errors(player.sent()[0]) == ["42501"]
    ((_, outcome),) = player.ended
    assert outcome.error == "42501"


def test_what_is_prepared_behind_our_back_does_not_run() -> None:
    player = log_in()
    player.sent()
    player.client(bind("", "unheard-of") + SYNC)
    player.upstream(error("42601", "syntax error") + READY)
    assert errors(player.sent()[0]) == ["42501"]


def test_a_report_that_it_has_changed_ends_the_session() -> None:
    player = log_in((SETTING, "on"))
    player.client(parse("SELECT 1") + SYNC)
    player.upstream(PARSED + message("S", f"{SETTING}\0off\0".encode()) + READY)
    code, text = fault_of(player)
    assert code is EndCode.UPSTREAM_FAULT
    assert SETTING in text
