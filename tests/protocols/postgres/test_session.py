"""A whole session: from the first byte to the phase that serves statements, and how it ends before."""

from __future__ import annotations

import sys
import types

import pytest
from tests.protocols.postgres import handshake
from tests.protocols.postgres.handshake import (
    Wire,
    however_cut,
    log_in,
    message,
    split,
    verifier,
)

pytestmark = pytest.mark.usefixtures("serving")


@pytest.fixture
def serving(monkeypatch):
    fake = types.ModuleType("gatepost_postgres.serving")
    fake.ServingPhase = handshake.Serving_
    fake.Started = lambda **values: types.SimpleNamespace(**values)
    monkeypatch.setitem(sys.modules, "gatepost_postgres.serving", fake)


def test_a_client_comes_through_to_its_first_statement():
    def scenario(piece: int) -> Wire:
        wire = Wire(answer=lambda question: verifier(), piece=piece)
        log_in(wire)
        wire.from_client(message("Q", b"select 1\0"))
        return wire

    wire = however_cut(scenario)
    told = split(wire.client)
    assert [kind for kind, _ in told] == ["R", "R", "R", "R", "S", "S", "S", "K", "Z"]
    assert wire.events == ["connect agent-7", "serving"]
    assert wire.upstream.endswith(message("Q", b"select 1\0"))
    assert wire.session.is_idle


def test_the_client_gets_a_cancel_key_of_gatepost_and_its_own_name():
    wire = Wire(answer=lambda question: verifier())
    log_in(wire)
    told = dict(split(wire.client))
    assert told["K"] == (4711).to_bytes(4) + bytes(range(4))
    assert b"dbuser" not in wire.client
    assert b"session_authorization\0agent\0" in wire.client
