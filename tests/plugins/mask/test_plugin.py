"""What the plugin does in each hook, and for whom."""

from __future__ import annotations

import msgspec
import pytest
from tests.cards import of_every_brand

from gatepost import Column, Deny, Effect, Facts, Identity, Kind, Notice, NoticeKind, Scalar
from gatepost.testing import make_batch, make_columns, make_result, make_session, make_statement
from gatepost_mask import Mask, MaskConfig
from gatepost_mask.display import Display
from gatepost_mask.prefilter import maybe_lines
from gatepost_mask.rows import Plan
from gatepost_mask.tags import Treatment
from gatepost_sql.postgres import judge

PAN = "4111111111111111"
TAGGED = """
[roles]
settlement = "clear"
fraud = "bin+last4"

[[columns]]
match = "cards.pan"
tag = "pan"

[[columns]]
match = "cards.cvv"
tag = "sad"

[[columns]]
match = "cards.holder"
tag = "name"
"""


def plugin(toml: str = TAGGED) -> Mask:
    return Mask(msgspec.toml.decode(toml, type=MaskConfig))


def session(*roles: str):
    return make_session(identity=Identity(name="agent", roles=roles))


def asked(text: str, *parameters: str):
    bound = tuple((Scalar(Kind.TEXT, value),) for value in parameters)
    return make_statement(text, facts=judge(text), parameters=bound)


def test_a_masked_value_in_an_attribute_is_not_written_back_either():
    text = "INSERT INTO notes VALUES (mysql_query_attribute_string('pan'))"
    attributes = (("none", None), ("pan", (Scalar(Kind.TEXT, "************1111"),)))
    statement = make_statement(text, facts=judge("INSERT INTO notes VALUES (1)"), attributes=attributes)
    assert isinstance(plugin("").on_statement(session(), statement), Deny)


def shown(text: str, columns, *rows, roles=(), mask=None, is_copy=False):
    mask = mask or plugin()
    batch = make_batch(columns, *rows)
    interest = mask.on_columns(session(*roles), make_result(*columns, statement=asked(text), is_copy=is_copy))
    mask.on_rows(session(*roles), batch, interest)
    return batch.values


def column(name: str, origin: int | None = None) -> Column:
    return Column(
        name=name, kind=Kind.TEXT, is_text=True, type_name="text", origin=None if origin is None else (1000, origin)
    )


ID, HOLDER, NUMBER, CVV = column("id", 1), column("holder", 2), column("pan", 3), column("cvv", 4)
CARD = ("7", "Ada", PAN, "123")


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ((), "************1111"),
        (("reader",), "************1111"),
        (("fraud",), "411111******1111"),
        (("settlement",), PAN),
        (("fraud", "settlement"), PAN),
        (("reader", "fraud"), "411111******1111"),
    ],
)
def test_the_first_role_of_the_configuration_decides_what_is_shown(roles, expected):
    assert shown("SELECT 1", ["a"], [PAN], roles=roles) == [(expected,)]
    notice = Notice(NoticeKind.NOTICE, {"detail": f"Key (pan)=({PAN}) already exists."}, "00000")
    plugin().on_notice(session(*roles), notice)
    assert notice.fields == {"detail": f"Key (pan)=({expected}) already exists."}


def test_nobody_yet_proven_sees_the_last_four():
    notice = Notice(NoticeKind.ERROR, {"message": f'role "{PAN}" does not exist'})
    plugin().on_notice(make_session(identity=None), notice)
    assert notice.fields["message"] == 'role "************1111" does not exist'


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_no_text_from_the_server_shows_a_number(kind):
    for pan in of_every_brand(3):
        notice = Notice(kind, {"message": f"value {pan}", "tag": f"SELECT {pan}", "name": pan, "where": "line 1"})
        plugin("").on_notice(session(), notice)
        assert pan not in str(notice.fields)
        assert notice.fields["where"] == "line 1"


def test_what_is_stored_shows_the_last_four_and_no_sensitive_data():
    on_store = plugin().on_store
    assert on_store(f"SELECT * FROM cards WHERE pan = '{PAN}'") == "SELECT * FROM cards WHERE pan = '************1111'"
    assert on_store(f";{PAN}=26121010000000000?") == "[removed]"
    text = "SELECT * FROM orders WHERE id = 42"
    assert on_store(text) is text


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("UPDATE cards SET pan = '************1111'", ()),
        ("UPDATE cards SET pan = '411111******1111'", ()),
        ("UPDATE cards SET pan = '**** **** **** 1111'", ()),
        ("INSERT INTO cards (cvv) VALUES ('[removed]')", ()),
        ("UPDATE cards SET pan = $1", ("************1111",)),
        ("INSERT INTO cards (cvv) VALUES ($1)", ("[removed]",)),
    ],
)
def test_a_mask_is_not_written_back(text, parameters):
    verdict = plugin("").on_statement(session(), asked(text, *parameters))
    assert isinstance(verdict, Deny)
    assert verdict.rule == "mask.written_back"
    assert verdict.hint


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM cards WHERE pan = '************1111'",
        "UPDATE orders SET note = 'stars ***** 5'",
        "/******************/ UPDATE orders SET total = 1234",
        "UPDATE orders SET pan = '4111'",
    ],
)
def test_what_is_no_mask_may_be_written(text):
    assert plugin("").on_statement(session(), asked(text)) is None


