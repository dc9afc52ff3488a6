"""What a policy is told."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.cards import of_every_brand

from gatepost import Effect, Facts, Identity, Kind, Origin, Output, Risk, Scalar, Session, Statement, Use
from gatepost.testing import make_session, make_statement
from gatepost_mask import Mask, MaskConfig
from gatepost_opa.document import Describer

FACTS = Facts(
    effect=Effect.READ,
    verbs=("select",),
    objects=(
        Use(verb="select", name="public.cards", columns=("id", "pan")),
        Use(verb="select", name="x", columns=None),
    ),
    functions=("lower",),
    columns=frozenset({"pan", "id", "b", "a"}),
    outputs=(Output(name="pan", origins=(Origin("public.cards", "pan"),), is_direct=True),),
    settings=(("search_path", "public"), ("role", None)),
    is_resolved=True,
    fingerprint="f00",
)
SESSION = make_session(
    client="[2001:db8::7]:50000",
    application="psql",
    tls="TLSv1.3",
    identity=Identity(name="bot", roles=("reader", "clerk"), acting_for="kim", claims={"team": "blue"}),
)


def told(
    session: Session = SESSION,
    statement: Statement | None = None,
    *,
    now: float | None = None,
    send_text: bool = False,
) -> dict[str, Any]:
    describer = Describer(Mask(MaskConfig()).on_store, send_text=send_text)
    decoded: dict[str, Any] = msgspec.json.decode(describer.describe(session, statement or make_statement(), now))
    return decoded


def test_facts_are_told_field_by_field() -> None:
    facts = told(statement=make_statement(facts=FACTS))["facts"]
    assert facts.keys() == {field.name for field in msgspec.structs.fields(Facts)}
    assert facts["effect"] == "read"
    assert facts["objects"] == [
        {"verb": "select", "name": "public.cards", "columns": ["id", "pan"], "is_bounded": True, "via": ""},
        {"verb": "select", "name": "x", "columns": None, "is_bounded": True, "via": ""},
    ]
    assert facts["columns"] == ["a", "b", "id", "pan"]
    assert facts["outputs"][0]["origins"] == [{"relation": "public.cards", "column": "pan"}]
    assert facts["settings"] == [["search_path", "public"], ["role", None]]
    assert facts["predicates"] is None


def test_who_asks_and_from_where() -> None:
    document = told()
    assert document["identity"] == {
        "name": "bot",
        "roles": ["reader", "clerk"],
        "issuer": "",
        "method": "",
        "acting_for": "kim",
        "claims": {"team": "blue"},
    }
    assert document["session"] == {
        "client": "2001:db8::7",
        "target": "shop",
        "protocol": "postgres",
        "database": "shop",
        "application": "psql",
        "tls": True,
    }


def test_a_statement_is_told_without_its_text_and_its_parameters() -> None:
    statement = make_statement(
        "SELECT secret",
        parameters=((Scalar(Kind.TEXT, "hunter2"),),),
        original="SELECT 1",
        risk=Risk(score=7, reasons=("new",)),
    )
    document = told(statement=statement)
    assert document["statement"] == {
        "length": 13,
        "is_preparation": False,
        "has_parameters": True,
        "is_rewritten": True,
        "risk": {"score": 7, "reasons": ["new"]},
    }
    assert "secret" not in str(document)
    assert "hunter2" not in str(document)


def test_the_time_is_told_in_utc_if_at_all() -> None:
    assert told(now=1767225660.5)["time"] == {
        "unix": 1767225660.5,
        "date": "2026-01-01",
        "hour": 0,
        "minute": 1,
        "weekday": "thursday",
    }
    assert "time" not in told()


def test_no_card_number_is_told_wherever_it_was_put() -> None:
    for pan in of_every_brand():
        facts = Facts(
            effect=Effect.CONTROL,
            objects=(Use(verb="select", name=f"public.{pan}", columns=(pan,)),),
            functions=(pan,),
            columns=frozenset({pan}),
            settings=(("my.pan", pan),),
            reason=f"{pan} is unknown",
        )
        session = make_session(application=pan, database=pan)
        document = told(session, make_statement(f"SET my.pan = '{pan}'", facts=facts), send_text=True)
        assert pan not in str(document)
        assert document["statement"]["text"].startswith("SET my.pan = '")
