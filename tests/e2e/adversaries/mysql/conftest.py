from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.e2e.adversaries.mysql.house")

from tests.e2e.adversaries.house import rego  # noqa: E402
from tests.e2e.adversaries.mysql.house import POLICY, REGO_DATA, House, open_house  # noqa: E402
from tests.mysql_servers import MySqlDatabase  # noqa: E402
from tests.servers import gates  # noqa: E402


@pytest.fixture(scope="module", params=["policy", "opa"])
def house(
    request: pytest.FixtureRequest, mysql_server: MySqlDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """The shop, once for each module, each kind of server and each plugin that has a policy."""
    folder = tmp_path_factory.mktemp("house")
    plugins = POLICY if request.param == "policy" else rego(folder, REGO_DATA)
    with gates(folder) as make, open_house(mysql_server, make, plugins) as house:
        yield house
