"""What `facts` turns into UNKNOWN."""

from __future__ import annotations


class NotUnderstood(Exception):
    """A text cannot be judged; the message says why, and quotes nothing of it."""


class NotAccepted(NotUnderstood):
    """The database, too, would refuse such a text."""
