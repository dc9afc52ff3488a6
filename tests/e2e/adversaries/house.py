"""A shop that adversaries try to rob, and what they must not come away with.

The gate logs in as the database's superuser, so that the database itself refuses nothing: what is refused, the gate
refuses. Three agents: a *reader* may read cards(id, holder, pan), a *analyst* may read every table, and a *writer* may
besides write notes and holders. All of them see card numbers masked, and security codes not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from tests.cards import of_every_brand
from tests.e2e.adversaries.kept import MASK, ROLES, assert_kept
from tests.servers import Database, Gate, MakeGate
from tests.wire import ARRAY_ELEMENTS, SYNC, Message, Wire, bind, describe, execute, parse, texts

EXAMPLES = Path(__file__).parents[3] / "examples"

SCHEMA: Final = """
CREATE SCHEMA house;
CREATE SCHEMA evil;
CREATE ROLE admin SUPERUSER;
DROP TABLE orders, cards, customers;
CREATE TABLE cards (id int PRIMARY KEY, holder text NOT NULL, pan text NOT NULL UNIQUE, cvv text NOT NULL, meta jsonb);
CREATE TABLE a (id int PRIMARY KEY);
CREATE TABLE notes (note text);
CREATE SEQUENCE s;
CREATE VIEW renamed AS SELECT id AS number, pan AS nick FROM cards;
CREATE TABLE evil.cards (id int, pan text);
CREATE FUNCTION my_security_definer_fn(int) RETURNS int LANGUAGE sql SECURITY DEFINER
    AS 'DELETE FROM cards WHERE id = $1 RETURNING id';
CREATE EXTENSION IF NOT EXISTS dblink;
CREATE EXTENSION IF NOT EXISTS pageinspect;
"""

# Everything that an adversary could have changed: definitions, rows, sequences, rights, settings, locks, large objects.
DIGEST: Final = """
SELECT array_agg(found ORDER BY found) FROM (
    SELECT format('relation %s %s %s %s %s', oid, relnamespace::regnamespace, relname, relkind, relacl) AS found
      FROM pg_class WHERE relkind <> 'i' AND oid >= 16384
    UNION ALL SELECT format('column %s %s %s', attrelid, attnum, attname) FROM pg_attribute WHERE attrelid >= 16384
    UNION ALL SELECT format('function %s %s', oid, proname) FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT format('schema %s', nspname) FROM pg_namespace WHERE nspname !~ '^pg_t'
    UNION ALL SELECT format('role %s %s %s', rolname, rolsuper, rolconfig) FROM pg_roles
    UNION ALL SELECT format('member %s %s', roleid, member) FROM pg_auth_members
    UNION ALL SELECT format('setting %s', s) FROM pg_db_role_setting s
    UNION ALL SELECT format('large object %s', oid) FROM pg_largeobject_metadata
    UNION ALL SELECT format('lock %s', objid) FROM pg_locks WHERE locktype = 'advisory'
    UNION ALL SELECT format('card %s', c) FROM cards c
    UNION ALL SELECT format('a %s', a) FROM a
    UNION ALL SELECT format('note %s', n) FROM notes n
    UNION ALL SELECT format('sequence %s %s', last_value, is_called) FROM s
) everything
"""

# Functions that only compute. A policy that names functions needs each of them; others are denied.
FUNCTIONS: Final = [
    "array_agg",
    "chr",
    "count",
    "encode",
    "get_bit",
    "jsonb_array_elements",
    "left",
    "max",
    "md5",
    "min",
    "rank",
    "regexp_split_to_table",
    "repeat",
    "reverse",
    "right",
    "row_to_json",
    "string_agg",
    "substr",
    "to_jsonb",
    "to_regtype",
    "translate",
]
# What the three may do, as data of the example's Rego policy and in TOML.
REGO_DATA: Final = {
    "roles": {
        "reader": {
            "allow": [
                {
                    "do": ["select"],
                    "on": {
                        "public.cards": ["id", "holder", "pan"],
                        "public.{a,notes,renamed}": ["*"],
                    },
                }
            ]
        },
        "analyst": {"allow": [{"do": ["select", "copy_to"], "on": {"public.*": ["*"]}}]},
        "writer": {
            "allow": [
                {"do": ["select"], "on": {"public.*": ["*"]}},
                {"do": ["insert"], "on": {"public.notes": ["*"]}},
                {"do": ["update"], "on": {"public.cards": ["holder", "pan"]}},
            ]
        },
    },
    "functions": FUNCTIONS,
}
POLICY: Final = """
[plugins.policy.roles.reader]
allow = [{ do = "select", on = ["public.cards(id, holder, pan)", "public.a", "public.notes", "public.renamed"] }]

[plugins.policy.roles.analyst]
allow = [{ do = "read", on = "public.*" }]

