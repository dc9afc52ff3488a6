from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.e2e.adversaries.mysql.house")

from tests.e2e.adversaries.mysql.house import House, open_house  # noqa: E402
from tests.mysql_servers import MySqlDatabase  # noqa: E402
from tests.servers import gates  # noqa: E402


@pytest.fixture(scope="module")
def house(mysql_server: MySqlDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The shop, once for each module and each kind of server."""
    with gates(tmp_path_factory.mktemp("house")) as make, open_house(mysql_server, make) as house:
        yield house
