"""Framing: one type byte, a length that counts itself but not the type, a body.

Source: PostgreSQL 18 documentation, 54.2 "Message Flow" and 54.7 "Message Formats".
"""

from __future__ import annotations

import struct
from typing import Final

HEADER_BYTES: Final = 5

# The server refuses anything that does not fit a signed length; so do we.
LONGEST: Final = 2**31 - 1

# Type and length of the message at an offset.
header: Final = struct.Struct("!BI").unpack_from
