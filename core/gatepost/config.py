"""The configuration: what one TOML file may say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta, Struct

from gatepost.settings import Endpoint, FilePath, ListenAddress, Seconds, address
from gatepost.toml import decode, fault_at, read

__all__ = [
    "Config",
    "LimitsConfig",
    "ListenTls",
    "TargetConfig",
    "UpstreamTls",
    "address",
    "load",
    "section",
]

T = TypeVar("T")
Count = Annotated[int, Meta(ge=1)]

_TARGET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class ListenTls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS towards clients.

    Attributes:
        mode: "required" refuses clients without TLS; "optional" lets them choose.
        certificate, key: PEM files of gatepost's own.
        client_ca: PEM file of the authorities whose client certificates are accepted, or "".
    """

    mode: Literal["off", "optional", "required"] = "off"
    certificate: FilePath = FilePath()
    key: FilePath = FilePath()
    client_ca: FilePath = FilePath()


class UpstreamTls(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS towards the database.

    Attributes:
        mode: as libpq's sslmode.
        ca: PEM file of the authorities to trust; "" means the system's.
        certificate, key: PEM files to identify gatepost by, or "".
        direct: begin with TLS instead of asking for it first.
    """

    mode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    ca: FilePath = FilePath()
    certificate: FilePath = FilePath()
    key: FilePath = FilePath()
    direct: bool = False


class TargetConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A database behind the gate, and where clients find it.

    Attributes:
        protocol: the name of an installed protocol, such as "postgres".
        listen: "host:port"; port 0 lets the system choose one.
        upstream: "host:port"; without a port, the protocol's own.
        database: the database to use whatever the client asks for, or "".
        catalogue_refresh: seconds after which its catalogue is read again.
    """

    protocol: str
    listen: ListenAddress
    upstream: Endpoint
    database: str = ""
    tls: ListenTls = ListenTls()
    upstream_tls: UpstreamTls = UpstreamTls()
    catalogue_refresh: Seconds = Seconds(300)


class LimitsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds, for each worker.

    Attributes:
        connections: clients at once.
        unauthenticated: clients at once that are not proven yet.
        handshake: seconds from a client's connecting to its being proven.
        idle: seconds without a byte from the client after which its session ends (PCI DSS 8.2.8: at most 900).
        drain: seconds that sessions get to end after SIGTERM.
        connect: seconds to open a connection to the database.
        startup_bytes: one message of a client that is not yet proven.
        message_bytes: one message of a proven client.
        held_bytes: what a client may send ahead while its statement is held.
    """

    connections: Count = 2000
    unauthenticated: Count = 200
    handshake: Seconds = Seconds(10)
    idle: Seconds = Seconds(900)
    drain: Seconds = Seconds(30)
    connect: Seconds = Seconds(10)
    startup_bytes: Count = 16 * 1024
    message_bytes: Count = 64 * 1024 * 1024
    held_bytes: Count = 64 * 1024


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file may say.

    Attributes:
        state: the folder for files that must last.
        workers: processes that serve clients.
        log: the form of the log on stderr.
        plugins: by name, in the order of their hooks; each plugin decodes its own with `section`.
    """

    state: Path = Path(".gatepost")
    workers: Count = 1
    log: Literal["text", "json"] = "text"
    limits: LimitsConfig = LimitsConfig()
    targets: dict[str, TargetConfig]
    plugins: dict[str, dict[str, Any]] = {}


class Config(Settings, frozen=True, kw_only=True):
    """A configuration, and the file that it came from. Paths in it are absolute."""

    file: Path | None = None

    def __repr__(self) -> str:
        return f"Config(file={str(self.file or '')!r})"


def load(file: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigFault: it cannot be read, is not TOML, or does not say what a configuration says.
    """
    file = file.absolute()
    settings = decode(read(file), Settings, (), file)
    _check_targets(settings.targets, file)
    fields = {name: getattr(settings, name) for name in Settings.__struct_fields__}
    return Config(**fields | {"state": file.parent / settings.state, "file": file})


def section(config: Config, name: str, type: type[T]) -> T:  # noqa: A002 - the name that callers read
    """A plugin's own table, [plugins.NAME], decoded into its struct; unknown keys are refused.

    Raises:
        ConfigFault: the table does not fit the struct.
    """
    return decode(config.plugins.get(name, {}), type, ("plugins", name), config.file)


def _check_targets(targets: dict[str, TargetConfig], file: Path) -> None:
    """What concerns more than one key."""
    if not targets:
        raise fault_at("expected at least one [targets.NAME] table", ("targets",), file)
    listeners: dict[tuple[str, int], str] = {}
    for name, target in targets.items():
        key = ("targets", name)
        if not _TARGET_NAME.fullmatch(name):
            raise fault_at("expected a target's name to be letters, digits, - and _, at most 63", key, file)
        if target.tls.mode != "off" and not (target.tls.certificate and target.tls.key):
            raise fault_at(f'mode "{target.tls.mode}" needs `certificate` and `key`', (*key, "tls"), file)
        if bool(target.upstream_tls.certificate) != bool(target.upstream_tls.key):
            raise fault_at("`certificate` and `key` go together", (*key, "upstream_tls"), file)
        listener = address(target.listen, 0)
        if listener[1] and listener in listeners:
            raise fault_at(f"target {listeners[listener]} listens there already", (*key, "listen"), file)
        listeners[listener] = name
