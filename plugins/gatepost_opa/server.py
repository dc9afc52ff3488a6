"""An OPA server that is asked over HTTP: its Data API, `POST /v1/data/PATH`."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import UNSET, Struct, UnsetType

from gatepost import ConfigFault, PluginFault, Secret, SecretReference, read_secret
from gatepost_opa.decision import OPERATOR

logger = logging.getLogger("gatepost.opa")

ANSWER_BYTES = 64 << 10
CONNECTIONS = 100


class ServerUrl(str):
    """An OPA server's address, such as "https://opa.internal:8181": a field type for configurations."""

    __slots__ = ()

    @classmethod
    def from_toml(cls, value: object, folder: Path) -> ServerUrl:
        problem = 'expected an address such as "https://opa.internal:8181", without a user, a query or a fragment'
        if not isinstance(value, str) or not value.isprintable() or " " in value:
            raise ValueError(problem)
        parts = urlsplit(value)
        try:
            is_address = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            is_address = False
        if not is_address or parts.scheme not in ("http", "https"):
            raise ValueError(problem)
        if parts.query or parts.fragment or parts.username is not None or parts.password is not None:
            raise ValueError(problem)
        return cls(value.rstrip("/"))


class _Answer(Struct, frozen=True):
    """The Data API's answer; its metrics and the like do not matter."""

    result: object | UnsetType = UNSET


def context(ca: str) -> ssl.SSLContext:
    """The TLS context of an authority's file, "" for the system's authorities. Raises OSError."""
    return ssl.create_default_context(cafile=ca or None)


class ServerPolicy:
    """Asks a server, over connections that are kept open. Made within a running event loop.

    Args:
        url: the server's address.
        path: the decision, as "package/rule".
        timeout: seconds for an answer, from the connection on.
        token: where the bearer token is kept, or None; it is read for each question.
        tls: how the server proves itself.
    """

    def __init__(self, url: str, path: str, timeout: float, token: SecretReference | None, tls: ssl.SSLContext) -> None:
        self._url = f"{url}/v1/data/{path}"
        self._token = token
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=tls),
            timeout=aiohttp.ClientTimeout(total=timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a small answer is not to become a large one
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
        )

    async def ask(self, document: bytes) -> object:
        """What the server decides, `UNSET` where that is undefined. Raises PluginFault where it does not answer so."""
        headers = {} if self._token is None else {"Authorization": f"Bearer {_read(self._token).reveal()}"}
        body = b'{"input":' + document + b"}"
        try:
            # Following a redirect would take the question, and the token, to whom the answer names.
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                if response.status != 200:
                    raise _fault(f"answered with the status {response.status}")
                answer = await _bounded(response)
        except TimeoutError:
            raise _fault("did not answer in time") from None
        except aiohttp.ClientSSLError:
            raise _fault("could not be trusted: its certificate is not the expected one") from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise _fault("could not be reached, or broke off") from None
        try:
            return msgspec.json.decode(answer, type=_Answer).result
        except (msgspec.DecodeError, RecursionError):
            raise _fault("answered something else than a decision") from None

    async def close(self) -> None:
        await self._session.close()


def _read(token: SecretReference) -> Secret:
    try:
        return read_secret(token)
    except ConfigFault as fault:
        logger.error("the token cannot be read: %s", fault.message)
        raise PluginFault("the gateway cannot read its token for the policy's server", hint=OPERATOR) from None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body of an answer that is not too large to be one."""
    answer = b""
    async for part in response.content.iter_any():
        answer += part
        if len(answer) > ANSWER_BYTES:
            response.close()
            raise _fault(f"answered more than {ANSWER_BYTES} bytes")
    return answer


def _fault(what: str) -> PluginFault:
    return PluginFault(f"the policy's server {what}", hint=OPERATOR)
