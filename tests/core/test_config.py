from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
from msgspec import Struct

from gatepost import ConfigFault, FilePath, Seconds, SecretReference
from gatepost.config import Config, address, load, section
from gatepost.toml import line_of

TARGET = """\
[targets.shop]
protocol = "postgres"
listen = "127.0.0.1:0"
upstream = "db.internal:5433"
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "gatepost.toml"
    file.write_text(text)
    return file


def test_a_small_file_gets_the_defaults(tmp_path: Path) -> None:
    config = load(write(tmp_path, TARGET))

    assert config.state == tmp_path / ".gatepost"
    assert config.file == tmp_path / "gatepost.toml"
    assert (config.workers, config.log, config.plugins) == (1, "text", {})
    assert config.limits.idle == 900
    target = config.targets["shop"]
    assert (target.listen, target.upstream, target.database) == ("127.0.0.1:0", "db.internal:5433", "")
    assert (target.tls.mode, target.upstream_tls.mode) == ("off", "prefer")


def test_paths_are_relative_to_the_file_and_durations_may_be_texts(tmp_path: Path) -> None:
    text = f"""\
state = "state"
{TARGET}
[targets.shop.tls]
mode = "required"
certificate = "tls/server.crt"
key = "/etc/server.key"
[limits]
idle = "10m"
drain = 2.5
"""
    config = load(write(tmp_path, text))

    assert config.state == tmp_path / "state"
    assert config.targets["shop"].tls.certificate == str(tmp_path / "tls/server.crt")
    assert config.targets["shop"].tls.key == "/etc/server.key"
    assert config.targets["shop"].tls.client_ca == ""
    assert (config.limits.idle, config.limits.drain) == (600, 2.5)


def test_plugins_keep_the_order_of_their_tables(tmp_path: Path) -> None:
    config = load(write(tmp_path, TARGET + "[plugins.mask]\n[plugins.agents]\n[plugins.audit]\nx = 1\n"))

    assert list(config.plugins) == ["mask", "agents", "audit"]


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        (TARGET + "[limits]\nidel = 3\n", 6, "limits.idel", "unknown key, did you mean `idle`?"),
        (
            TARGET + "[limits]\nidle = 'soon'\n",
            6,
            "limits.idle",
            'expected seconds, more than 0, or a text such as "30s"',
        ),
        (TARGET + "[limits]\nidle = inf\n", 6, "limits.idle", "expected seconds"),
        (TARGET + "[limits]\nidle = 0\n", 6, "limits.idle", "expected seconds"),
        (TARGET + "[limits]\nconnections = 0\n", 6, "limits.connections", "expected a whole number >= 1"),
        (TARGET + "limits.idle = 3\n", 5, "targets.shop.limits", "unknown key"),
        ("workers = true\n" + TARGET, 1, "workers", "expected a whole number, got `bool`"),
        ('log = "xml"\n' + TARGET, 1, "log", 'expected one of "text", "json"'),
        ("state = 3\n" + TARGET, 1, "state", "expected a path"),
        ('file = "x"\n' + TARGET, 1, "file", "unknown key"),
        ("workers = 1\n", None, "", "expected a key `targets`"),
        ("[targets]\n", 1, "targets", "expected at least one"),
        ("[[targets]]\n", 1, "targets", "expected a table, got an array"),
        (TARGET.replace("upstream", "upstrm"), 4, "targets.shop.upstrm", "did you mean `upstream`?"),
        (TARGET.replace("upstream", "#"), 1, "targets.shop", "expected a key `upstream`"),
        (TARGET.replace(":5433", ":70000"), 4, "targets.shop.upstream", 'expected "host:port"'),
        (TARGET.replace(":0", ""), 3, "targets.shop.listen", 'expected "host:port", with the port'),
        (TARGET.replace("shop", '"a/b"'), 1, "targets.a/b", "letters, digits, - and _"),
        (
            TARGET + 'tls = { mode = "on" }\n',
            5,
            "targets.shop.tls.mode",
            'expected one of "off", "optional", "required"',
        ),
        (TARGET + 'tls.mode = "required"\n', 5, "targets.shop.tls", "needs `certificate` and `key`"),
        (TARGET + "upstream_tls = {\n", 5, "", "not valid TOML"),
        (TARGET + '[targets.shop.upstream_tls]\nkey = "k"\n', 5, "targets.shop.upstream_tls", "go together"),
        (TARGET + "x = \n", 5, "", "not valid TOML: Invalid value"),
        (TARGET + "[plugins]\nmask = 3\n", 6, "plugins.mask", "expected a table, got a whole number"),
        (
            (TARGET + TARGET.replace("shop", "copy")).replace(":0", ":6432"),
            7,
            "targets.copy.listen",
            "target shop listens there already",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_key(
    tmp_path: Path, text: str, line: int | None, key: str, message: str
) -> None:
    file = write(tmp_path, text)

    with pytest.raises(ConfigFault) as caught:
        load(file)

    fault = caught.value
    assert (fault.file, fault.line, fault.key) == (str(file), line, key)
    assert message in fault.message


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match="No such file") as caught:
        load(tmp_path / "gatepost.toml")

    assert "gatepost init" in caught.value.hint


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "gatepost.toml"
    file.write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigFault, match="UTF-8"):
        load(file)


NESTED = """\
# a comment
a.b = 1
inline = { c = 2, d.e = 3 }

