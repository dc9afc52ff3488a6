from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.certificates import Authority

pytest.register_assert_rewrite("tests.e2e.adversaries.house")

from tests.e2e.adversaries.house import House, open_house, policy, rego  # noqa: E402
from tests.servers import database, gates  # noqa: E402

POLICIES = {"policy": policy, "opa": rego}


@pytest.fixture(scope="module", params=POLICIES)
def house(
    request: pytest.FixtureRequest, binaries: Path, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """The shop, once for each module and each plugin that has a policy."""
    folder = tmp_path_factory.mktemp("house")
    certificate, key = authority.server()
    target = f"""\
database = "shop"
[targets.shop.tls]
mode = "optional"
certificate = "{certificate}"
key = "{key}"
"""
    plugins = POLICIES[request.param](folder)
    with database(binaries) as postgres, gates(folder) as make, open_house(postgres, make, plugins, target) as house:
        yield house
