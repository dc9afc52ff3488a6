"""GRANT statements in MySQL's words, and what real servers make of them."""

from __future__ import annotations

import pymysql
import pytest
from tests.mysql_servers import MySqlDatabase

from gatepost.values import Use
from gatepost_mysql import ADAPTER
from gatepost_sql.catalogue import Catalogue

CATALOGUE = Catalogue(0.0, ())


def use(verb: str, name: str, *columns: str) -> Use:
    return Use(verb=verb, name=name, columns=columns or None)


@pytest.mark.parametrize(
    ("uses", "statements"),
    [
        ([use("select", "shop.cards")], ["GRANT SELECT ON `shop`.`cards` TO `agent`;"]),
        (
            [use("select", "shop.cards", "id"), use("select", "shop.cards", "brand"), use("delete", "shop.cards")],
            ["GRANT SELECT (`id`, `brand`), DELETE ON `shop`.`cards` TO `agent`;"],
        ),
        (
            [use("select", "shop.cards", "id"), use("select", "shop.cards")],
            ["GRANT SELECT ON `shop`.`cards` TO `agent`;"],
        ),
        ([use("truncate", "shop.orders")], ["GRANT DROP ON `shop`.`orders` TO `agent`;"]),
        ([use("set", "autocommit")], []),
        (
            [use("call", "shop.settle")],
            ["-- GRANT EXECUTE ON PROCEDURE `shop`.`settle` TO `agent`; -- or ON FUNCTION, if it is one"],
        ),
        ([use("administer", "x\nDROP TABLE y")], ["-- no privilege gives administer on `x DROP TABLE y`"]),
        ([use("select", "a`b.c`; DROP TABLE d")], ["GRANT SELECT ON `a``b`.`c``; DROP TABLE d` TO `agent`;"]),
    ],
)
def test_grants(uses: list[Use], statements: list[str]) -> None:
    assert ADAPTER.grants("agent", uses, CATALOGUE) == statements


def test_a_server_holds_a_role_to_them(mysql_server: MySqlDatabase) -> None:
    uses = [use("select", "shop.cards", "id", "brand"), use("insert", "shop.orders")]
    given = ADAPTER.grants("granted", uses, CATALOGUE)
    with mysql_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE USER granted IDENTIFIED BY 'granted-password'")
        try:
            for statement in given:
                cursor.execute(statement)
            options = {"host": "127.0.0.1", "port": mysql_server.server.port, "database": "shop"}
            with (
                pymysql.connect(user="granted", password="granted-password", **options) as agent,
                agent.cursor() as limited,
            ):
                limited.execute("SELECT id, brand FROM cards")
                limited.execute("INSERT INTO orders (customer) VALUES (1)")
                agent.rollback()
                for refused in ("SELECT pan FROM cards", "SELECT id FROM orders", "DELETE FROM orders"):
                    with pytest.raises(pymysql.Error, match="denied"):
                        limited.execute(refused)
        finally:
            cursor.execute("DROP USER granted")
