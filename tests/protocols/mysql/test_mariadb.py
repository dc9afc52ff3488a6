"""What MariaDB alone has, as transcripts: metadata of types, columns that are left out, and progress."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from tests import mysql_wire as wire
from tests.protocols.mysql.exchange import said, serving

from gatepost import ALLOW, EndCode, Interest, Limit, Notice, Rewrite, Row, Statement
from gatepost.adapter import Limits
from gatepost.testing import Player, RecordingHooks, Step, every_split, from_client, from_upstream, play

INT, LONGLONG, BLOB = 3, 8, 252
CURSOR_EXISTS = 0x40
MARIADB = wire.CAPABILITIES & ~wire.IS_MYSQL
TYPES, CACHE, PROGRESS = (MARIADB | each for each in (wire.EXTENDED_METADATA, wire.CACHE_METADATA, wire.PROGRESS))
ALL = TYPES | CACHE | PROGRESS

COLUMNS = [
    wire.definition("id", INT, collation=63, more=b""),
    wire.definition("data", BLOB, more=b"\1\4json"),
    wire.definition("key", 254, more=b"\0\4uuid"),
]
PLAIN = [wire.definition("id", INT, collation=63), wire.definition("name")]


def talking(capabilities: int, hooks: RecordingHooks | None = None, **changes: Any) -> Player:
    return serving(hooks, capabilities=capabilities, server=wire.MARIADB, **changes)


def watching(**changes: Any) -> RecordingHooks:
    return RecordingHooks(Interest.EVERYTHING, **changes)


def preparation(
    *columns: bytes, number: int = 1, text: str = "SELECT id, name FROM t", has_eof: bool = False
) -> list[Step]:
    head = struct.pack("<BIHHBH", 0, number, len(columns), 0, 0, 0)
    described = [*columns, wire.eof()] if columns and has_eof else columns
    return [
        from_client(wire.command(wire.PREPARE, text.encode())),
        from_upstream(wire.packets(1, head, *described)),
    ]


def execute(number: int = 1, flags: int = 0) -> bytes:
    return wire.command(wire.EXECUTE, struct.pack("<IBI", number, flags, 1))


def row(number: int, name: str) -> bytes:
    return b"\0\0" + struct.pack("<i", number) + wire.counted(name.encode())


def skipped(*rows: bytes, columns: int = 2, status: int = 2) -> bytes:
    return wire.packets(1, bytes((columns, 0)), *rows, wire.ok(head=0xFE, status=status))


def whole(columns: list[bytes], *rows: bytes) -> bytes:
    return wire.packets(1, bytes((len(columns), 1)), *columns, *rows, wire.ok(head=0xFE))


def fault(made: Player) -> str:
    assert made.closed is not None
    assert made.closed.code is EndCode.UPSTREAM_FAULT
    return made.closed.text


# Metadata of types.


def test_what_the_server_says_of_types_is_told_and_sent_on() -> None:
    hooks = watching()
    made = talking(TYPES, hooks)
    answer = wire.result(COLUMNS, [wire.text_row("1", "{}", "80c9188b-e9dd-11f1-8057-02fc00000001")])
    made.client(wire.query("SELECT * FROM t")).upstream(answer)
    assert made.sent()[0] == answer
    assert [column.type_name for column in hooks.results[0].columns] == ["int", "json", "uuid"]
    assert len(hooks.rows_seen) == 1


def test_names_are_changed_beside_it() -> None:
    def change(notice: Notice) -> None:
        if notice.kind == "column":
            notice.fields["name"] = notice.fields["name"].replace("data", "d")

    made = talking(TYPES, watching(change_notice=change))
    made.client(wire.query("SELECT * FROM t")).upstream(wire.result(COLUMNS, []))
    assert said(made.sent()[0])[2] == wire.definition("d", BLOB, more=b"\1\4json")


@pytest.mark.parametrize(
    "more", [None, b"\1", b"\1\4js", b"\2\4json", b"\1\4json\1\4json", b"\0", b"\1\xffjson", b"\1\4json\0"]
)
def test_types_that_are_described_otherwise(more: bytes | None) -> None:
    made = talking(TYPES).client(wire.query("SELECT * FROM t"))
    made.upstream(wire.result([wire.definition("a", more=more)], []))
    assert fault(made)


def test_types_are_described_where_it_was_agreed_on_alone() -> None:
    made = talking(MARIADB).client(wire.query("SELECT * FROM t")).upstream(wire.result(COLUMNS, []))
    assert fault(made)


# Columns that are left out.


@pytest.mark.parametrize("has_eof", [False, True])
def test_columns_are_those_of_the_preparation(has_eof: bool) -> None:
    hooks = watching(change_row=lambda row: row.replace(1, [row.scalars(1)[0].text.upper()]))
    made = talking(CACHE & ~wire.DEPRECATE_EOF if has_eof else CACHE, hooks)
    play(made, preparation(*PLAIN, has_eof=has_eof))
    made.sent()
    end = [wire.eof(2)] if has_eof else [wire.ok(head=0xFE)]
    between = end if has_eof else []
    for name in ("ada", "bob"):
        made.client(execute()).upstream(wire.packets(1, b"\2\0", *between, row(1, name), *end))
        assert made.sent()[0] == wire.packets(1, b"\2\0", *between, row(1, name.upper()), *end)
    assert [outcome.rows for _, outcome in made.ended] == [0, 1, 1]
    assert [column.name for column in hooks.results[-1].columns] == ["id", "name"]


def test_columns_are_those_of_the_last_execution() -> None:
    hooks = watching()
    made = talking(CACHE, hooks)
    play(made, preparation(*PLAIN))
    wide = [wire.definition("id", LONGLONG, collation=63), PLAIN[1]]
    long = b"\0\0" + struct.pack("<q", 1 << 40) + wire.counted(b"ada")
    answers = [skipped(row(1, "ada")), whole(wide, long), skipped(long), skipped()]
    made.sent()
    for answer in answers:
        made.client(execute()).upstream(answer)
        assert made.sent()[0] == answer
    seen = [struct.pack("<i", 1), struct.pack("<q", 1 << 40), struct.pack("<q", 1 << 40)]
    assert [cells[0] for cells in hooks.rows_seen] == seen
    assert made.session.is_idle


@pytest.mark.parametrize("has_eof", [False, True])
@pytest.mark.parametrize("kind", [INT, LONGLONG])
def test_columns_of_other_words_are_those_that_the_client_knows(kind: int, has_eof: bool) -> None:
    """The server leaves them out as it has told them at the preparation of the other words, which no client sees."""

    def rewriting(statement: Statement) -> Rewrite | object:
        is_first = statement.number == 2
        return Rewrite(text="SELECT 7 AS id, name FROM t") if is_first and statement.original is None else ALLOW

    hooks = watching()
    made = talking(CACHE & ~wire.DEPRECATE_EOF if has_eof else CACHE, hooks, judge=rewriting)
    play(made, preparation(*PLAIN, has_eof=has_eof))
    made.client(execute())
    made.sent()
    between = [wire.eof()] if has_eof else []
    others = [wire.definition("id", kind, collation=63), PLAIN[1]]
    head = struct.pack("<BIHHBH", 0, 7, 2, 0, 0, 0)
    made.upstream(wire.packets(1, head, *others, *between))
    client, upstream = made.sent()
    closed = wire.command(wire.CLOSE, struct.pack("<I", 7))
    if kind == LONGLONG:
        assert b"other columns" in said(client)[0]
        assert upstream == closed
        assert made.ended[-1][1].error == "1142"
    else:
        assert upstream == execute(7) + closed
    end = wire.eof() if has_eof else wire.ok(head=0xFE)
    answer = wire.packets(1, b"\2\0", *between, row(7, "ada"), end)
    if kind == INT:
        made.upstream(answer)
        assert made.sent()[0] == answer
    made.client(execute()).upstream(answer)
    assert made.sent()[0] == answer
    assert set(hooks.rows_seen) == {(struct.pack("<i", 7), b"ada")}
    assert made.session.is_idle


def test_columns_that_a_preparation_has_not_told() -> None:
    made = talking(CACHE, watching())
    play(made, preparation(text="INSERT INTO t VALUES (1) RETURNING id, name"))
    for answer in (whole(PLAIN, row(1, "a")), skipped(row(2, "b"))):
        made.sent()
        made.client(execute()).upstream(answer)
        assert made.sent()[0] == answer


def test_statements_are_told_apart_whose_facts_are_the_same() -> None:
    """Texts that differ in literals have the same facts, and may have columns of other types."""
    hooks = watching()
    made = talking(CACHE, hooks)
    number, text = wire.definition("a", INT, collation=63), wire.definition("a")
    play(
        made,
        [*preparation(number, number=1, text="SELECT 1 AS a"), *preparation(text, number=2, text="SELECT 'x' AS a")],
    )
    one, other = b"\0\0" + struct.pack("<i", 0x02020202), b"\0\0" + wire.counted(b"\2\2\2")
    for which, data in ((1, one), (2, other), (1, one), (2, other)):
        made.client(execute(which)).upstream(skipped(data, columns=1))
    assert [cells[0] for cells in hooks.rows_seen] == [one[2:], other[3:]] * 2
    assert made.asked[0].facts is made.asked[1].facts


def test_a_cursor_whose_columns_are_left_out() -> None:
    hooks = watching()
    made = talking(CACHE, hooks)
    play(made, preparation(*PLAIN))
    made.client(execute(flags=1)).upstream(skipped(status=2 | CURSOR_EXISTS))
    made.client(wire.command(wire.FETCH, struct.pack("<II", 1, 1)))
    made.upstream(wire.packets(1, row(1, "ada"), wire.ok(head=0xFE, status=2 | 0x80)))
    assert hooks.rows_seen == [(struct.pack("<i", 1), b"ada")]


def test_the_client_is_told_of_names_as_it_was_told_before() -> None:
    def change(notice: Notice) -> None:
        notice.fields["name"] = notice.fields.get("name", "").upper()

    hooks = RecordingHooks(
        Interest.EVERYTHING, change_notice=lambda notice: change(notice) if notice.kind == "column" else None
    )
    made = talking(CACHE, hooks)
    play(made, preparation(*PLAIN))
    assert wire.definition("NAME") in said(made.sent()[0])
    made.client(execute()).upstream(skipped(row(1, "ada")))
    assert made.sent()[0] == skipped(row(1, "ada"))


def test_an_answer_like_those_before_is_looked_at_all_the_same() -> None:
    hooks = RecordingHooks(Interest(maybe=lambda data: b"secret" in data), change_row=lambda row: row.replace(0, ["x"]))
    made = talking(CACHE, hooks)
    for cell in ("1", "2", "secret", "3"):
        answer = whole([wire.definition("a")], wire.text_row(cell))
        made.client(wire.query("SELECT a FROM t")).upstream(answer)
        expected = whole([wire.definition("a")], wire.text_row("x")) if cell == "secret" else answer
        assert made.sent()[0] == expected
        assert made.ended[-1][1].rows == 1


@pytest.mark.parametrize("has_eof", [False, True])
def test_an_answer_like_those_before_without_its_columns(has_eof: bool) -> None:
    def answer(name: str, kind: bytes = b"\0") -> bytes:
        end = wire.eof() if has_eof else wire.ok(head=0xFE)
        described = () if kind == b"\0" else PLAIN
        return wire.packets(1, b"\2" + kind, *described, *([end] if has_eof else []), row(1, name), end)

    hooks = RecordingHooks(Interest(maybe=lambda data: b"secret" in data), change_row=lambda row: row.replace(1, ["x"]))
    made = talking(CACHE & ~wire.DEPRECATE_EOF if has_eof else CACHE, hooks)
    play(made, preparation(*PLAIN, has_eof=has_eof))
    made.sent()
    for name in ("ada", "bob", "secret", "eve"):
        made.client(execute()).upstream(answer(name))
        assert made.sent()[0] == answer("x" if name == "secret" else name)
        assert made.ended[-1][1].rows == 1
    for kind in (b"\1", b"\0", b"\0"):
        made.client(execute()).upstream(answer("secret", kind))
        assert made.sent()[0] == answer("x", kind)
    assert len(hooks.rows_seen) == 4


@pytest.mark.parametrize(
    ("columns", "answer"),
    [
        (PLAIN, skipped(row(1, "a"), columns=3)),
        (PLAIN, skipped(row(1, "a"), columns=1)),
        ([], skipped(row(1, "a"))),
        (PLAIN, wire.packets(1, b"\2\2")),
        (PLAIN, wire.packets(1, b"\2")),
        (PLAIN, wire.packets(1, b"\2\1\1")),
        (PLAIN, wire.packets(1, b"\0\1")),
    ],
)
def test_columns_that_cannot_be_known(columns: list[bytes], answer: bytes) -> None:
    made = talking(CACHE, watching())
    play(made, preparation(*columns))
    assert fault(made.client(execute()).upstream(answer))


def test_texts_have_their_columns_with_them() -> None:
    made = talking(CACHE).client(wire.query("SELECT id, name FROM t")).upstream(skipped(wire.text_row("1", "a")))
    assert fault(made)


def test_columns_are_left_out_where_it_was_agreed_on_alone() -> None:
    made = talking(MARIADB, watching())
    play(made, preparation(*PLAIN))
    assert fault(made.client(execute()).upstream(skipped(row(1, "a"))))


def test_what_is_known_of_columns_is_bounded() -> None:
    made = talking(CACHE, environment={"limits": Limits(message_bytes=4000)})
    wide = [wire.definition("c" * 250) for _ in range(10)]
    play(made, [*preparation(*wide, number=1), *preparation(*wide, number=2)])
    made.sent()
    made.client(wire.command(wire.PREPARE, b"SELECT 1"))
    client, upstream = made.sent()
    assert not upstream
    assert b"too many prepared statements" in client
    made.client(wire.command(wire.CLOSE, struct.pack("<I", 1))).client(wire.command(wire.PREPARE, b"SELECT 1"))
    assert made.sent()[1].endswith(b"SELECT 1")


# Progress.


def test_progress_is_no_end() -> None:
    made = talking(PROGRESS, watching())
    told = [wire.progress(done=done) for done in (0, 500, 99_999)]
    answer = wire.packets(1, *told, wire.ok(affected=3))
    made.client(wire.query("ALTER TABLE t ENGINE = Aria")).upstream(answer)
    assert made.sent()[0] == answer
    ((_, outcome),) = made.ended
    assert (outcome.tag, outcome.error, outcome.complete) == ("3 rows affected", "", True)


def test_an_error_behind_progress_is_one() -> None:
    made = talking(PROGRESS).client(wire.query("ALTER TABLE t ENGINE = Aria"))
    made.upstream(wire.packets(1, wire.progress(), wire.err(1062, "Duplicate entry")))
    ((_, outcome),) = made.ended
    assert outcome.error == "1062"


def test_progress_amid_rows() -> None:
    hooks = watching()
    made = talking(PROGRESS, hooks)
    definitions, rows = [wire.definition("a")], [wire.text_row("1"), wire.text_row("2")]
    answer = wire.packets(
        1, b"\1", *definitions, wire.progress(), rows[0], wire.progress(stage=2), rows[1], wire.ok(head=0xFE)
    )
    for _ in range(2):
        made.client(wire.query("CHECK TABLE t")).upstream(answer)
        assert made.sent()[0] == answer
    assert [outcome.rows for _, outcome in made.ended] == [2, 2]


def test_progress_of_a_prepared_statement() -> None:
    made = talking(ALL, watching())
    play(made, preparation(text="ALTER TABLE t ENGINE = Aria"))
    made.sent()
    answer = wire.packets(1, wire.progress(), wire.ok())
    made.client(execute()).upstream(answer)
    assert made.sent()[0] == answer


def test_the_text_of_progress_is_shown_to_plugins() -> None:
    def change(notice: Notice) -> None:
        notice.fields = {name: text.replace("4111111111111111", "*1111") for name, text in notice.fields.items()}

    hooks = RecordingHooks(change_notice=change)
    made = talking(PROGRESS, hooks).client(wire.query("ALTER TABLE t ENGINE = Aria"))
    made.upstream(wire.packet(1, wire.progress("card 4111111111111111")))
    assert made.sent()[0] == wire.packet(1, wire.progress("card *1111"))
    assert hooks.notices[-1] == ("notice", {"message": "card 4111111111111111"})


def test_no_progress_is_told_behind_a_limit() -> None:
    made = talking(PROGRESS, judge=lambda statement: Limit(rows=0)).client(wire.query("CHECK TABLE t"))
    made.upstream(wire.packets(1, b"\1", wire.definition("a"), wire.text_row("1"), wire.progress(), wire.ok(head=0xFE)))
    assert said(made.sent()[0])[-1][0] == 0xFF
    assert made.ended[0][1].error == "1142"
    assert made.session.is_idle


@pytest.mark.parametrize(
    "told",
    [
        wire.progress()[:-1],
        wire.progress() + b"x",
        wire.progress()[:8],
        wire.progress()[:3],
        wire.progress()[:3] + b"\2" + wire.progress()[4:],
    ],
)
def test_progress_that_is_told_otherwise(told: bytes) -> None:
    made = talking(PROGRESS).client(wire.query("ALTER TABLE t ENGINE = Aria")).upstream(wire.packet(1, told))
    assert fault(made)


@pytest.mark.parametrize(
    "sent", [wire.command(wire.PING), wire.command(wire.PREPARE, b"SELECT 1"), wire.command(wire.INIT_DB, b"shop")]
)
def test_progress_where_nothing_takes_long(sent: bytes) -> None:
    assert fault(talking(PROGRESS).client(sent).upstream(wire.packet(1, wire.progress())))


def test_progress_is_an_error_where_it_was_not_agreed_on() -> None:
    made = talking(MARIADB).client(wire.query("ALTER TABLE t ENGINE = Aria")).upstream(wire.packet(1, wire.progress()))
    ((_, outcome),) = made.ended
    assert outcome.error == "65535"


# All of it.


def test_the_database_is_logged_in_to_with_the_same() -> None:
    made = talking(ALL)
    ((_, login),) = wire.split(bytes(made.to_upstream))[:1]
    low, high = int.from_bytes(login[:4], "little"), int.from_bytes(login[28:32], "little")
    assert (low & wire.IS_MYSQL, high << 32) == (0, ALL & ~0xFFFFFFFF)
    other = talking(wire.CAPABILITIES | wire.PROGRESS)
    ((_, login),) = wire.split(bytes(other.to_upstream))[:1]
    assert login[0] & wire.IS_MYSQL
    assert login[28:32] == bytes(4)


def test_splitting_changes_nothing() -> None:
    def change(row: Row) -> None:
        row.replace(1, ["another text"])

    columns = [wire.definition("id", INT, collation=63, more=b""), wire.definition("name", more=b"\1\4json")]
    steps = [
        *preparation(*columns),
        from_client(execute()),
        from_upstream(
            wire.packets(1, wire.progress(), b"\2\0", row(1, "a"), wire.progress(), row(2, "b"), wire.ok(head=0xFE))
        ),
        from_client(execute()),
        from_upstream(whole(columns, row(3, "c"))),
        from_client(wire.query("ALTER TABLE t ENGINE = Aria")),
        from_upstream(wire.packets(1, wire.progress(), wire.ok())),
    ]
    plays = every_split(lambda: talking(ALL, watching(change_row=change)), steps)
    _, first = next(plays)
    assert first.closed is None
    for how, made in plays:
        assert (made.to_client, made.to_upstream, made.ended) == (first.to_client, first.to_upstream, first.ended), how


def test_progress_of_a_file_that_is_loaded() -> None:
    made = talking(PROGRESS | wire.LOCAL_FILES)
    made.client(wire.query("LOAD DATA LOCAL INFILE 'f' INTO TABLE t"))
    made.upstream(wire.packet(1, b"\xfbf")).client(wire.packet(2, b"1\n") + wire.packet(3, b""))
    made.sent()
    answer = wire.packets(4, wire.progress(), wire.ok(affected=1))
    made.upstream(answer)
    assert made.sent()[0] == answer
    assert made.session.is_idle