[plugins.policy.roles.writer]
allow = [
  { do = "select", on = "public.*" },
  { do = "insert", on = "public.notes" },
  { do = "update", on = "public.cards(holder, pan)" },
]
"""


class House(NamedTuple):
    """The gate before the database, a direct connection to that, and what is to be kept from adversaries."""

    gate: Gate
    direct: psycopg.Connection
    passwords: dict[str, str]
    pans: Sequence[str]
    codes: Sequence[str]

    @contextmanager
    def enter(self, role: str = "reader") -> Iterator[Wire]:
        """A session of the agent of a role."""
        with Wire(self.gate.port).log_in(role, self.passwords[role]) as wire:
            yield wire

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """The database is after it what it was before, as a direct connection sees it."""
        before = self.direct.execute(DIGEST).fetchone()
        yield
        assert self.direct.execute(DIGEST).fetchone() == before

    def assert_kept(self, answers: Iterable[Message]) -> None:
        """No card number and no security code can be read out of what a client was sent."""
        assert_kept(decoded(answers), self.pans, self.codes)


def build(direct: psycopg.Connection) -> tuple[Sequence[str], Sequence[str]]:
    """Make the shop's tables. Returns the card numbers and the security codes."""
    pans = of_every_brand()
    codes = [f"cvv-{number:03}" for number in range(len(pans))]
    direct.execute(SCHEMA)
    with direct.cursor().copy("COPY cards FROM STDIN") as copy:
        for number, (pan, code) in enumerate(zip(pans, codes, strict=True), 1):
            copy.write_row((number, f"Holder {number}", pan, code, json.dumps({"pans": [pan]})))
    direct.execute("INSERT INTO a SELECT id FROM cards")
    direct.execute("ANALYZE")
    return pans, codes


@contextmanager
def open_house(database: Database, make: MakeGate, plugins: str, target: str = "") -> Iterator[House]:
    """Build the shop and put a gate before it, whose policy is `plugins`."""
    server = database.server
    inspector = f"""
[plugins.secrets.targets.shop.inspector]
user = "{server.user}"
password = "file:upstream.password"
"""
    with database.connect() as direct:
        pans, codes = build(direct)
        login = database._replace(user=server.user, password=server.password)
        gate = make(login, plugins=inspector + plugins + MASK, target=target)
        passwords = {role: gate.add_agent(role, role) for role in ROLES}
        yield House(gate, direct, passwords, pans, codes)


def rego(folder: Path, data: Mapping[str, Any] = REGO_DATA) -> str:
    """`[plugins.opa]` with the example's policy, and the data of a shop."""
    policy = folder / "policy"
    policy.mkdir()
    (policy / "policy.rego").write_text((EXAMPLES / "opa" / "policy.rego").read_text())
    (policy / "data.json").write_text(json.dumps(data))
    return f'[plugins.opa]\npolicy = "{policy}"\ntimeout = "20s"\n'


def policy(folder: Path) -> str:
    """`[plugins.policy]` with the same rights."""
    return POLICY


def decoded(answers: Iterable[Message]) -> Iterator[str]:
    """Everything that a client was sent, as texts: cells by their types, the rest as it is."""
    columns: list[tuple[str, int, int]] = []
    for answer in answers:
        match answer.kind:
            case "T":
                columns = answer.columns
                yield from (name for name, _, _ in columns)
            case "D":
                for cell, (_, oid, form) in zip(answer.cells, columns, strict=True):
                    yield from (text for text in cell_texts(cell, oid, form) if text is not None)
            case _:
                yield answer.body.decode("latin-1")


def cell_texts(cell: bytes | None, oid: int, form: int) -> list[str | None]:
    """A cell's values; what is in binary and of a type that is not known here, byte by byte."""
    known = {16, 20, 21, 23, 25, 26, 701, 114, 1043, 1700, 3802, *ARRAY_ELEMENTS}
    if form == 0 or oid in known:
        return texts(cell, oid, form)
    return [None if cell is None else cell.decode("latin-1")]


def in_every_way(wire: Wire, text: str) -> Iterator[list[Message]]:
    """The answers to a statement as a simple query, and in the extended protocol with results as text and in binary."""
    yield wire.query(text)
    for binary in (0, 1):
        wire.send(parse(text), bind(binary=binary), describe("P"), execute(), SYNC)
        yield wire.read_until("Z")


def kinds(answers: Iterable[Message]) -> str:
    return "".join(answer.kind for answer in answers)


def assert_denied(answers: Sequence[Message]) -> None:
    """One ordinary error that says why, and nothing else."""
    assert kinds(answers) == "EZ"
    told = answers[0].fields
    assert (told["S"], told["C"]) == ("ERROR", "42501"), told
    assert told["M"]
    assert told["D"].startswith("rule ")
    assert told["H"]


def assert_serving(wire: Wire) -> None:
    """The connection lives on."""
    answers = wire.query("SELECT 1")
    assert kinds(answers) == "TDCZ"
    assert answers[-1].body == b"I"
