"""A file's name holds the old content or the new one, whole, whatever happens while it is written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mm.files import replacing


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text("old")
    return path


def test_the_old_content_is_there_until_the_new_one_is_whole(old: Path) -> None:
    with replacing(str(old)) as new:
        new.write_text("new")
        assert old.read_text() == "old"
        assert new.parent == old.parent
        assert not list(old.parent.glob("*.csv"))[1:]
    assert old.read_text() == "new"
    assert os.listdir(old.parent) == ["table.csv"]


def test_a_file_that_was_not_there_is_made_with_the_users_own_mode(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with replacing(tmp_path / "first.csv") as new:
        new.write_text("new")
    assert (tmp_path / "first.csv").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_error_leaves_the_old_content_and_nothing_else(old: Path, error: type[BaseException]) -> None:
    def stopped() -> None:
        with replacing(old) as new:
            new.write_text("half")
            raise error

    with pytest.raises(error):
        stopped()
    assert old.read_text() == "old"
    assert os.listdir(old.parent) == ["table.csv"]


def test_a_block_that_made_nothing_is_an_error(old: Path) -> None:
    def idle() -> None:
        with replacing(old):
            pass

    with pytest.raises(FileNotFoundError):
        idle()
    assert old.read_text() == "old"


def test_a_folder_in_its_place_stays(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()

    def write() -> None:
        with replacing(tmp_path / "taken") as new:
            new.write_text("new")

    with pytest.raises(OSError, match="taken"):
        write()
    assert os.listdir(tmp_path) == ["taken"]


def test_a_folder_that_is_not_there_is_said_as_it_is(tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "gone" / "table.csv") as new:
            new.write_text("new")

    with pytest.raises(FileNotFoundError, match=r"gone"):
        write()


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_what_a_kill_leaves_is_overwritten_by_the_next_write(old: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from mm.files import replacing\n"
        "with replacing(sys.argv[1]) as new:\n"
        "    new.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(old)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert old.read_text() == "old"
    assert len(os.listdir(old.parent)) == 2
    assert [path.name for path in old.parent.glob("*.csv")] == ["table.csv"]
    with replacing(old) as new:
        new.write_text("new")
    assert old.read_text() == "new"
    assert os.listdir(old.parent) == ["table.csv"]
