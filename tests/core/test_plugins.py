"""Order, calling and failing of plugins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gatepost import (
    ALLOW,
    Change,
    Column,
    ConfigFault,
    CredentialKind,
    Credentials,
    Deny,
    DenyCode,
    Effect,
    Facts,
    Identity,
    Interest,
    Kind,
    Limit,
    PastStatement,
    PluginFault,
    Restriction,
    Result,
    Risk,
    Row,
    RowBatch,
    Session,
    Statement,
    Target,
    UpstreamCredentials,
    hookimpl,
)
from gatepost.calling import Steps, finish
from gatepost.config import Config, TargetConfig
from gatepost.deciding import Decision
from gatepost.loading import load
from gatepost.plugins import Access, Plugins
from gatepost.testing import make_batch

SESSION = Session(id="1", number=1, protocol="line", target="shop", client="", started_at=0)
UPSTREAM = Target(name="shop", protocol="line", host="", port=1)
STATEMENT = Statement(number=1, text="read", facts=Facts(effect=Effect.READ))
RESULT = Result(statement=STATEMENT, columns=(Column(name="a", kind=Kind.TEXT, is_text=True),))
TARGET = TargetConfig(protocol="postgres", listen="127.0.0.1:0", upstream="127.0.0.1:5432")  # type: ignore[arg-type]


def never_restated(statement: Statement, text: str) -> Statement:
    raise AssertionError


def as_it_is(statement: Statement) -> Steps[Statement]:
    """The catalogue is known."""
    yield from ()
    return statement


def decide(plugins: Plugins) -> Decision:
    steps = plugins.decide(SESSION, STATEMENT, never_restated, as_it_is)
    return Decision(STATEMENT, ALLOW) if steps is None else asyncio.run(finish(steps))


class Cells:
    """A row, or a batch of one row, of the given cells."""

    columns = RESULT.columns

    def __init__(self, *cells: bytes) -> None:
        self.cells = cells

    def __len__(self) -> int:
        return 1

    def raw(self, column: int) -> bytes:
        return self.cells[column]

    def row(self, index: int) -> Cells:
        return self

    def settle(self) -> None: ...


def test_plugins_are_called_in_order_with_the_parameters_that_they_name() -> None:
    called: list[Any] = []

    class First:
        @hookimpl
        def on_statement(self, statement: Statement) -> None:
            called.append(("first", statement))

    class Second:
        @hookimpl
        def on_statement(self, session: Session, statement: Statement) -> None:
            called.append(("second", session, statement))

    class Third:
        @hookimpl
        def on_statement(self) -> None:
            called.append(("third",))

    plugins = Plugins([("a", Second()), ("b", First()), ("c", Third())])
    decide(plugins)
    assert called == [("second", SESSION, STATEMENT), ("first", STATEMENT), ("third",)]


def test_a_statement_that_all_allow_needs_no_chain() -> None:
    assert Plugins([]).decide(SESSION, STATEMENT, never_restated, as_it_is) is None


def test_the_first_denial_ends_the_chain_and_names_its_plugin() -> None:
    class No:
        @hookimpl
        async def on_statement(self) -> Deny:
            return Deny(reason="no")

    class Never:
        @hookimpl
        def on_statement(self) -> None:
            raise AssertionError

    plugins = Plugins([("no", No()), ("never", Never())])
    decision = decide(plugins)
    assert decision.verdict == Deny(reason="no", plugin="no")


def settled(*facts: Facts) -> Decision:
    """What becomes of a statement that may hide something, by what is found of it behind the wait."""

    class Strict:
        @hookimpl
        def on_statement(self, statement: Statement) -> Deny | None:
            return Deny(reason="it may hide something") if statement.facts.may_hide else None

    def settle(statement: Statement) -> Steps[Statement]:
        yield asyncio.sleep(0)
        return replace(statement, facts=facts[0]) if facts else statement

    hiding = replace(STATEMENT, facts=replace(STATEMENT.facts, may_hide=True))
    steps = Plugins([("strict", Strict())]).decide(SESSION, hiding, never_restated, settle)
    assert steps is not None
    return asyncio.run(finish(steps))


def test_what_is_denied_while_the_catalogue_is_read_is_asked_about_again() -> None:
    assert settled(STATEMENT.facts) == Decision(STATEMENT, ALLOW)


def test_what_may_still_hide_something_stays_denied() -> None:
    for found in ((), (replace(STATEMENT.facts, may_hide=True),)):
        assert settled(*found).verdict == Deny(reason="it may hide something", plugin="strict")


@pytest.mark.parametrize("answer", [True, "allow", 1, object()])
def test_an_answer_that_is_no_verdict_denies(answer: object) -> None:
    class Odd:
        @hookimpl
        def on_statement(self) -> object:
            return answer

    decision = decide(Plugins([("odd", Odd())]))
    assert isinstance(decision.verdict, Deny)
    assert decision.verdict.code is DenyCode.UNAVAILABLE


def test_only_plugins_that_judge_a_kind_are_asked_and_the_first_answer_stands() -> None:
    class Tokens:
        judges = frozenset({CredentialKind.BEARER})

        @hookimpl
        def on_auth(self) -> Identity:
            raise AssertionError

    class Passwords:
        judges = frozenset({CredentialKind.PASSWORD})

        @hookimpl
        async def on_auth(self, credentials: Credentials) -> Identity:
            return Identity(name=credentials.user)

    plugins = Plugins([("tokens", Tokens()), ("passwords", Passwords())])
    credentials = Credentials(kind=CredentialKind.PASSWORD, user="alice")
    assert plugins.offers == {CredentialKind.BEARER, CredentialKind.PASSWORD}
    assert asyncio.run(finish(plugins.authenticate(SESSION, credentials))) == Identity(name="alice")


def test_an_auth_plugin_that_raises_refuses() -> None:
    class Broken:
        judges = frozenset({CredentialKind.PASSWORD})

        @hookimpl
        def on_auth(self) -> Identity:
            raise RuntimeError("hunter2")

    plugins = Plugins([("broken", Broken())])
    answer = asyncio.run(finish(plugins.authenticate(SESSION, Credentials(kind=CredentialKind.PASSWORD, user="alice"))))
    assert isinstance(answer, Deny)
    assert "hunter2" not in repr(answer)


def test_without_credentials_there_is_no_upstream() -> None:
    with pytest.raises(PluginFault, match="no plugin has credentials"):
        asyncio.run(finish(Plugins([]).connect(SESSION, Target(name="shop", protocol="line", host="", port=1))))


def test_every_restriction_holds_whoever_has_the_credentials() -> None:
    class Connecting:
        def __init__(self, answer: object) -> None:
            self.answer = answer

        @hookimpl
        def on_connect(self) -> object:
            return self.answer

    login, other = UpstreamCredentials(user="app"), UpstreamCredentials(user="other")
    answers = [Restriction(), login, None, Restriction(read_only=True), other]
    plugins = Plugins([(str(number), Connecting(answer)) for number, answer in enumerate(answers)])
    assert asyncio.run(finish(plugins.connect(SESSION, UPSTREAM))) == Access(login, Restriction(read_only=True))
    assert asyncio.run(finish(Plugins([("a", Connecting(login))]).connect(SESSION, UPSTREAM))) == Access(login)
    with pytest.raises(PluginFault, match="odd failed in on_connect"):
        asyncio.run(finish(Plugins([("odd", Connecting("root"))]).connect(SESSION, UPSTREAM)))


def test_the_first_credentials_inspect() -> None:
    class Inspecting:
        def __init__(self, answer: object) -> None:
            self.answer = answer

        @hookimpl
        def on_inspect(self) -> object:
            return self.answer

    login = UpstreamCredentials(user="inspector")
    answers = [None, login, UpstreamCredentials(user="other")]
    plugins = Plugins([(str(number), Inspecting(answer)) for number, answer in enumerate(answers)])
    assert plugins.inspection(UPSTREAM) == login
    assert Plugins([]).inspection(UPSTREAM) is None
    with pytest.raises(PluginFault, match="odd failed in on_inspect"):
        Plugins([("odd", Inspecting("root"))]).inspection(UPSTREAM)


class Noting:
    """Answers every statement with the same, and keeps what it saw."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.seen: list[Statement] = []

    @hookimpl
    def on_statement(self, statement: Statement) -> object:
        self.seen.append(statement)
        return self.answer


