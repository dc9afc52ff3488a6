"""What the callers of hooks have in common: an implementation, a chain of them, and what one that raised comes to."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from gatepost.errors import Fault, PluginFault, describe
from gatepost.values import Deny, DenyCode

T = TypeVar("T")
Steps: TypeAlias = Generator[Awaitable[Any], Any, T]


class Hook(NamedTuple):
    """One plugin's implementation of a hook, taking all of the hook's parameters."""

    plugin: str
    call: Callable[..., Any]


async def finish(steps: Steps[T]) -> T:
    """Drive a chain of hooks to its answer from a coroutine."""
    try:
        waiting = next(steps)
        while True:
            try:
                value = await waiting
            except BaseException as error:
                waiting = steps.throw(error)
            else:
                waiting = steps.send(value)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def failure(plugin: str, hook: str, error: BaseException) -> PluginFault:
    """The fault of a plugin that raised `error`."""
    return PluginFault(
        f"plugin {plugin} failed in {hook}: {describe(error)}",
        hint="This is an error on the gateway's side; ask its operator to look at the log.",
    )


def denial(plugin: str, hook: str, error: BaseException) -> Deny:
    """The denial that `error`, or a cancellation, of a plugin comes to."""
    if isinstance(error, asyncio.CancelledError):
        reason = "the statement was cancelled before it ran"
        return Deny(reason=reason, rule="cancel", code=DenyCode.CANCELLED, plugin=plugin)
    fault = error if isinstance(error, Fault) else failure(plugin, hook, error)
    return Deny(
        reason=fault.message, rule=f"{plugin}: closed", hint=fault.hint, code=DenyCode.UNAVAILABLE, plugin=plugin
    )


def calls(hooks: tuple[Hook, ...]) -> tuple[Callable[..., Any], ...]:
    return tuple(hook.call for hook in hooks)


def with_all_parameters(
    function: Callable[..., Any], accepted: Sequence[str], parameters: Sequence[str]
) -> Callable[..., Any]:
    """`function` as called by position with all of a hook's parameters."""
    if tuple(accepted) == tuple(parameters):
        return function
    positions = [parameters.index(name) for name in accepted]
    if len(positions) == 1:
        only = positions[0]
        return lambda *values: function(values[only])
    if not positions:
        return lambda *_: function()
    pick = operator.itemgetter(*positions)
    return lambda *values: function(*pick(values))
