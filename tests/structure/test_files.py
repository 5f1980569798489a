"""A file's name holds the old content or the new one, whole, whatever happens while it is written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mm.errors import InputError
from mm.files import Draft, check_free, locked, replacing


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


@pytest.mark.parametrize(
    ("error", "seen"), [(KeyboardInterrupt, KeyboardInterrupt), (OSError, InputError), (KeyError, KeyError)]
)
def test_an_error_leaves_the_old_content_and_nothing_else(
    old: Path, error: type[BaseException], seen: type[BaseException]
) -> None:
    def stopped() -> None:
        with replacing(old) as new:
            new.write_text("half")
            raise error

    with pytest.raises(seen):
        stopped()
    assert old.read_text() == "old"
    assert os.listdir(old.parent) == ["table.csv"]


def test_a_folder_in_its_place_stays(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()

    def write() -> None:
        with replacing(tmp_path / "taken") as new:
            new.write_text("new")

    with pytest.raises(InputError, match="taken: is a directory"):
        write()
    assert os.listdir(tmp_path) == ["taken"]


def test_a_folder_that_is_not_there_is_said_as_it_is(tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "gone" / "table.csv") as new:
            new.write_text("new")

    with pytest.raises(InputError, match=r"gone"):
        write()


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_what_a_kill_leaves_is_removed_by_the_next_write(old: Path) -> None:
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


def test_a_draft_of_a_living_writer_stays(old: Path) -> None:
    first = Draft(old)
    second = Draft(old)
    assert first.path != second.path
    assert first.path.exists()
    first.path.write_text("first")
    second.path.write_text("second")
    second.keep()
    first.keep()
    assert old.read_text() == "first"
    assert os.listdir(old.parent) == ["table.csv"]


def test_a_link_is_written_through(old: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.csv"
    link.symlink_to(old)
    with replacing(link) as new:
        assert new.parent == old.parent
        new.write_text("new")
    assert link.is_symlink()
    assert old.read_text() == "new"


def test_a_draft_follows_no_link_that_lies_in_wait(old: Path, tmp_path: Path) -> None:
    (tmp_path / ".table.csv.partial").symlink_to(tmp_path / "victim")
    (tmp_path / ".table.csv.0000.part").symlink_to(tmp_path / "victim")
    with replacing(old) as new:
        new.write_text("new")
    assert not (tmp_path / "victim").exists()
    assert (tmp_path / ".table.csv.0000.part").is_symlink()


@pytest.mark.skipif(os.name != "posix", reason="needs a named pipe")
def test_a_pipe_is_written_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with replacing(tmp_path / "pipe") as new:
        new.write_text("through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_the_longest_name_has_a_draft(tmp_path: Path) -> None:
    name = "é" * 125 + ".csv"
    with replacing(tmp_path / name) as new:
        new.write_text("new")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_exists_is_replaced_on_request_only(old: Path, tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".hidden").touch()
    check_free([tmp_path / "new.csv", tmp_path / "folder", None])
    (tmp_path / "folder" / "seen").touch()
    for path in (old, tmp_path / "folder"):
        if overwrite:
            check_free([path], overwrite=True)
        else:
            with pytest.raises(InputError, match="--overwrite"):
                check_free([path])


def test_an_input_is_never_replaced(old: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(old)
    for source in (old, tmp_path / "link", tmp_path):
        with pytest.raises(InputError, match="input"):
            check_free([old], [source], overwrite=True)


def test_a_locked_folder_is_refused_until_its_owner_ends(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with locked(run, "in use"), pytest.raises(InputError, match="in use"), locked(run, "in use"):
        pass
    with locked(tmp_path / "run", "in use"):
        pass
