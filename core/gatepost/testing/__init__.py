"""What the tests of a plugin or a protocol need.

A plugin's test calls its hooks with `make_session`, `make_statement` and `make_batch`, and looks at what came of them.
A protocol's test plays a transcript through a `Player` and looks at what was said to each side; `every_split` plays the
same transcript cut at every byte.
"""

from gatepost.testing.rows import Cell, PlainBatch, PlainRow, make_batch, make_row
from gatepost.testing.sessions import (
    TLS,
    UPSTREAM_CREDENTIALS,
    Player,
    RecordingHooks,
    Said,
    Step,
    every_split,
    from_client,
    from_upstream,
    make_environment,
    play,
    said,
)
from gatepost.testing.values import AGENT, FakeGateway, make_columns, make_result, make_session, make_statement

__all__ = [
    "AGENT",
    "TLS",
    "UPSTREAM_CREDENTIALS",
    "Cell",
    "FakeGateway",
    "PlainBatch",
    "PlainRow",
    "Player",
    "RecordingHooks",
    "Said",
    "Step",
    "every_split",
    "from_client",
    "from_upstream",
    "make_batch",
    "make_columns",
    "make_environment",
    "make_result",
    "make_row",
    "make_session",
    "make_statement",
    "play",
    "said",
]