def test_a_tagged_number_is_hidden_whatever_its_check_digit():
    assert shown("SELECT pan FROM cards", [NUMBER], ["4111111111111112"], ["12"], [None]) == [
        ("************1112",),
        ("**",),
        (None,),
    ]


@pytest.mark.parametrize("roles", [(), ("fraud",)])
def test_other_cardholder_data_is_redacted_whole(roles):
    text = "SELECT id, holder, cvv FROM cards"
    assert shown(text, [ID, HOLDER, CVV], ["7", "Ada", "123"], roles=roles) == [("7", "[removed]", "[removed]")]


def test_sensitive_authentication_data_is_shown_to_no_role():
    text = "SELECT id, holder, pan, cvv FROM cards"
    assert shown(text, [ID, HOLDER, NUMBER, CVV], CARD, roles=("settlement",)) == [("7", "Ada", PAN, "[removed]")]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("SELECT reverse(pan) FROM cards", [column("reverse")]),
        ("SELECT left(pan, 8) AS a, right(pan, 8) AS b FROM cards", [column("a"), column("b")]),
        ("SELECT cvv AS x FROM cards", [column("x", 4)]),
        ("SELECT md5(pan) FROM cards", [column("md5")]),
        ("SELECT row_to_json(c) FROM cards c", [column("row_to_json")]),
        ("SELECT string_agg(pan, ',') FROM cards", [column("string_agg")]),
        ("SELECT x.y FROM (SELECT reverse(pan) AS y FROM cards) x", [column("y")]),
        ("SELECT x.c4 FROM (SELECT * FROM cards) x(c1, c2, c3, c4)", [column("c4", 4)]),
        ("WITH w AS (SELECT cvv AS y FROM cards) SELECT y FROM w", [column("y", 4)]),
        ("SELECT upper(holder) FROM cards", [column("upper")]),
        ("SELECT k FROM cards c(id, holder, pan, k)", [column("k", 4)]),
        ("SELECT k FROM (cards c JOIN a USING (id)) j(id, holder, pan, k)", [column("k", 4)]),
        ("SELECT x.cvv, x.z FROM (SELECT id AS cvv, cvv AS z FROM cards) x", [column("cvv", 1), column("z", 4)]),
        ("SELECT * FROM (SELECT id AS cvv, cvv AS pan FROM cards) x", [column("cvv", 1), column("pan", 4)]),
        ("WITH w(cvv, id) AS (SELECT id, cvv FROM cards) SELECT * FROM w", [column("cvv", 1), column("id", 4)]),
        (
            "WITH w(cvv, holder, id, pan) AS (SELECT * FROM cards) SELECT * FROM w",
            [column(name, number) for number, name in enumerate(("cvv", "holder", "id", "pan"), 1)],
        ),
        ("SELECT c.cvv, id AS cvv, cvv AS z, c.* FROM cards c", [column("cvv", 4), column("cvv", 1), column("z", 4)]),
    ],
)
def test_what_is_derived_from_a_tagged_column_is_redacted_whole(text, columns):
    assert shown(text, columns, ["secret"] * len(columns)) == [("[removed]",) * len(columns)]


def test_an_alias_of_a_tagged_number_is_masked_as_the_number():
    assert shown("SELECT pan AS x FROM cards", [column("x", 3)], ["4111111111111112"]) == [("************1112",)]


@pytest.mark.parametrize("text", ["SELECT * FROM cards", "SELECT * FROM cards WHERE cvv = '123' AND pan LIKE '4%'"])
def test_a_star_is_matched_by_name(text):
    assert shown(text, [ID, HOLDER, NUMBER, CVV], CARD) == [("7", "[removed]", "************1111", "[removed]")]


def test_what_a_star_hides_beside_a_tagged_column_is_redacted():
    text = "SELECT *, reverse(pan), cvv AS y FROM cards"
    columns = [ID, HOLDER, NUMBER, CVV, column("reverse"), column("y", 4)]
    assert shown(text, columns, [*CARD, "1111", "123"])[0][4:] == ("[removed]", "[removed]")


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("SELECT id FROM cards WHERE pan = '1'", [ID]),
        ("SELECT count(*) FROM cards", [column("count")]),
        ("SELECT cvv, pan FROM puzzles", [column("cvv", 9), column("pan", 10)]),
        ("SELECT *, now() FROM orders", [column("id", 1), column("now")]),
        ("SELECT t.* FROM (SELECT id, count(*) AS n FROM cards GROUP BY id) t", [column("id", 1)]),
    ],
)
def test_what_is_not_tagged_is_left_alone(text, columns):
    assert shown(text, columns, ["7"] * len(columns)) == [("7",) * len(columns)]


