"""The record of a session with a MySQL server: every byte that the client was sent."""

from __future__ import annotations

import subprocess

from tests.e2e.scripts import DENIES
from tests.e2e.tap import Tap
from tests.mysql_client import MySqlWire, Prepared
from tests.mysql_servers import MySqlDatabase, mysql_front
from tests.servers import GATEPOST, MakeGate, eventually


def test_a_raw_replay_is_every_byte_that_the_client_was_sent(gate: MakeGate, mysql_server: MySqlDatabase) -> None:
    """Masked rows in several parts, prepared statements and their binary rows, errors, denials."""
    own = mysql_front(gate, mysql_server, scripts=[DENIES])
    with MySqlWire(own.port) as client:
        tap = Tap(client)
        client.log_in("agent", own.password)
        before = len(tap.seen)
        client.query("SELECT a.id, a.pan, REPEAT('x', 9000) FROM cards a, cards b, cards c LIMIT 60")
        prepared = client.prepare("SELECT pan, ? FROM cards LIMIT 2")
        assert isinstance(prepared, Prepared)
        client.execute(prepared, [b"\x1b]0;owned\x07"])
        assert client.query("SELECT 'forbidden'")[0].error is not None
        assert client.query("SELECT nothing")[0].error is not None
        client.query("SELECT 1")
    (session,) = eventually(lambda: [each for each in own.audit("sessions") if each["ended"]])
    command = [GATEPOST, "--config", own.config, "audit", "replay", session["id"]]
    raw = subprocess.run([*command, "--raw"], capture_output=True, check=True).stdout
    shown = tap.seen[before:]
    assert len(shown) > 70_000
    assert raw.endswith(shown)
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert "owned" in text
    assert all(character.isprintable() or character == "\n" for character in text)