many = [
  1,
  2,
]
text = '''
not = "a key"
[not.a.table]
'''
after = 1
[t."quoted.key".u]
v = 1
[[array]]
x = 1

[[array]]
x = 2
  [array.sub]
  y = 3
"""


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("a", "b"), 2),
        (("inline", "d", "e"), 3),
        (("many", 1), 5),
        (("text",), 9),
        (("not",), None),
        (("after",), 13),
        (("t", "quoted.key", "u"), 14),
        (("t", "quoted.key", "u", "v"), 15),
        (("array", 0, "x"), 17),
        (("array", 1), 19),
        (("array", 1, "x"), 20),
        (("array", 1, "sub", "y"), 22),
        (("missing",), None),
    ],
)
def test_the_line_of_a_key(key: tuple[str | int, ...], line: int | None) -> None:
    assert line_of(NESTED, key) == line


class Shade(StrEnum):
    LIGHT = "light"
    DARK = "dark"


class Rule(Struct, frozen=True):
    column: str
    digits: int = 4


class PluginConfig(Struct, frozen=True):
    password: SecretReference
    rules: list[Rule] = []
    roles: dict[str, Rule] = {}
    pair: tuple[str, int] = ("", 0)
    patience: Seconds = Seconds(1)
    words: FilePath | None = None
    shades: dict[Shade, Literal["thin", "thick"] | None] = {}


def configured(folder: Path, table: str) -> Config:
    return load(write(folder, TARGET + "[plugins.mine]\n" + table))


def test_a_plugin_decodes_its_own_table(tmp_path: Path) -> None:
    table = 'password = "file:pw"\npatience = "2m"\nwords = "w.txt"\npair = ["a", 1]\nrules = [{ column = "pan" }]\n'

    mine = section(configured(tmp_path, table), "mine", PluginConfig)

    assert mine.password == f"file:{tmp_path}/pw"
    assert mine.words == str(tmp_path / "w.txt")
    assert (mine.patience, mine.pair, mine.rules) == (120, ("a", 1), [Rule(column="pan")])


@pytest.mark.parametrize(
    ("table", "line", "key", "message"),
    [
        ("", 5, "plugins.mine", "expected a key `password`"),
        ('password = "hunter2"', 6, "plugins.mine.password", 'expected "env:NAME" or "file:PATH"'),
        ('password = "vault:hunter2"', 6, "plugins.mine.password", "never the secret itself"),
        ('password = "env:X"\nrulse = []', 7, "plugins.mine.rulse", "did you mean `rules`?"),
        (
            'password = "env:X"\nrules = [\n{column=""},\n{column="", digit=3}]',
            7,
            "plugins.mine.rules[1].digit",
            "unknown",
        ),
        ('password = "env:X"\n[plugins.mine.roles.r]\ncolumn = 3', 8, "plugins.mine.roles.r.column", "expected a text"),
        (
            'password = "env:X"\nshades.dark = "hunter2"',
            7,
            "plugins.mine.shades.dark",
            'expected one of "thin", "thick"',
        ),
        (
            'password = "env:X"\nshades.hunter2 = "thin"',
            7,
            "plugins.mine.shades",
            'expected one of "light", "dark", "thin", "thick"',
        ),
        ('password = "env:X"\nwords = 3', 7, "plugins.mine.words", "expected"),
        ('password = "env:X"\npair = ["a"]', 7, "plugins.mine.pair", "length 2"),
    ],
)
def test_a_plugins_own_table_is_as_strict(tmp_path: Path, table: str, line: int, key: str, message: str) -> None:
    config = configured(tmp_path, table)

    with pytest.raises(ConfigFault) as caught:
        section(config, "mine", PluginConfig)

    assert (caught.value.line, caught.value.key) == (line, key)
    assert message in caught.value.message
    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_a_configuration_shows_no_value_in_its_repr(tmp_path: Path) -> None:
    assert "hunter2" not in repr(configured(tmp_path, 'password = "hunter2"'))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost", ("localhost", 5432)),
        ("localhost:1", ("localhost", 1)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]", ("::1", 5432)),
        ("[fe80::1%eth0]:7", ("fe80::1%eth0", 7)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert address(text, 5432) == expected


@pytest.mark.parametrize(
    "text", ["", ":1", "::1", "host:", "host:x", "host:65536", "host:1:2", "[::1", "a b:1", "u@host", "http://h", "h:٣"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        address(text, 5432)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(1, 1), (0.5, 0.5), ("500ms", 0.5), ("30s", 30), ("15m", 900), ("1.5h", 5400), ("90d", 7776000)],
)
def test_durations(value: Any, seconds: float) -> None:
    assert Seconds.parse(value) == seconds


@pytest.mark.parametrize("value", [0, -1, True, "", "3", "-3s", "0s", "3 s", "1e3s", float("nan"), float("inf"), None])
def test_what_is_no_duration_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="seconds"):
        Seconds.parse(value)