def test_tagged_columns_are_wanted_whatever_their_bytes():
    interest = plugin().on_columns(session(), make_result(ID, CVV, statement=asked("SELECT id, cvv FROM cards")))
    assert isinstance(interest, Plan)
    assert interest.columns == {1}
    assert dict(interest.tagged) == {1: Treatment.REMOVE}


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("COPY cards TO STDOUT", ()),
        ("COPY cards (id, cvv) TO STDOUT", ()),
        ("COPY (SELECT reverse(pan) FROM cards) TO STDOUT", ("fraud",)),
        ("COPY cards (cvv) TO STDOUT", ("settlement",)),
        ("DECLARE c CURSOR FOR SELECT reverse(pan) FROM cards", ()),
        ("PREPARE p AS SELECT cvv AS x FROM cards", ()),
        ("SELECT reverse(pan), " + "1 + " * 60_000 + "1 FROM cards", ()),
    ],
)
def test_tagged_columns_do_not_leave_where_nothing_tells_them(text, roles):
    verdict = plugin().on_statement(session(*roles), asked(text))
    assert isinstance(verdict, Deny)
    assert verdict.rule == "mask.columns"
    assert verdict.hint


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("COPY cards (id) TO STDOUT", ()),
        ("COPY orders TO STDOUT", ()),
        ("COPY (SELECT id FROM cards WHERE id = 1) TO STDOUT", ()),
        ("COPY (SELECT id FROM cards WHERE pan = '1') TO STDOUT", ("settlement",)),
        ("COPY cards (id, pan) TO STDOUT", ("settlement",)),
        ("DECLARE c CURSOR FOR SELECT id FROM orders", ()),
    ],
)
def test_what_is_not_tagged_may_be_copied(text, roles):
    assert plugin().on_statement(session(*roles), asked(text)) is None


LINES = {
    "text": "1\t{pan}\tx\n",
    "first": "{pan}\t2026-11-23\n",
    "csv": '1,"{pan}",x\n',
    "csv, spaced": '1,"{spaced}",x\n',
    "csv, tabs in quotes": '1,"{tabs}",x\n',
    "escaped tabs": "1\t{escaped}\tx\n",
    "array": "{{1,{pan}}}\n",
    "json": '{{"p": {pan}}}\n',
    "bytea": "7\t\\\\x{hexadecimal}\t2\n",
}


@pytest.mark.parametrize("shape", LINES.values(), ids=LINES)
def test_lines_of_copy_show_no_number(shape):
    for pan in of_every_brand(5):
        groups = (pan[:4], pan[4:8], pan[8:12], pan[12:])
        line = shape.format(
            pan=pan,
            spaced=" ".join(groups),
            tabs="\t".join(groups),
            escaped="\\t".join(groups),
            hexadecimal=pan.encode().hex(),
        )
        assert maybe_lines(line.encode())
        ((masked,),) = shown("COPY t TO STDOUT", make_columns("line"), [line], mask=plugin(""), is_copy=True)
        assert len(masked) == len(line)
        assert not {pan, pan.encode().hex()} & {"".join(filter(str.isdigit, part)) for part in masked.split("\t")}
        assert pan not in "".join(filter(str.isdigit, masked))
        assert pan.encode().hex() not in masked


def test_fields_of_copy_make_no_number_together():
    line = "4111\t1111\t1111\t1111\n"
    assert shown("COPY t TO STDOUT", make_columns("line"), [line], mask=plugin(""), is_copy=True) == [(line,)]
    assert not maybe_lines(b"1001\t2026-11-23 08:00:00\t12.50\n")


@pytest.mark.parametrize(
    "toml",
    ['[roles]\nx = "all"', "mistake = 1", '[[columns]]\nmatch = "a"\ntag = "pin"', '[[columns]]\ntag = "pan"'],
)
def test_a_wrong_configuration_is_refused(toml):
    with pytest.raises(msgspec.ValidationError):
        plugin(toml)


def test_the_configuration_may_be_empty():
    assert plugin("").on_statement(session(), make_statement(facts=Facts(effect=Effect.READ))) is None
    assert MaskConfig().roles == {}
    assert Display.LAST4 == "last4"


@pytest.mark.parametrize(("roles", "expected"), [((), True), (("fraud",), True), (("settlement",), False)])
def test_what_a_role_sees_in_clear_may_not_be_written_down(roles, expected):
    mask = plugin('[roles]\nfraud = "bin+last4"\nsettlement = "clear"')
    assert mask.may_rest(session(*roles)) is expected
