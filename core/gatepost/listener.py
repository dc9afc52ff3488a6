"""A port of the gate, and the way to the database behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from gatepost import tls
from gatepost.adapter import Adapter, Limits, TlsPolicy
from gatepost.errors import FaultCode, UpstreamFault
from gatepost.link import Link
from gatepost.values import Target


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """A port of the gate: what is spoken there, and which database is behind it."""

    target: Target
    adapter: Adapter
    host: str
    port: int
    limits: Limits
    client_tls: TlsPolicy
    upstream_tls: TlsPolicy
    upstream_direct_tls: bool
    client_layer: Callable[[], tls.Layer] | None
    upstream_layer: Callable[[], tls.Layer] | None


async def dial(link: Link, listener: Listener, seconds: float) -> None:
    """Open a listener's upstream. Raises: UpstreamFault."""
    target = listener.target
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            if target.host.startswith("/"):
                await loop.create_unix_connection(lambda: link, target.host)
            else:
                await loop.create_connection(lambda: link, target.host, target.port)
    except (OSError, TimeoutError) as error:
        cause = "no answer in time" if isinstance(error, TimeoutError) else (error.strerror or type(error).__name__)
        raise UpstreamFault(
            f"the database behind target {target.name} cannot be reached: {cause}",
            code=FaultCode.UPSTREAM_DOWN,
            hint="The gateway is up, its database is not. Try again later, or tell the gateway's operator.",
        ) from error
