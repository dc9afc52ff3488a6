"""What plugins may know of, and ask from, the gate: the implementation of `gatepost.hookspecs.Gateway`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

from gatepost import state, tls
from gatepost.adapter import Adapter, Catalogue
from gatepost.config import Config, address
from gatepost.errors import ConfigFault, Fault
from gatepost.loading import installed
from gatepost.plugins import Plugins
from gatepost.values import Identity, PastStatement, Target

PROTOCOLS = "gatepost.protocols"

EndSessions: TypeAlias = Callable[[Callable[[Identity], bool], Fault], None]


def find_adapter(protocol: str) -> Adapter:
    """The installed adapter of this name. Raises: ConfigFault."""
    available = installed(PROTOCOLS)
    if protocol not in available:
        names = ", ".join(sorted(available))
        raise ConfigFault(f"no protocol {protocol!r} is installed; installed are {names}", key="protocol")
    adapter: Adapter = available[protocol].load()
    return adapter


class LocalGateway:
    """The gate as seen from one of its processes.

    Args:
        config: the whole configuration.
        plugins: the enabled plugins.
        worker: this worker's slot, or -1 elsewhere.
        end: ends a worker's sessions; None elsewhere.
    """

    def __init__(self, config: Config, plugins: Plugins, worker: int = -1, end: EndSessions | None = None) -> None:
        self.redact = plugins.redact
        self.may_rest = plugins.may_rest
        self.announce = plugins.announce
        self._plugins = plugins
        self._config = config
        self._end = end
        self.config_file: Path | None = config.file
        self.worker = worker
        self.targets = tuple(
            _target(name, each.protocol, each.upstream, each.database) for name, each in config.targets.items()
        )

    @property
    def state(self) -> Path:
        """Raises: ConfigFault."""
        return state.folder(self._config)

    def end_sessions(self, whose: Callable[[Identity], bool], fault: Fault) -> None:
        if self._end is not None:
            self._end(whose, fault)

    def adapter(self, protocol: str) -> Adapter:
        return find_adapter(protocol)

    async def catalogue(self, target: Target) -> Catalogue | None:
        credentials = self._plugins.inspection(target)
        if credentials is None:
            return None
        adapter = find_adapter(target.protocol)
        terms = tls.upstream_terms(self._config.targets[target.name].upstream_tls, adapter.alpn)
        return await adapter.inspect(target, credentials, terms)

    def past_statements(self, since: float, until: float) -> Iterable[PastStatement]:
        return self._plugins.past_statements(since, until)


def _target(name: str, protocol: str, upstream: str, database: str) -> Target:
    host, port = address(upstream, find_adapter(protocol).default_port)
    return Target(name=name, protocol=protocol, host=host, port=port, database=database)
