"""How many cases are tried: the same few each time, or as many others as GATEPOST_FUZZ_EXAMPLES says."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

EXAMPLES = os.environ.get("GATEPOST_FUZZ_EXAMPLES")
fuzz = settings(
    max_examples=int(EXAMPLES or "200"),
    derandomize=EXAMPLES is None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# As many examples as one asks for take as long as they take.
patience = pytest.mark.timeout(0) if EXAMPLES else []
