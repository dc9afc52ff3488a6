import signal

import pytest

pytest_plugins = ["tests.servers", "tests.mysql_servers"]


def pytest_configure(config: pytest.Config) -> None:
    """End in order on SIGTERM too, so that no server of a fixture is left."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
