"""What gatepost finds under the entry point `postgres`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gatepost.adapter import Adapter, Environment, ProtocolSession
from gatepost.values import Shown
from gatepost_postgres.session import PostgresSession
from gatepost_postgres.shown import shown
from gatepost_postgres.startup import ALPN


class PostgresAdapter(Adapter):
    """PostgreSQL's protocol."""

    @property
    def name(self) -> str:
        return "postgres"

    @property
    def default_port(self) -> int:
        return 5432

    @property
    def alpn(self) -> tuple[str, ...]:
        return (ALPN,)

    def session(self, environment: Environment) -> ProtocolSession:
        return PostgresSession(environment)

    def shown(self, output: Iterable[bytes]) -> Iterator[Shown]:
        return shown(output)


ADAPTER = PostgresAdapter()
