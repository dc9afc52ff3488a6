"""Upstream credentials from the environment and from files.

    [plugins.secrets.targets.shop]
    user = "app"
    password = "env:SHOP_PASSWORD"

    [plugins.secrets.targets.shop.roles.reporting]
    user = "app_reporting"
    password = "file:/run/secrets/reporting"

    [plugins.secrets.targets.shop.inspector]    # reads the catalogue, and needs no right on any table
    user = "inspector"
    password = "env:INSPECTOR_PASSWORD"

The passwords are references and read at each connection, so that they can be rotated without a restart.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator

from msgspec import Struct

from gatepost import (
    ConfigFault,
    Gateway,
    PluginFault,
    SecretReference,
    Session,
    Target,
    UpstreamCredentials,
    hookimpl,
    read_secret,
)
from gatepost.toml import fault_at

logger = logging.getLogger("gatepost.secrets")

_KEY = ("plugins", "secrets", "targets")


class Login(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A database login.

    Attributes:
        user: the database's user.
        password: where its password is kept, or None for a server that asks for none.
        database: the database to use whatever the client asks for, or "".
    """

    user: str
    password: SecretReference | None = None
    database: str = ""


class TargetLogins(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A target's logins: its own (`user` "" if it has none), others by role, and one that reads the catalogue."""

    user: str = ""
    password: SecretReference | None = None
    database: str = ""
    roles: dict[str, Login] = {}
    inspector: Login | None = None


class SecretsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[plugins.secrets]: logins by target."""

    targets: dict[str, TargetLogins]


class Secrets:
    """Logs sessions in to the databases with credentials that clients never see."""

    Config = SecretsConfig

    def __init__(self, config: SecretsConfig) -> None:
        self._targets = config.targets

    @hookimpl
    def on_start(self, gateway: Gateway) -> None:
        """Raises ConfigFault for a target that is not configured and, in a worker, a password that cannot be read."""
        known = [target.name for target in gateway.targets]
        for name in self._targets:
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
                raise fault_at(f"there is no such target; {advice}", (*_KEY, name), gateway.config_file)
        for target in gateway.targets:
            inspector = self._targets[target.name].inspector if target.name in self._targets else None
            if inspector is not None and not (inspector.database or target.database):
                message = "expected the `database` to read, here or of the target"
                raise fault_at(message, (*_KEY, target.name, "inspector"), gateway.config_file)
        if gateway.worker < 0:
            return  # the command line needs no passwords
        for key, login in self._logins():
            try:
                if login.password is not None:
                    read_secret(login.password)
            except ConfigFault as fault:
                raise fault_at(fault.message, (*key, "password"), gateway.config_file, hint=fault.hint) from None

    @hookimpl
    def on_connect(self, session: Session, target: Target) -> UpstreamCredentials | None:
        """The login of the identity's first role that has one, else the target's own."""
        logins = self._targets.get(target.name)
        if logins is None:
            return None
        roles = session.identity.roles if session.identity else ()
        login = next((logins.roles[role] for role in roles if role in logins.roles), logins)
        return self._credentials(login, target) if login.user else None

    @hookimpl
    def on_inspect(self, target: Target) -> UpstreamCredentials | None:
        logins = self._targets.get(target.name)
        if logins is None or logins.inspector is None:
            return None
        return self._credentials(logins.inspector, target)

    def _credentials(self, login: TargetLogins | Login, target: Target) -> UpstreamCredentials:
        """A login with its password as it is now. Raises PluginFault."""
        try:
            password = read_secret(login.password) if login.password is not None else None
        except ConfigFault as fault:
            logger.error("target %s: %s", target.name, fault.message)
            raise PluginFault(
                f"the gateway cannot read its password for target {target.name}",
                hint="The gateway's operator finds the cause in its log.",
            ) from None
        return UpstreamCredentials(user=login.user, password=password, database=login.database)

    def _logins(self) -> Iterator[tuple[tuple[str, ...], TargetLogins | Login]]:
        """Every login, with its key."""
        for name, logins in self._targets.items():
            yield (*_KEY, name), logins
            for role, login in logins.roles.items():
                yield (*_KEY, name, "roles", role), login
            if logins.inspector is not None:
                yield (*_KEY, name, "inspector"), logins.inspector
