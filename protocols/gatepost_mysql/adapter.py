"""What gatepost finds under the entry point `mysql`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gatepost.adapter import Adapter, Catalogue, Environment, ProtocolSession, TlsTerms
from gatepost.values import Facts, Shown, Target, UpstreamCredentials, Use
from gatepost_mysql.grants import grants
from gatepost_mysql.inspector import inspect, recognise
from gatepost_mysql.session import MySqlSession
from gatepost_mysql.shown import shown
from gatepost_sql import Context, facts
from gatepost_sql.catalogue import Catalogue as MySqlCatalogue


class MySqlAdapter(Adapter):
    """MySQL's protocol, as MySQL and MariaDB speak it."""

    @property
    def name(self) -> str:
        return "mysql"

    @property
    def default_port(self) -> int:
        return 3306

    @property
    def alpn(self) -> tuple[str, ...]:
        return ()

    def session(self, environment: Environment) -> ProtocolSession:
        return MySqlSession(environment)

    def shown(self, output: Iterable[bytes]) -> Iterator[Shown]:
        return shown(output)

    def facts(self, text: str, catalogue: Catalogue | None = None) -> Facts:
        if not isinstance(catalogue, MySqlCatalogue):
            return facts(text, "mysql")
        path = (catalogue.database,) if catalogue.database else None
        return facts(text, "mysql", Context(catalogue=catalogue, search_path=path))

    async def inspect(self, target: Target, credentials: UpstreamCredentials, tls: TlsTerms) -> Catalogue:
        return await inspect(target, credentials, tls)

    async def recognise(self, target: Target) -> object:
        return await recognise(target)

    def grants(self, role: str, uses: Iterable[Use], catalogue: Catalogue) -> list[str]:
        return grants(role, uses)


ADAPTER = MySqlAdapter()