def test_what_a_plugin_has_found_is_seen_behind_it_and_by_the_record() -> None:
    risk, strict = Risk(score=70, reasons=("unbounded delete",)), Limit(rows=10, rule="few")
    first, second, last = Noting((risk, Limit(rows=50))), Noting(strict), Noting(Limit(rows=20))
    decision = decide(Plugins([("first", first), ("second", second), ("last", last)]))
    assert decision.verdict is ALLOW
    assert first.seen == [STATEMENT]
    assert second.seen == [replace(STATEMENT, risk=risk, limit=Limit(rows=50, plugin="first"))]
    assert decision.statement == replace(STATEMENT, risk=risk, limit=replace(strict, plugin="second"))


def test_a_note_of_another_kind_is_a_fault() -> None:
    decision = decide(Plugins([("odd", Noting((Risk(score=1), "x")))]))
    assert isinstance(decision.verdict, Deny)
    assert decision.verdict.code is DenyCode.UNAVAILABLE


def test_the_first_record_is_told() -> None:
    past = PastStatement(at=1.0, session=SESSION, statement=STATEMENT, verdict="allow")

    class Record:
        @hookimpl
        def past_statements(self, since: float, until: float) -> list[PastStatement] | None:
            return [past] if since <= past.at < until else []

    class Forgetful:
        @hookimpl
        def past_statements(self) -> None: ...

    plugins = Plugins([("forgetful", Forgetful()), ("record", Record())])
    assert list(plugins.past_statements(0, 2)) == [past]
    with pytest.raises(ConfigFault, match="no plugin keeps a record"):
        Plugins([("forgetful", Forgetful())]).past_statements(0, 2)


