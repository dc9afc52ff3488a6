"""Which plugins are installed, and which of them a configuration enables."""

from __future__ import annotations

import importlib.metadata
import runpy
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from gatepost.config import Config, section
from gatepost.errors import ConfigFault
from gatepost.plugins import Plugins
from gatepost.toml import fault_at

GROUP = "gatepost.plugins"


class _NoConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The configuration of a plugin that has none."""


def installed(group: str = GROUP) -> dict[str, importlib.metadata.EntryPoint]:
    """The entry points of a group by name."""
    return {point.name: point for point in importlib.metadata.entry_points(group=group)}


def load(config: Config, scripts: Sequence[Path] = ()) -> Plugins:
    """The plugins that a configuration enables, then the scripts.

    Raises:
        ConfigFault: a plugin is not installed, its configuration is wrong, or a script cannot be run.
    """
    enabled: list[tuple[str, object]] = []
    for name, factory, settings in configured(config):
        enabled.append((name, factory() if settings is None else factory(settings)))
    enabled += [(script.stem, _script(script)) for script in scripts]
    return Plugins(enabled)


def configured(config: Config) -> Iterator[tuple[str, Callable[..., object], object]]:
    """The plugins that a configuration enables: name, what makes one, and its decoded table (None if it takes none).

    Raises:
        ConfigFault: a plugin is not installed, or its configuration is wrong.
    """
    available = installed()
    for name in config.plugins:
        point = available.get(name)
        if point is None:
            others = ", ".join(sorted(available))
            message = f"no plugin of this name is installed; installed are {others}"
            raise fault_at(message, ("plugins", name), config.file)
        try:
            factory = point.load()
        except Exception as error:
            raise fault_at(f"the plugin cannot be loaded: {error}", ("plugins", name), config.file) from error
        settings = section(config, name, getattr(factory, "Config", _NoConfig))
        yield name, factory, None if isinstance(settings, _NoConfig) else settings


def _script(path: Path) -> object:
    """A script's names as a module-like object."""
    try:
        names = runpy.run_path(str(path), run_name=f"gatepost_script_{path.stem}")
    except OSError as error:
        raise ConfigFault(f"the script cannot be read: {error.strerror}", file=str(path)) from error
    except Exception as error:
        raise ConfigFault(f"the script failed: {type(error).__name__}: {error}", file=str(path)) from error
    module = types.ModuleType(path.stem)
    vars(module).update(names)
    return module
