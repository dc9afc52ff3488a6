"""What the configuration may say, and what it says of errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.plugins.policy.deciding import config

from gatepost import ConfigFault
from gatepost.toml import decode, read
from gatepost_policy.config import PolicyConfig


@pytest.mark.parametrize(
    ("toml", "key", "expected"),
    [
        ("[roles.r]\nallows = []", "roles.r.allows", "unknown key, did you mean `allow`?"),
        ("[roles.r]\nallow = [{ do = 'read' }]", "roles.r.allow[0]", "expected a key `on`"),
        (
            "[roles.r]\nallow = [{ do = 'reed', on = 't' }]",
            "roles.r.allow[0].do",
            "expected one or more of read,",
        ),
        ("[roles.r]\nallow = [{ do = [], on = 't' }]", "roles.r.allow[0].do", "expected at least one"),
        (
            "[roles.r]\nallow = [{ do = 'read', on = 'a.b.c' }]",
            "roles.r.allow[0].on",
            'expected "table", "schema.table"',
        ),
        ("[roles.r]\nallow = [{ do = 'read', on = ['t', 't('] }]", "roles.r.allow[0].on", 'expected "table"'),
        (
            "[roles.r]\nallow = [{ do = 'write', on = 't(a)' }]",
            "roles.r.allow[0]",
            "columns go with copy, insert",
        ),
        (
            "[roles.r]\ndeny = [{ do = 'read', on = 't', rows = 1 }]",
            "roles.r.deny[0].rows",
            "unknown key",
        ),
        ("[roles.r]\nallow = [{ do = 'read', on = 't', rows = 0 }]", "roles.r.allow[0].rows", "expected"),
        ("[roles.r]\nhours = '8-18'", "roles.r.hours", 'expected days, hours and a time zone, such as "mon-fri'),
        ("[roles.r]\nhours = 'mon-fri 08:00-18:00 Mars/One'", "roles.r.hours", "expected a time zone of the IANA"),
        ("[roles.r]\nhours = '08:00-25:00 UTC'", "roles.r.hours", "expected days, hours"),
        ("[roles.r]\nnetworks = ['10.0.0.1/8']", "roles.r.networks[0]", "expected a network such as"),
        ("[roles.r]\nallow = [{ do = 'read', on = 't', targets = 5 }]", "roles.r.allow[0].targets", "expected names"),
        ("[risk]\nsensitive = ['a b']", "risk.sensitive", 'expected "table"'),
    ],
)
def test_an_error_says_where_it_is_and_what_was_expected(tmp_path: Path, toml: str, key: str, expected: str) -> None:
    file = tmp_path / "gatepost.toml"
    file.write_text(toml)
    with pytest.raises(ConfigFault) as caught:
        decode(read(file), PolicyConfig, (), file)
    assert (caught.value.key, caught.value.line) == (key, toml.count("\n") + 1)
    assert expected in caught.value.message


def test_one_may_stand_for_a_list_of_one() -> None:
    one = config("[roles.r]\nallow = [{ do = 'read', on = 't', targets = 'shop' }]").roles["r"].allow[0]
    many = config("[roles.r]\nallow = [{ do = ['read'], on = ['t'], targets = ['shop'] }]").roles["r"].allow[0]
    for rule in (one, many):
        assert [str(pattern) for pattern in rule.on] == ["t"]
        assert rule.do.all == {"select", "copy"}
        assert rule.targets.hold("shop")
        assert not rule.targets.hold("other")
