from __future__ import annotations

from pathlib import Path

import pytest

from gatepost import ConfigFault, read_secret


def test_a_secret_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "p:w ")

    assert read_secret("env:SHOP_PASSWORD").reveal() == "p:w "


@pytest.mark.parametrize(("content", "value"), [("pw", "pw"), ("pw\n", "pw"), ("pw\r\n", "pw"), (" p\n\n", " p\n")])
def test_a_secret_from_a_file_without_its_trailing_newline(tmp_path: Path, content: str, value: str) -> None:
    (tmp_path / "pw").write_bytes(content.encode())

    assert read_secret(f"file:{tmp_path}/pw").reveal() == value


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("hunter2", "never by its value"),
        ("vault:hunter2", "never by its value"),
        ("env:", "never by its value"),
        ("env:NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE is not set"),
        ("file:/does/not/exist", "No such file"),
        ("file:/", "Is a directory"),
        ("file:/dev/null", "empty"),
        ("file:/dev/zero", "larger than 65536 bytes"),
    ],
)
def test_what_cannot_be_read_is_said_without_the_value(reference: str, message: str) -> None:
    with pytest.raises(ConfigFault, match=message) as caught:
        read_secret(reference)

    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pw").write_bytes(b"\xff")

    with pytest.raises(ConfigFault, match="UTF-8"):
        read_secret(f"file:{tmp_path}/pw")
