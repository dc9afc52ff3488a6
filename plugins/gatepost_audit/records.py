"""What the journal's entries hold: one MessagePack array each, whose first element is the kind.

Times are Unix nanoseconds. Every text has been through `Gateway.redact`. A later version appends fields and kinds, and
never removes or moves one, so that a record of 365 days ago still decodes. Together they hold, for each event, what PCI
DSS 10.2.2 asks for: the user (`SessionStart`, by session), the type, the time, success or failure, the origination
(`SessionStart.client`) and the object affected (`FactsRecord.objects`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec
from msgspec import Raw, Struct


class SessionStart(Struct, frozen=True, array_like=True, tag=1):
    """A client is connected, or has failed to be (`identity` ""; PCI DSS 10.2.1.4).

    It is told again once a day while the session lasts, so that who it is outlasts the retention of where it began.
    """

    time: int
    session: str
    worker: int
    client: str
    protocol: str
    target: str
    user: str
    database: str
    application: str
    tls: str
    identity: str
    roles: tuple[str, ...]
    issuer: str
    method: str
    acting_for: str


class SessionEnd(Struct, frozen=True, array_like=True, tag=2):
    """A session is over; `code` is the number of a `gatepost.values.EndCode`."""

    time: int
    session: str
    code: int
    text: str


class FactsRecord(Struct, frozen=True, array_like=True):
    """What the text means (`gatepost.values.Facts`), as far as it is kept.

    `objects` are (verb, name, columns), columns None where they are not known; `bounded` has one element for each, none
    in records that do not tell. `apart` is "" where it is not told. `predicates` are (relation, column), and `outputs`
    (name, origins, whether it is direct), where origins are the same.
    """

    verbs: tuple[str, ...]
    objects: tuple[tuple[str, str, tuple[str, ...] | None], ...]
    functions: tuple[str, ...]
    fingerprint: str
    reason: str
    statements: int = 1
    bounded: tuple[bool, ...] = ()
    columns: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    apart: str = ""
    settings: tuple[tuple[str, str | None], ...] = ()
    predicates: tuple[tuple[str, str], ...] | None = None
    depth: int = 1
    resolved: bool = False
    outputs: tuple[tuple[str, tuple[tuple[str, str], ...] | None, bool], ...] = ()


class Asked(Struct, frozen=True, array_like=True, tag=3):
    """A statement and the verdict on it, made before it could take effect.

    `binds` has one element for each parameter: its texts, or None for NULL. `original` is the text before a plugin
    rewrote it. `risk` is the score of its risk, 0 if no plugin weighed it, and `risks` are the reasons. `attributes`
    are names of what the client said of it besides, with texts as in `binds`.
    """

    time: int
    session: str
    number: int
    worker: int
    text: str
    original: str | None
    binds: tuple[tuple[str, ...] | None, ...]
    preparation: bool
    verdict: str
    plugin: str
    rule: str
    reason: str
    effect: str
    facts: FactsRecord
    risk: int = 0
    risks: tuple[str, ...] = ()
    attributes: tuple[tuple[str, tuple[str, ...] | None], ...] = ()


class Ended(Struct, frozen=True, array_like=True, tag=4):
    """What came of a statement.

    `output` are the bytes that left for the client and are not in a `Part`; they begin at `offset` of all that the
    session was shown, and the statement's answer begins at `start`. `ran` is False for a statement that was allowed but
    was withdrawn, or whose record could not be confirmed, before any of it was sent to the database.
    """

    time: int
    session: str
    number: int
    rows: int
    size: int
    received: int
    duration: float
    tag: str
    error: str
    message: str
    masked: int
    complete: bool
    start: int
    offset: int
    output: bytes
    ran: bool = True


class Part(Struct, frozen=True, array_like=True, tag=5):
    """Bytes that left for the client, from `offset` of all that the session was shown."""

    time: int
    session: str
    offset: int
    output: bytes


class EventKind(StrEnum):
    """What happens to the record itself (PCI DSS 10.2.1.3 and 10.2.1.6)."""

    START = "start"
    STOP = "stop"
    RECOVERED = "recovered"
    FAILED = "failed"
    GAP = "gap"
    ACCESS = "access"
    CLOCK = "clock"


class Event(Struct, frozen=True, array_like=True, tag=6):
    """Something that happened to the record itself: `who` did it, in words for a person."""

    time: int
    kind: EventKind
    who: str
    detail: str


class Changed(Struct, frozen=True, array_like=True, tag=10):
    """`who` was about to change something of the gate itself (`gatepost.values.Change`; PCI DSS 10.2.1.5)."""

    time: int
    who: str
    action: str
    name: str
    detail: str
    is_done: bool


class Cut(Struct, frozen=True, array_like=True, tag=7):
    """The first entry of a segment after a crash: the segment before it ends at `offset`.

    What stands behind that place was never acknowledged, and is left as it is: `length` bytes, up to the last one that
    is not zero, with this SHA-256.
    """

    time: int
    segment: int
    offset: int
    length: int
    digest: bytes


class Dropped(Struct, frozen=True, array_like=True, tag=9):
    """Segments `first` to `last` are older than the retention and are removed; `head` is the chain's behind them."""

    time: int
    first: int
    last: int
    head: bytes


class Checkpoint(Struct, frozen=True, array_like=True, tag=8):
    """The chain's head before this entry, signed with Ed25519 (see `gatepost_audit.segment`)."""

    time: int
    key: bytes
    signature: bytes


CHECKPOINT: Final = b"\x94\x08"
"""What an encoded `Checkpoint` begins with: an array of four, and the kind."""


class AskedOutline(Struct, frozen=True, array_like=True, tag=3):
    """`Asked`, with what the store keeps as it is still encoded."""

    time: int
    session: str
    number: int
    worker: int
    text: str
    original: Raw
    binds: Raw
    preparation: bool
    verdict: str
    plugin: str
    rule: str
    reason: str
    effect: str
    facts: Raw
    risk: int = 0
    risks: Raw = Raw(b"\x90")
    attributes: Raw = Raw(b"\x90")


Record: TypeAlias = SessionStart | SessionEnd | Asked | Ended | Part | Event | Cut | Checkpoint | Dropped | Changed

Outline: TypeAlias = (
    SessionStart | SessionEnd | AskedOutline | Ended | Part | Event | Cut | Checkpoint | Dropped | Changed
)

encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(
    SessionStart | SessionEnd | Asked | Ended | Part | Event | Cut | Checkpoint | Dropped | Changed
)
_outline_decoder: msgspec.msgpack.Decoder[Outline] = msgspec.msgpack.Decoder(
    SessionStart | SessionEnd | AskedOutline | Ended | Part | Event | Cut | Checkpoint | Dropped | Changed
)
_facts_decoder = msgspec.msgpack.Decoder(FactsRecord)


def decode(payload: bytes) -> Record:
    """Raises msgspec.ValidationError or msgspec.DecodeError where the payload is no record."""
    return _decoder.decode(payload)


def outline(payload: bytes) -> Outline:
    """`decode`, as far as the store looks into the record. Raises the same."""
    return _outline_decoder.decode(payload)


def facts(encoded: bytes) -> FactsRecord:
    """What `AskedOutline.facts` stands for. Raises the same."""
    return _facts_decoder.decode(encoded)
