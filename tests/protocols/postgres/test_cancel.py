"""Cancelling what the database runs, over a second connection."""

from __future__ import annotations

import struct

import pytest
from tests.protocols.postgres.handshake import AUTH_OK, READY, make_player, prove, serve, status
from tests.wire import SSL_REQUEST

from gatepost.adapter import UPSTREAM, Close, ProtocolSession, SendUpstream, StartTls, TlsInfo, TlsPolicy
from gatepost.errors import UpstreamFault
from gatepost.testing import UPSTREAM_CREDENTIALS
from gatepost.values import EndCode, Restriction

REQUEST = SendUpstream(struct.pack("!IIi", 16, 80877102, 99) + b"sesa")


def canceller(**environment: object) -> ProtocolSession:
    """What cancels a session that serves; the first connection needed no TLS."""
    player = make_player(**environment)
    if environment:
        prove(player).upstream(b"S" if environment.get("upstream_tls") is TlsPolicy.REQUIRED else b"N")
        player.upstream(AUTH_OK + status("client_encoding", "UTF8") + b"K\0\0\0\x0c\0\0\0\x63sesa" + READY)
    else:
        serve(player)
    session = player.session.cancel_upstream()
    assert session is not None
    return session


def is_over(actions: list) -> bool:
    return isinstance(actions[-1], Close) and actions[-1].reason.code is EndCode.CANCEL_REQUEST


def test_the_databases_own_key_is_shown():
    actions = canceller().connected(UPSTREAM_CREDENTIALS, Restriction())
    assert actions[0] == REQUEST
    assert is_over(actions)


def test_the_key_travels_inside_tls():
    session = canceller(upstream_tls=TlsPolicy.REQUIRED)
    assert session.connected(UPSTREAM_CREDENTIALS, Restriction()) == [SendUpstream(SSL_REQUEST)]
    assert session.receive(UPSTREAM, b"S") == [StartTls(UPSTREAM)]
    actions = session.tls_started(UPSTREAM, TlsInfo(version="TLSv1.3", cipher="any"))
    assert actions[0] == REQUEST
    assert is_over(actions)


def test_the_key_is_not_shown_to_a_server_that_declines_required_tls():
    session = canceller(upstream_tls=TlsPolicy.REQUIRED)
    session.connected(UPSTREAM_CREDENTIALS, Restriction())
    with pytest.raises(UpstreamFault, match="offers no TLS"):
        session.receive(UPSTREAM, b"N")


def test_optional_tls_may_be_declined():
    session = canceller(upstream_tls=TlsPolicy.OPTIONAL)
    session.connected(UPSTREAM_CREDENTIALS, Restriction())
    assert session.receive(UPSTREAM, b"N")[0] == REQUEST


def test_a_server_that_closes_first_is_a_fault_of_its_own():
    session = canceller(upstream_tls=TlsPolicy.OPTIONAL)
    session.connected(UPSTREAM_CREDENTIALS, Restriction())
    (close,) = session.eof(UPSTREAM)
    assert close.reason.code is EndCode.UPSTREAM_FAULT


def test_there_is_nothing_to_cancel_before_the_database_is_ready():
    assert prove(make_player()).session.cancel_upstream() is None


def test_a_database_without_a_key_is_not_cancelled():
    player = prove(make_player()).upstream(AUTH_OK + status("client_encoding", "UTF8") + READY)
    assert player.serving
    assert player.session.cancel_upstream() is None
