"""How plugins judge a statement: asked in order, again where one rewrites it, and told the verdict that is final."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from gatepost.calling import Hook, Steps, calls, denial
from gatepost.errors import PluginFault
from gatepost.values import ALLOW, Allow, Deny, Limit, Rewrite, Risk, Session, Statement, Verdict


class Decision(NamedTuple):
    """The statement that was judged at last, and the verdict on it."""

    statement: Statement
    verdict: Verdict


class Deciding:
    """Asks `on_statement`, then tells `on_verdict`.

    Args:
        statement, verdict: the implementations of the two, in order.
    """

    __slots__ = ("_statement", "_statement_calls", "_verdict", "_verdict_calls")

    def __init__(self, statement: tuple[Hook, ...], verdict: tuple[Hook, ...]) -> None:
        self._statement = statement
        self._verdict = verdict
        # The same without names, for the data path.
        self._statement_calls = calls(statement)
        self._verdict_calls = calls(verdict)

    def decide(
        self,
        session: Session,
        statement: Statement,
        restate: Callable[[Statement, str], Statement],
        settle: Callable[[Statement], Steps[Statement]],
    ) -> Steps[Decision] | None:
        """Judge a statement, and put the verdict on record. Never raises: a fault is a denial.

        Args:
            settle: waits for the catalogue, and tells the statement by it; the very same where there is nothing to
                wait for.

        None: every plugin allows it at once, which is what most statements come to.
        """
        hooks, index = self._statement, -1
        try:
            for index, call in enumerate(self._statement_calls):
                answer = call(session, statement)
                if answer is not None and answer is not ALLOW:
                    return self._deliberate(session, statement, restate, settle, index, answer)
            hooks = self._verdict
            for index, call in enumerate(self._verdict_calls):
                waiting = call(session, statement, ALLOW)
                if waiting is not None:
                    return self._record(session, Decision(statement, ALLOW), index, waiting)
        except Exception as error:
            hook = "on_statement" if hooks is self._statement else "on_verdict"
            decision = Decision(statement, denial(hooks[index].plugin, hook, error))
            return self._record(session, decision, 0 if hook == "on_statement" else len(self._verdict))
        return None

    def _deliberate(
        self,
        session: Session,
        statement: Statement,
        restate: Callable[[Statement, str], Statement],
        settle: Callable[[Statement], Steps[Statement]],
        index: int,
        answer: object,
    ) -> Steps[Decision]:
        """Go on where the plugin at `index` has given an answer that is more than consent.

        What is denied while the catalogue is being read is asked about again when it is known.
        """
        decision = yield from self._judge(session, statement, restate, index, answer)
        statement, verdict = decision
        if isinstance(verdict, Deny) and statement.facts.may_hide:
            try:
                settled = yield from settle(statement)
            except (Exception, asyncio.CancelledError) as error:
                decision = Decision(statement, denial(verdict.plugin, "on_statement", error))
            else:
                if settled is not statement:
                    decision = yield from self._judge(session, settled, restate, 0, None)
        return (yield from self._record(session, decision))

    def _judge(
        self,
        session: Session,
        statement: Statement,
        restate: Callable[[Statement, str], Statement],
        index: int,
        answer: Any,
    ) -> Steps[Decision]:
        rewrote: set[str] = set()
        verdict: Verdict = ALLOW
        while index < len(self._statement):
            plugin, call = self._statement[index]
            index += 1
            try:
                if answer is None:
                    answer = call(session, statement)
                if inspect.isawaitable(answer):
                    answer = yield answer
                if answer is None or isinstance(answer, Allow):
                    answer = None
                    continue
                if isinstance(answer, Risk | Limit | tuple):
                    statement = _with_notes(statement, answer if isinstance(answer, tuple) else (answer,), plugin)
                    answer = None
                    continue
                if isinstance(answer, Deny):
                    return Decision(statement, msgspec.structs.replace(answer, plugin=plugin))
                if not isinstance(answer, Rewrite):
                    raise TypeError
                if plugin in rewrote:
                    raise PluginFault(f"plugin {plugin} rewrote its own output")
                statement = restate(statement, answer.text)
            except (Exception, asyncio.CancelledError) as error:
                return Decision(statement, denial(plugin, "on_statement", error))
            verdict = msgspec.structs.replace(answer, plugin=plugin)
            rewrote.add(plugin)
            index, answer = 0, None
        return Decision(statement, verdict)

    def _record(
        self, session: Session, decision: Decision, index: int = 0, waiting: Awaitable[Any] | None = None
    ) -> Steps[Decision]:
        """Tell the verdict to the plugins from `index` on, the first of which may have said to wait already."""
        statement, verdict = decision
        for plugin, call in self._verdict[index:]:
            try:
                if waiting is None:
                    waiting = call(session, statement, verdict)
                if waiting is not None:
                    yield waiting
            except (Exception, asyncio.CancelledError) as error:
                return Decision(statement, denial(plugin, "on_verdict", error))
            waiting = None
        return decision


def _with_notes(statement: Statement, notes: tuple[Risk | Limit, ...], plugin: str) -> Statement:
    """The statement with what a plugin has found, or set, without an objection. Raises TypeError for anything else."""
    for note in notes:
        if isinstance(note, Risk):
            statement = msgspec.structs.replace(statement, risk=note)
        elif not isinstance(note, Limit):
            raise TypeError
        elif statement.limit is None or note.rows < statement.limit.rows:
            statement = msgspec.structs.replace(statement, limit=msgspec.structs.replace(note, plugin=plugin))
    return statement
