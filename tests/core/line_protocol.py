"""A protocol small enough to read in one look: a line is a statement, a line is an answer.

Upstream answers each line by one line; the statement ends with it. "LOGIN name" comes first. It stands in for a
database's protocol where a test is about the relay.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from gatepost import (
    CredentialKind,
    Credentials,
    Deny,
    Effect,
    EndCode,
    Facts,
    Fault,
    Identity,
    Outcome,
    Reason,
    Restriction,
    Shown,
    Statement,
    Target,
    UpstreamCredentials,
    Use,
    Verdict,
    Verifier,
)
from gatepost.adapter import (
    CLIENT,
    Action,
    Ask,
    Authenticate,
    Cancel,
    Catalogue,
    Close,
    Connect,
    Ended,
    Environment,
    ProtocolSession,
    Recognised,
    Redefined,
    SendClient,
    SendUpstream,
    Serving,
    Side,
    TlsInfo,
    TlsTerms,
)


class LineSession:
    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.buffers = {Side.CLIENT: b"", Side.UPSTREAM: b""}
        self.running: deque[Statement] = deque()
        self.asking = False
        self.serving = False
        self.count = 0

    @property
    def is_idle(self) -> bool:
        return self.serving and not self.running and not self.asking

    def begin(self) -> list[Action]:
        return []

    def receive(self, side: Side, data: bytes) -> list[Action]:
        self.buffers[side] += data
        return self._client() if side is CLIENT else self._upstream()

    def _client(self) -> list[Action]:
        if b"\n" not in self.buffers[CLIENT]:
            return []
        line, _, self.buffers[CLIENT] = self.buffers[CLIENT].partition(b"\n")
        text = line.decode()
        if text.startswith("LOGIN "):
            return [Authenticate(credentials=Credentials(kind=CredentialKind.PASSWORD, user=text[6:]))]
        if text.startswith("KILL "):
            return [Cancel(int(text[5:]), self.environment.cancel_secret, ends_session=True)]
        if text == "GARBAGE":
            raise Fault("garbage")
        self.count += 1
        self.asking = True
        effect = Effect.READ if text.startswith("read") else Effect.WRITE
        return [Ask(Statement(number=self.count, text=text, facts=Facts(effect=effect)))]

    def _upstream(self) -> list[Action]:
        *lines, self.buffers[Side.UPSTREAM] = self.buffers[Side.UPSTREAM].split(b"\n")
        actions: list[Action] = []
        for line in lines:
            if self.running[0].text.startswith("define"):
                actions.append(Redefined())
            if self.running[0].text.startswith("recognise"):
                actions.append(Recognised(line.decode()))
            actions += [SendClient(line + b"\n"), Ended(self.running.popleft(), Outcome(rows=1))]
        return actions

    def eof(self, side: Side) -> list[Action]:
        ended: list[Action] = [Ended(each, Outcome(complete=False)) for each in self.running]
        self.running.clear()
        code = EndCode.CLIENT_LEFT if side is CLIENT else EndCode.SERVER_CLOSED
        return [*ended, Close(Reason(code=code, text="gone"))]

    def tls_started(self, side: Side, info: TlsInfo) -> list[Action]:
        return []

    def authenticated(self, answer: Identity | Verifier | Deny | None) -> list[Action]:
        if isinstance(answer, Identity):
            return [Connect(answer)]
        return [SendClient(b"REFUSED\n"), Close(Reason(code=EndCode.REFUSED, text="refused"))]

    def connected(self, credentials: UpstreamCredentials, restriction: Restriction) -> list[Action]:
        self.serving = True
        return [SendClient(b"WELCOME\n"), Serving(), *self._client()]

    def resolve(self, statement: Statement, verdict: Verdict) -> list[Action]:
        self.asking = False
        if isinstance(verdict, Deny):
            return [SendClient(f"DENIED {verdict.code} {verdict.reason}\n".encode()), *self._client()]
        self.running.append(statement)
        return [SendUpstream(statement.text.encode() + b"\n"), *self._client()]

    def restate(self, statement: Statement, text: str) -> Statement:
        return msgspec.structs.replace(statement, text=text, original=statement.text)

    def fault(self, fault: Fault, code: EndCode) -> list[Action]:
        ended: list[Action] = [Ended(each, Outcome(complete=False)) for each in self.running]
        self.running.clear()
        return [*ended, SendClient(f"FAULT {fault.message}\n".encode()), Close(Reason(code=code, text=fault.message))]

    def cancelled(self, found: bool) -> list[Action]:
        return [SendClient(b"CANCELLED\n" if found else b"NOT FOUND\n"), *self._client()]

    def owns(self, secret: bytes) -> bool:
        return hmac.compare_digest(secret, self.environment.cancel_secret)

    def cancel_upstream(self) -> ProtocolSession | None:
        return None


class LineCatalogue:
    read_at = 0.0
    tables: Mapping[str, tuple[str, ...]] = {}


class LineAdapter:
    name = "line"
    default_port = 1
    alpn: tuple[str, ...] = ()

    def session(self, environment: Environment) -> ProtocolSession:
        return LineSession(environment)

    def shown(self, output: Iterable[bytes]) -> Iterator[Shown]:
        return iter(())

    def facts(self, text: str, catalogue: Catalogue | None = None) -> Facts:
        return Facts(effect=Effect.READ if text.startswith("read") else Effect.WRITE, is_resolved=catalogue is not None)

    async def inspect(self, target: Target, credentials: UpstreamCredentials, tls: TlsTerms) -> Catalogue:
        return LineCatalogue()

    async def recognise(self, target: Target) -> object:
        return None

    def grants(self, role: str, uses: Iterable[Use], catalogue: Catalogue) -> list[str]:
        return [f"{role} may {use.verb} {use.name}" for use in uses]
