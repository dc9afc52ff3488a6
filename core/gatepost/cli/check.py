"""What is wrong with a configuration, beyond what decoding it tells."""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, structs

from gatepost import state, tls
from gatepost.cli.group import Invocation
from gatepost.config import Config, TargetConfig, address
from gatepost.errors import ConfigFault, Fault
from gatepost.gateway import find_adapter
from gatepost.loading import configured
from gatepost.plugins import Plugins
from gatepost.references import read_secret, references
from gatepost.toml import fault_at

IDLE_AT_MOST = 900  # PCI DSS 8.2.8


class Problem(Struct, frozen=True, kw_only=True):
    """One thing that is wrong, or (a warning) that its owner may not have meant."""

    severity: Literal["error", "warning"]
    message: str
    file: str = ""
    line: int | None = None
    key: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = self.file + (f":{self.line}" if self.line else "")
        text = ": ".join(part for part in (place, self.key, self.message) if part)
        return f"{self.severity}: {text}" + (f"\n  {self.hint}" if self.hint else "")

    def as_dict(self) -> dict[str, Any]:
        return structs.asdict(self)


def problems(told: Invocation) -> list[Problem]:
    """What is found. What needs something that is wrong is not looked at."""
    try:
        config = told.config
    except ConfigFault as fault:
        return [_problem("error", fault)]
    found = [_problem("error", fault) for name in config.targets for fault in _target_errors(config, name)]
    if found:
        return found
    try:
        plugins = told.plugins
        told.start()
    except Fault as fault:
        return [_problem("error", fault)]
    return [_problem("warning", fault) for fault in _warnings(config, plugins)]


def _problem(severity: Literal["error", "warning"], fault: Fault) -> Problem:
    if not isinstance(fault, ConfigFault):
        return Problem(severity=severity, message=fault.message, hint=fault.hint)
    return Problem(
        severity=severity,
        message=fault.message,
        file=fault.file,
        line=fault.line,
        key=fault.key,
        hint=fault.hint,
    )


def _target_errors(config: Config, name: str) -> Iterator[ConfigFault]:
    """A target's protocol must be installed, and its certificates, keys and authorities usable."""
    target = config.targets[name]
    key = ("targets", name)
    try:
        alpn = find_adapter(target.protocol).alpn
    except ConfigFault as fault:
        yield fault_at(fault.message, (*key, "protocol"), config.file)
        return
    listen, upstream = target.tls, target.upstream_tls
    try:
        if listen.mode != "off":
            tls.server_context(listen.certificate, listen.key, listen.client_ca, alpn)
    except ConfigFault as fault:
        yield fault_at(fault.message, (*key, "tls"), config.file)
    try:
        tls.upstream_terms(upstream, alpn)
    except ConfigFault as fault:
        yield fault_at(fault.message, (*key, "upstream_tls"), config.file)


def _warnings(config: Config, plugins: Plugins) -> Iterator[ConfigFault]:
    if not plugins.offers:
        yield fault_at(
            "no plugin judges credentials: every client will be refused",
            ("plugins",),
            config.file,
            hint="[plugins.agents] issues credentials.",
        )
    if config.limits.idle > IDLE_AT_MOST:
        yield fault_at("PCI DSS 8.2.8 asks for 15 minutes at most", ("limits", "idle"), config.file)
    for name, target in config.targets.items():
        if target.tls.mode != "required" and not _is_loopback(target):
            yield fault_at(
                "clients on other machines may connect without TLS",
                ("targets", name, "tls"),
                config.file,
                hint='Set mode = "required", with a certificate and its key.',
            )
    for plugin, _, settings in configured(config):
        for key, reference in references(settings, "plugins", plugin):
            try:
                read_secret(reference)
            except ConfigFault as fault:
                yield fault_at(fault.message, key, config.file, hint=f"{fault.hint} It will not start without.".strip())
    yield from _open_to_all(config)
    if (unusable := state.unusable(config)) is not None:
        unusable.hint = f"{unusable.hint} It will not start without.".strip()
        yield unusable
    elif state.is_open(config.state):
        message = f"every user can look into the folder {config.state}"
        yield fault_at(message, ("state",), config.file, hint=f"chmod 700 {config.state}")


def _open_to_all(config: Config) -> Iterator[ConfigFault]:
    """Files that are for gatepost alone, and that every user of the system can read."""
    private: list[tuple[tuple[str, ...], str]] = []
    for name, target in config.targets.items():
        private += [(("targets", name, "tls", "key"), target.tls.key)]
        private += [(("targets", name, "upstream_tls", "key"), target.upstream_tls.key)]
    for plugin, _, settings in configured(config):
        private += [(key, reference.file) for key, reference in references(settings, "plugins", plugin)]
    for key, file in private:
        if file and state.is_open(Path(file), stat.S_IROTH):
            yield fault_at(f"every user can read {file}", key, config.file, hint=f"chmod o-rwx {file}")


def _is_loopback(target: TargetConfig) -> bool:
    host, _ = address(target.listen, 0)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
