"""A handshake's messages with one side: each has the number after the one before, whoever sends it."""

from __future__ import annotations

from gatepost.adapter import SendClient, SendUpstream
from gatepost.errors import Fault
from gatepost_mysql.frames import Inbox, frame, packets_of


class Dialogue:
    """What is said to a side, and what it says.

    Args:
        limit: how long one message may be, in bytes.
        fault: what is raised when the side breaks the framing.
        send: the action that sends it bytes.

    Attributes:
        inbox: what it has sent.
        number: of the next message.
    """

    def __init__(self, limit: int, fault: type[Fault], send: type[SendClient] | type[SendUpstream]) -> None:
        self.inbox = Inbox(limit, fault)
        self.number = 0
        self._send = send

    def say(self, message: bytes) -> SendClient | SendUpstream:
        data = frame(message, self.number)
        self.number += packets_of(len(message))
        return self._send(data)

    def hear(self) -> bytes | None:
        """The next message, None if it is not whole."""
        message = self.inbox.message(self.number)
        if message is not None:
            self.number += packets_of(len(message))
        return message
