from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.e2e.adversaries.mysql.house")

from tests.e2e.adversaries.house import rego  # noqa: E402
from tests.e2e.adversaries.mysql.house import POLICY, REGO_DATA, House, open_house  # noqa: E402
from tests.mysql_servers import MySqlDatabase  # noqa: E402
from tests.servers import gates  # noqa: E402


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What OPA is told is the same of both servers, so one of them is enough."""

    def is_needed(item: pytest.Item) -> bool:
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        return (params.get("mysql_server"), params.get("house")) != ("mysql", "opa")

    needless = [item for item in items if not is_needed(item)]
    items[:] = filter(is_needed, items)
    config.hook.pytest_deselected(items=needless)


@pytest.fixture(scope="session", params=["policy", "opa"])
def house(
    request: pytest.FixtureRequest, mysql_server: MySqlDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """The shop, once for each kind of server and each plugin that has a policy."""
    folder = tmp_path_factory.mktemp("house")
    plugins = POLICY if request.param == "policy" else rego(folder, REGO_DATA)
    with gates(folder) as make, open_house(mysql_server, make, plugins) as house:
        yield house
