"""A whole session: from the first byte to statements, and how it ends."""

from __future__ import annotations

import pytest
from tests.fuzz.postgres_server import DESCRIPTION, ROW
from tests.protocols.postgres.handshake import (
    AGENT,
    AUTH_OK,
    STARTUP,
    ScramClient,
    client_final,
    database_ready,
    error,
    make_player,
    prove,
    same_however_cut,
    serve,
    split,
    startup,
    told,
)
from tests.wire import SSL_REQUEST, message, query

from gatepost.adapter import CLIENT, UPSTREAM, Connect, SendClient, Serving
from gatepost.errors import ClientFault, Fault, FaultCode, PluginFault, UpstreamFault
from gatepost.testing import RecordingHooks, from_client, from_upstream
from gatepost.values import EndCode
from gatepost_postgres.messages import PROTOCOL_3_2

NOTIFICATION = message("A", b"\0\0\0\x63channel\0payload\0")


def test_a_client_comes_through_to_its_first_statement_however_the_bytes_are_cut():
    steps = [
        from_client(STARTUP),
        from_client(ScramClient().initial()),
        from_client(client_final()),
        from_upstream(AUTH_OK + database_ready()),
        from_client(query("select 1")),
    ]
    player = same_however_cut(make_player, steps)
    assert [kind for kind, _ in split(bytes(player.to_client))] == list("RRRRSSKZ")
    assert [statement.text for statement in player.asked] == ["select 1"]
    assert player.to_upstream.endswith(query("select 1"))
    assert player.actions.index(Connect(AGENT)) < player.actions.index(Serving())


def test_what_either_side_sent_ahead_is_served_once_the_database_is_ready():
    player = prove(make_player()).client(query("select 1"))
    assert not player.asked
    player.upstream(AUTH_OK + database_ready() + NOTIFICATION)
    assert player.to_client.endswith(NOTIFICATION)
    assert [statement.text for statement in player.asked] == ["select 1"]


def test_what_was_done_before_a_fault_is_done_however_the_bytes_are_cut():
    player = same_however_cut(make_player, [from_client(SSL_REQUEST + STARTUP + message("p", b"nonsense"))])
    assert [kind for kind, _ in split(bytes(player.to_client[1:]))] == ["R", "E"]


def test_what_no_plugin_has_seen_does_not_leave_with_a_fault():
    player = prove(make_player()).client(message("y", b"")).upstream(AUTH_OK + database_ready() + NOTIFICATION)
    assert NOTIFICATION not in player.to_client
    assert error(bytes(player.to_client))["C"] == "08P01"


def test_what_is_sent_ahead_is_bounded():
    player = prove(make_player()).client(bytes(16 * 1024 + 1))
    assert error(bytes(player.to_client))["C"] == "54000"


def test_a_session_is_idle_only_when_it_serves():
    assert not prove(make_player()).session.is_idle
    assert serve(make_player()).session.is_idle


# Cancel keys.


@pytest.mark.parametrize(("version", "length"), [(3 << 16, 4), (PROTOCOL_3_2, 32)])
def test_a_cancel_key_is_gatepost_s_own_and_as_long_as_the_version_allows(version, length):
    player = make_player(number=4711, cancel_secret=bytes(range(32)))
    player.client(startup(version, user="agent"))
    client = ScramClient()
    player.client(message("p", client.final(told(player, client.initial())[0][1][4:])))
    assert not player.session.owns(bytes(range(length)))
    player.upstream(AUTH_OK + database_ready())
    assert dict(split(bytes(player.to_client)))["K"] == (4711).to_bytes(4) + bytes(range(length))
    assert b"sesa" not in player.to_client
    assert player.session.owns(bytes(range(length)))


@pytest.mark.parametrize("secret", [b"", b"sesa", bytes(4), bytes(range(3)), bytes(range(5)), bytes(range(32))])
def test_another_key_does_not_own_the_session(secret):
    assert not serve(make_player()).session.owns(secret)


# Ends.


@pytest.mark.parametrize("bring", [lambda player: player, lambda player: player.client(STARTUP), prove, serve])
def test_a_client_that_leaves_is_told_nothing(bring):
    player = bring(make_player())
    player.sent()
    assert player.eof(CLIENT).closed.code is EndCode.CLIENT_LEFT
    assert player.sent() == (b"", b"")


def test_a_statement_under_way_ends_incomplete_when_the_client_leaves():
    player = serve(make_player()).client(query("select 1")).eof(CLIENT)
    ((statement, outcome),) = player.ended
    assert (statement.text, outcome.complete) == ("select 1", False)


@pytest.mark.parametrize(("bring", "code"), [(prove, EndCode.UPSTREAM_FAULT), (serve, EndCode.SERVER_CLOSED)])
def test_a_database_that_closes_is_told(bring, code):
    player = bring(make_player())
    player.sent()
    player.eof(UPSTREAM)
    fields = error(player.sent()[0])
    assert (fields["S"], fields["C"]) == ("FATAL", "08006")
    assert player.closed.code is code


def test_a_database_that_closes_ends_what_it_was_doing():
    player = serve(make_player()).client(query("select 1")).eof(UPSTREAM)
    assert [outcome.complete for _, outcome in player.ended] == [False]


@pytest.mark.parametrize(
    ("fault", "sqlstate"),
    [
        (ClientFault("bad"), "08P01"),
        (ClientFault("bad", code=FaultCode.TOO_LARGE), "54000"),
        (ClientFault("bad", code=FaultCode.TOO_MANY), "53300"),
        (ClientFault("bad", code=FaultCode.IDLE), "57P05"),
        (ClientFault("bad", code=FaultCode.SHUTDOWN), "57P01"),
        (UpstreamFault("bad"), "08006"),
        (UpstreamFault("bad", code=FaultCode.UPSTREAM_DOWN, hint="Try again later."), "08006"),
        (PluginFault("bad"), "58000"),
        (PluginFault("bad", code=FaultCode.RECORD), "58030"),
    ],
)
@pytest.mark.parametrize("bring", [lambda player: player, lambda player: player.client(STARTUP), prove, serve])
def test_a_fault_is_told_in_the_protocols_form(bring, fault, sqlstate):
    player = bring(make_player())
    player.sent()
    player.fault(fault)
    fields = error(player.sent()[0])
    assert (fields["S"], fields["C"], fields["M"], fields.get("H", "")) == ("FATAL", sqlstate, "bad", fault.hint)
    assert player.closed.text == "bad"


@pytest.mark.parametrize("code", FaultCode)
def test_every_kind_of_fault_has_an_sqlstate(code):
    actions = make_player().session.fault(Fault("bad", code=code), EndCode.CLIENT_FAULT)
    assert isinstance(actions[0], SendClient)


def passing():
    return RecordingHooks(wants_statements=False, wants_rows=False, wants_notices=False)


@pytest.mark.parametrize("hooks", [RecordingHooks, passing])
def test_a_client_that_has_said_it_leaves_has_left_whatever_closes_first(hooks):
    player = serve(make_player(hooks=hooks())).client(message("X"))
    player.sent()
    assert player.eof(UPSTREAM).closed.code is EndCode.CLIENT_LEFT
    assert player.sent()[0] == b""


@pytest.mark.parametrize("hooks", [RecordingHooks, passing])
def test_a_fault_within_a_message_is_not_told(hooks):
    begin = DESCRIPTION + ROW[:-1]
    player = serve(make_player(hooks=hooks())).client(query("select 1"))
    player.sent()
    player.upstream(begin).eof(UPSTREAM)
    assert player.sent()[0] == begin
    assert player.closed.code is EndCode.SERVER_CLOSED