class Told:
    """Answers the announcement of a change."""

    def __init__(self, answer: object = None) -> None:
        self._answer = answer
        self.seen: list[Change] = []

    @hookimpl
    def on_change(self, change: Change) -> object:
        self.seen.append(change)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


CHANGE = Change(action="agents revoke", name="bot")


def test_a_change_is_told_to_all() -> None:
    first, second = Told(), Told()
    Plugins([("first", first), ("second", second)]).announce(CHANGE)
    assert first.seen == second.seen == [CHANGE]


@pytest.mark.parametrize("answer", [OSError("secret"), PluginFault("no record"), asyncio.sleep, 0, False])
def test_a_change_that_a_plugin_does_not_take_is_not_to_be_made(answer: object) -> None:
    """Whoever returns an awaitable, which nobody waits for here, has not recorded it."""
    with pytest.raises(PluginFault, match=r"on_change|no record") as caught:
        Plugins([("record", Told(answer))]).announce(CHANGE)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (type("Typo", (), {"on_statment": hookimpl(lambda self, statement: None)}), "on_statment"),
        (type("Extra", (), {"on_statement": hookimpl(lambda self, stmt: None)}), "stmt"),
        (
            type("Both", (), {"on_row": hookimpl(lambda self: None), "on_rows": hookimpl(lambda self: None)}),
            "both on_row and on_rows",
        ),
    ],
)
def test_an_implementation_that_fits_no_hook_is_a_config_fault(wrong: type, message: str) -> None:
    with pytest.raises(ConfigFault, match=message):
        Plugins([("wrong", wrong())])


class Rows:
    def __init__(self, interest: Interest | None) -> None:
        self.interest = interest
        self.seen: list[object] = []

    @hookimpl
    def on_columns(self) -> Interest | None:
        return self.interest

    @hookimpl
    def on_row(self, row: Cells) -> None:
        self.seen.append(row)


@pytest.mark.parametrize(
    ("interests", "row", "seen"),
    [
        ([None], Cells(b"x"), [1]),
        ([Interest.NOTHING], Cells(b"x"), None),
        ([Interest(maybe=lambda data: b"4111" in data)], Cells(b"x"), [0]),
        ([Interest(maybe=lambda data: b"4111" in data)], Cells(b"a4111"), [1]),
        ([Interest(maybe=lambda data: False, columns=frozenset({0}))], Cells(b"x"), [1]),
        ([Interest.NOTHING, None], Cells(b"x"), [0, 1]),
    ],
)
def test_row_plugins_see_the_rows_that_they_asked_for(
    interests: Sequence[Interest | None], row: Cells, seen: list[int] | None
) -> None:
    found = [Rows(interest) for interest in interests]
    hooks = Plugins([(str(number), plugin) for number, plugin in enumerate(found)]).for_session(SESSION)
    union = hooks.columns(RESULT)
    if seen is None:
        assert union is Interest.NOTHING
        return
    hooks.rows(row, union)  # type: ignore[arg-type]
    assert [len(plugin.seen) for plugin in found] == seen


