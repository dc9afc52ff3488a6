"""A Rego policy that is evaluated in this process."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import regopy
from msgspec import UNSET

from gatepost import PluginFault
from gatepost_opa.bundle import BadPolicy, Sources
from gatepost_opa.decision import OPERATOR

KEPT_BYTES = 8 << 10
"""An input that is larger is evaluated each time, so that what is kept is bounded in bytes too."""
_CHANGING = ("time.now_ns", "rand.intn", "http.send", "opa.runtime", "uuid.rfc4122")


class Rego:
    """A compiled policy. Not for several threads at once.

    Args:
        sources: its files.
        path: its decision, as "package/rule".

    Raises:
        BadPolicy: it does not compile, or cannot be evaluated at all.
    """

    def __init__(self, sources: Sources, path: str) -> None:
        self._interpreter = regopy.Interpreter()
        # Its own log is standard output, and quotes what it evaluates.
        self._interpreter.log_level = regopy.LogLevel.NONE
        try:
            for name, text in sources.modules.items():
                self._interpreter.add_module(name, text)
            self._interpreter.add_data(sources.data)
            self._bundle = self._interpreter.build(f"decision := data.{path.replace('/', '.')}")
            self.evaluate(b"{}")  # a call of an unknown function shows only here
        except ValueError:
            raise BadPolicy("it calls what is not there, or decides several things at once") from None
        except regopy.RegoError as error:
            raise BadPolicy(f"it does not compile: {error}") from None

    def evaluate(self, document: bytes) -> object:
        """What the policy decides on an input in JSON, `UNSET` where that is undefined.

        The input is given as a JSON text. The interpreter keeps a string's escapes as they are written, and so compares
        and writes them rightly; strings given otherwise it cuts at a NUL, and writes quotes that end them early.

        Raises:
            ValueError: there is an error instead.
            RegoError: the input is none.
        """
        self._interpreter.set_input_term(document.decode())
        output = self._interpreter.query_bundle(self._bundle)
        if not output.ok():
            raise ValueError
        text = str(output)
        if text == "undefined":
            return UNSET
        decision: object = json.loads(text, object_pairs_hook=_object)["bindings"]["decision"]
        return decision


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object from JSON. A key that comes twice may be a value that has broken out of its quotes."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


class LocalPolicy:
    """Asks a policy in a thread of its own: an evaluation takes about a millisecond for a kilobyte of input.

    Args:
        sources: the policy's files.
        path: its decision, as "package/rule".
        timeout: seconds for a decision.
        keep: how many decisions to keep by their input.

    Raises:
        BadPolicy: it does not compile, or what it decides cannot be kept.
    """

    def __init__(self, sources: Sources, path: str, timeout: float, keep: int) -> None:
        if keep:
            for name, text in sources.modules.items():
                for function in _CHANGING:
                    if function in text:
                        raise BadPolicy(f"{name} calls {function}, so its decisions cannot be kept: set `cache` to 0")
        self._rego = Rego(sources, path)
        self._timeout = timeout
        self._keep = keep
        self._kept: OrderedDict[bytes, object] = OrderedDict()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gatepost-opa")

    def ask(self, document: bytes) -> object | Awaitable[object]:
        """What the policy decides, at once if that is known. Raises, or its awaitable does: PluginFault."""
        if document in self._kept:
            self._kept.move_to_end(document)
            return self._kept[document]
        return self._evaluate(document)

    async def _evaluate(self, document: bytes) -> object:
        evaluation = asyncio.get_running_loop().run_in_executor(self._thread, self._rego.evaluate, document)
        try:
            async with asyncio.timeout(self._timeout):
                decision = await evaluation
        except TimeoutError:
            raise PluginFault("the policy did not decide in time", hint=OPERATOR) from None
        except (ValueError, regopy.RegoError):
            raise PluginFault("the policy could not be evaluated", hint=OPERATOR) from None
        if self._keep and len(document) <= KEPT_BYTES:
            self._kept[document] = decision
            if len(self._kept) > self._keep:
                self._kept.popitem(last=False)
        return decision

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
