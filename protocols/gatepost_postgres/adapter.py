"""What gatepost finds under the entry point `postgres`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gatepost.adapter import Adapter, Catalogue, Environment, ProtocolSession, TlsTerms
from gatepost.values import Facts, Shown, Target, UpstreamCredentials, Use
from gatepost_postgres.grants import grants
from gatepost_postgres.inspector import inspect
from gatepost_postgres.session import PostgresSession
from gatepost_postgres.shown import shown
from gatepost_postgres.startup import ALPN
from gatepost_sql import Context, facts
from gatepost_sql.catalogue import Catalogue as PostgresCatalogue


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

    def facts(self, text: str, catalogue: Catalogue | None = None) -> Facts:
        known = catalogue if isinstance(catalogue, PostgresCatalogue) else None
        return facts(text, context=Context(catalogue=known))

    async def inspect(self, target: Target, credentials: UpstreamCredentials, tls: TlsTerms) -> Catalogue:
        return await inspect(target, credentials, tls)

    def grants(self, role: str, uses: Iterable[Use], catalogue: Catalogue) -> list[str]:
        assert isinstance(catalogue, PostgresCatalogue)
        return grants(role, uses, catalogue)


ADAPTER = PostgresAdapter()
