"""Functions, files and catalogues that do more than they say, or tell what a table would not."""

from __future__ import annotations

import pytest
from tests.e2e.adversaries.house import House, assert_denied, assert_serving, in_every_way

DENIED = {
    "9 a program's input": "COPY cards TO PROGRAM 'cat'",
    "9 a file": "COPY a TO '/tmp/gatepost-adversary'",
    "9 a program's output": "COPY notes FROM PROGRAM 'id'",
    "16 a file": "SELECT * FROM pg_read_file('/etc/passwd')",
    "16 a folder": "SELECT pg_ls_dir('/')",
    "18 a query in a text": "SELECT query_to_xml('select pan from cards',true,false,'')",
    "18 a table in a text": "SELECT table_to_xml('cards', true, false, '')",
    "18 a cursor in a text": "SELECT ts_stat('select to_tsvector(pan) from cards')",
    "19 another connection": "SELECT * FROM dblink('dbname=app','delete from cards returning pan') AS t(p text)",
    "21 a channel": "SELECT pg_notify('c',pan) FROM cards; LISTEN c",
    "21 a function's channel": "SELECT pg_notify('c', 'x')",
    "23 effects": "SELECT nextval('s'), pg_advisory_lock(1), pg_terminate_backend(42)",
    "23 a sequence": "SELECT nextval('s')",
    "23 a lock": "SELECT pg_advisory_lock(1)",
    "23 another session": "SELECT pg_terminate_backend(42)",
    "25 somebody else's rights": "SELECT my_security_definer_fn(1)",
    "25 in a predicate": "SELECT id FROM a WHERE my_security_definer_fn(id) > 0",
    "64 statistics": "SELECT most_common_vals FROM pg_stats WHERE tablename='cards'",
    "64 statistics, by their schema": "SELECT histogram_bounds FROM pg_catalog.pg_stats",
    "64 statistics, unwrapped": "SELECT stavalues1 FROM pg_statistic",
    "65 what others ask": "SELECT query FROM pg_stat_activity",
    "65 by a function": "SELECT query FROM pg_stat_get_activity(NULL)",
    "66 a table's pages": "SELECT get_raw_page('cards',0)",
    "a large object": "SELECT lo_import('/etc/passwd')",
    "passwords": "SELECT rolpassword FROM pg_authid",
    "passwords, by another name": "SELECT passwd FROM pg_shadow",
    "a setting of the server": "ALTER SYSTEM SET log_statement = 'all'",
    "a module": "LOAD 'auto_explain'",
    "a library": "CREATE FUNCTION f() RETURNS int LANGUAGE c AS '/tmp/x.so', 'f'",
}


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize("text", DENIED.values(), ids=DENIED)
def test_it_is_denied(house: House, role: str, text: str) -> None:
    with house.unchanged(), house.enter(role) as wire:
        for answers in in_every_way(wire, text):
            assert_denied(answers)
            house.assert_kept(answers)
        assert_serving(wire)
