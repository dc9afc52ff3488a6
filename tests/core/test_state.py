"""The state folder, and files that are for one user."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepost import state
from gatepost.config import Config, load
from gatepost.errors import ConfigFault


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that all users reach, as they do not reach pytest's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()


def configured(folder: Path, state_: str = "state") -> Config:
    file = folder / "gatepost.toml"
    file.write_text(f'state = "{state_}"\n[targets.shop]\nprotocol = "p"\nlisten = "127.0.0.1:0"\nupstream = "db"\n')
    return load(file)


def test_it_is_made_for_this_user_alone(tmp_path: Path) -> None:
    config = configured(tmp_path, "some/where")

    assert state.unusable(config) is None
    assert not config.state.exists()
    assert state.folder(config) == tmp_path / "some" / "where"
    assert stat.S_IMODE(config.state.stat().st_mode) == 0o700
    assert state.folder(config) == config.state


@pytest.mark.parametrize("place", ["gatepost.toml", "gatepost.toml/below"])
def test_a_file_in_its_place_is_told(tmp_path: Path, place: str) -> None:
    with pytest.raises(ConfigFault, match="is no folder") as caught:
        state.folder(configured(tmp_path, place))
    assert (caught.value.key, caught.value.line) == ("state", 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("place", ["closed", "closed/below"])
def test_one_that_this_user_may_not_write_is_told(tmp_path: Path, place: str) -> None:
    config = configured(tmp_path, place)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)

    with pytest.raises(ConfigFault, match="may not read and write") as caught:
        state.folder(config)

    assert str(closed) in caught.value.message
    assert caught.value.hint == ""  # it is one's own


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_of_anothers_it_is_told_whose_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match="which is user root's") as caught:
        state.folder(configured(tmp_path, "/usr/share"))
    assert "run as the user" in caught.value.hint


@pytest.mark.parametrize(
    ("mode", "above", "is_open"),
    [(0o644, 0o755, True), (0o604, 0o711, True), (0o640, 0o755, False), (0o644, 0o700, False), (0o602, 0o755, False)],
)
def test_a_file_is_open_to_all_where_they_reach_it(folder: Path, mode: int, above: int, is_open: bool) -> None:
    file = folder / "secret"
    file.touch()
    file.chmod(mode)
    (folder / "link").symlink_to(file)
    folder.chmod(above)

    assert state.is_open(file, stat.S_IROTH) is is_open
    assert state.is_open(folder / "link", stat.S_IROTH) is is_open


def test_what_is_not_there_is_not_open(folder: Path) -> None:
    (folder / "loop").symlink_to(folder / "loop")

    assert not state.is_open(folder / "none")
    assert not state.is_open(folder / "loop")