def test_the_union_of_interests_promises_no_more_than_each() -> None:
    a, b = Interest(maybe=lambda data: b"a" in data), Interest(maybe=lambda data: b"b" in data, columns=frozenset({2}))
    union = Plugins([("a", Rows(a)), ("b", Rows(b))]).for_session(SESSION).columns(RESULT)
    assert union.maybe is not None
    assert [bool(union.maybe(data)) for data in (b"a", b"b", b"c")] == [True, True, False]
    assert union.columns == {2}
    with_all = Plugins([("a", Rows(a)), ("all", Rows(None))]).for_session(SESSION).columns(RESULT)
    assert with_all.maybe is None


def test_a_row_plugin_that_raises_is_a_fault_without_its_text() -> None:
    class Broken:
        @hookimpl
        def on_row(self) -> None:
            raise ValueError("4111111111111111")

    hooks = Plugins([("broken", Broken())]).for_session(SESSION)
    with pytest.raises(PluginFault, match=r"broken failed in on_row: ValueError at test_plugins\.py") as raised:
        hooks.rows(Cells(b""), hooks.columns(RESULT))  # type: ignore[arg-type]
    assert "4111" not in str(raised.value)


def test_a_plugin_sees_rows_as_the_one_before_left_them() -> None:
    class Longer:
        @hookimpl
        def on_row(self, row: Row) -> None:
            row.replace(0, ["longer: " + row.scalars(0)[0].text])

    class Last:
        seen: list[bytes] = []

        @hookimpl
        def on_rows(self, batch: RowBatch) -> None:
            offsets, lengths = batch.offsets(0), batch.lengths(0)
            self.seen += [batch.buffer[at : at + size] for at, size in zip(offsets, lengths, strict=True)]
            batch.patch(offsets, ord("L"), len(batch))

    hooks = Plugins([("longer", Longer()), ("last", Last())]).for_session(SESSION)
    batch = make_batch(["a"], ["x"], ["yy"])
    hooks.rows(batch, hooks.columns(RESULT))
    assert Last.seen == [b"longer: x", b"longer: yy"]
    assert [batch.row(index).scalars(0)[0].text for index in range(2)] == ["Longer: x", "Longer: yy"]


def test_redaction_goes_through_every_plugin() -> None:
    class Swap:
        def __init__(self, old: str, new: str) -> None:
            self.old, self.new = old, new

        @hookimpl
        def on_store(self, text: str) -> str | None:
            return text.replace(self.old, self.new) if self.old in text else None

    plugins = Plugins([("one", Swap("a", "b")), ("two", Swap("b", "c"))])
    assert plugins.redact("a-b") == "c-c"


def test_a_script_is_a_plugin_and_comes_last(tmp_path: Path) -> None:
    script = tmp_path / "deny.py"
    script.write_text(
        "from gatepost import Deny, hookimpl\n@hookimpl\ndef on_statement(statement):\n    return Deny(reason='no')\n"
    )
    plugins = load(Config(state=tmp_path, targets={"shop": TARGET}), [script])
    assert plugins.names == ("deny",)
    assert plugins.hooks_of("deny") == ("on_statement",)


@pytest.mark.parametrize(
    ("config", "script", "message"),
    [
        ({"nope": {}}, None, "no plugin of this name is installed"),
        ({}, "raise ValueError('x')", "the script failed: ValueError: x"),
        ({}, "def broken(:", "the script failed: SyntaxError"),
    ],
)
def test_what_cannot_be_loaded_is_said(
    config: dict[str, dict[str, Any]], script: str | None, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "script.py"
    file.write_text(script or "")
    with pytest.raises(ConfigFault, match=message):
        load(Config(state=tmp_path, targets={"shop": TARGET}, plugins=config), [file])


@pytest.mark.parametrize(
    ("answers", "expected"),
    [([], True), ([None], True), ([True, None], True), ([None, False], False), ([ValueError()], False), ([1.5], False)],
)
def test_what_is_shown_may_rest_only_if_nobody_objects(answers: list[object], expected: bool) -> None:
    class Judge:
        def __init__(self, answer: object) -> None:
            self.answer = answer

        @hookimpl
        def may_rest(self) -> object:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

    plugins = Plugins([(str(number), Judge(answer)) for number, answer in enumerate(answers)])
    assert plugins.may_rest(SESSION) is expected
