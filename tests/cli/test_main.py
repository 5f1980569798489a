"""The one place where an error becomes a line: whatever fails, under any command, on any terminal."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
import torch

from mm.cli import main
from mm.cli.main import COMMANDS
from mm.errors import InputError
from mm.files import output, output_folder

Command = Callable[[Callable[[argparse.Namespace], object]], None]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Enter a command called ``try`` that does what it is given."""

    def enter(run: Callable[[argparse.Namespace], object]) -> None:
        module = ModuleType("mm_try")
        module.run = run  # type: ignore[attr-defined]
        module.add_arguments = arguments  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "mm_try", module)
        monkeypatch.setitem(COMMANDS, "try", ("mm_try", "a command of this test"))

    def arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("inputs", nargs="*", type=Path)
        parser.add_argument("--out", type=output)
        parser.add_argument("--folder", type=output_folder)

    return enter


def endless(depth: int = 0) -> int:
    return endless(depth + 1) + 1


def av_error() -> None:
    av.open("/nowhere/clip.mp4")


def too_large() -> None:
    np.zeros((1 << 20, 1 << 20, 1 << 10))


def too_large_for_torch() -> None:
    torch.empty(1 << 50)


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


WORKER = (
    "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  x\n"
)


@pytest.mark.parametrize(
    ("fail", "named"),
    [
        (raising(InputError("crf must be between 0 and 51, got 60")), "crf must be between 0 and 51, got 60"),
        (raising(InputError("no file a\nb.mp4")), r"no file a\nb.mp4"),
        (raising(KeyError("shape")), "KeyError: 'shape'"),
        (raising(RuntimeError("first\nsecond\n")), "RuntimeError: first (in mm try clip.mp4)"),
        (raising(AssertionError()), "AssertionError (in mm try clip.mp4)"),
        (
            raising(OSError(errno.ENOSPC, "No space left on device", "a.csv")),
            "a.csv: no space left on device",
        ),
        (raising(PermissionError(errno.EACCES, "Permission denied", "b")), "b: permission denied"),
        (raising(UnicodeEncodeError("ascii", "é", 0, 1, "no such letter")), "UnicodeEncodeError"),
        (raising(RuntimeError(WORKER + "ValueError: a size")), "ValueError: a size"),
        (raising(RuntimeError(WORKER + "mm.errors.InputError: x.png is cut off")), "error: x.png is cut off"),
        (raising(ValueError("x" * 10_000)), "ValueError: xxx"),
        (av_error, "/nowhere/clip.mp4: no such file"),
        (endless, "nested too deeply"),
        (too_large, "out of memory"),
        (too_large_for_torch, "out of memory"),
    ],
)
def test_whatever_fails_is_one_line(
    fail: Callable[[], object], named: str, command: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    command(lambda args: fail())
    assert main(["try", "clip.mp4"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("mm: error: ")
    assert named in line
    assert len(line) < 700


def test_a_traceback_is_shown_on_request(
    command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MM_TRACEBACK", "1")
    command(lambda args: {}["here"])
    assert main(["try"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("mm: error: KeyError")


def test_a_plug_in_that_fails_is_named_with_its_line(
    command: Command, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("def work():\n    return [][3]\n")

    def run(args: argparse.Namespace) -> None:
        from mm.plugins import load_plugins

        load_plugins([tmp_path])
        sys.modules["mm.plugins.broken"].work()

    command(run)
    assert main(["try"]) == 2
    assert f"{tmp_path / 'broken.py'}, line 2: IndexError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_every_command(
    number: signal.Signals, code: int, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = []

    def run(args: argparse.Namespace) -> None:
        try:
            signal.raise_signal(number)
        finally:
            ended.append(True)

    before = signal.getsignal(signal.SIGTERM)
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    # nohup ignores it.
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    command(run)
    try:
        assert main(["try"]) == code
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGHUP, hang_up)
    assert ended == [True]
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_hang_up_that_is_ignored_stays_ignored(command: Command) -> None:
    """So nohup goes on after the terminal is gone."""
    command(lambda args: signal.raise_signal(signal.SIGHUP))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(["try"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


class TestOutputs:
    """No output is replaced without being asked to, and an input never."""

    def test_a_file(self, tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "old.csv").touch()
        command(lambda args: None)
        arguments = ["try", "--out", str(tmp_path / "old.csv")]
        assert main(arguments) == 2
        assert "old.csv exists; name another output, or add --overwrite" in capsys.readouterr().err
        assert main([*arguments, "--overwrite"]) == 0

    def test_a_folder(self, tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
        command(lambda args: None)
        assert main(["try", "--folder", str(tmp_path)]) == 0
        (tmp_path / "old.csv").touch()
        assert main(["try", "--folder", str(tmp_path)]) == 2
        assert main(["try", "--folder", str(tmp_path), "--overwrite"]) == 0
        assert main(["try", "--folder", str(tmp_path / "old.csv"), "--overwrite"]) == 2
        assert "old.csv is a file; name a folder" in capsys.readouterr().err

    @pytest.mark.parametrize("source", ["frames", "frames/000.png", "link"])
    def test_an_input(self, source: str, tmp_path: Path, command: Command) -> None:
        (tmp_path / "frames").mkdir()
        (tmp_path / "frames" / "000.png").touch()
        (tmp_path / "link").symlink_to(tmp_path / "frames" / "000.png")
        command(lambda args: pytest.fail("the command was run"))
        out = str(tmp_path / "frames" / "000.png")
        assert main(["try", "other.png", str(tmp_path / source), "--out", out, "--overwrite"]) == 2


class TestStandardOutput:
    """Each in a process whose standard output is another."""

    def run(self, after: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["bash", "-c", f'{sys.executable} -m mm --help {after}; exit "${{PIPESTATUS[0]}}"'],
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": "", **environment},
        )

    def test_nobody_reads(self) -> None:
        done = self.run("| true")
        assert (done.returncode, done.stderr) == (141, b"")

    def test_closed(self) -> None:
        done = self.run(">&-")
        assert (done.returncode, done.stderr) == (0, b"")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_full(self) -> None:
        done = self.run(">/dev/full")
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert b"cannot write to the standard output" in done.stderr

    @pytest.mark.parametrize("encoding", ["cp1251", "cp437", "ascii"])
    def test_an_encoding_without_our_letters(self, encoding: str) -> None:
        done = self.run("", PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"mm COMMAND" in done.stdout


@pytest.mark.parametrize("entry", ["mm.cli:main", "mm.server:start"])
def test_another_product_of_the_same_import_name_is_named(
    entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mm-9.8.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mm\nVersion: 9.8\n")
    (folder / "entry_points.txt").write_text(f"[console_scripts]\nmm = {entry}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main([]) == 0
    lines = capsys.readouterr().err.splitlines()
    # This project's former name is no clash.
    assert len(lines) == (entry != "mm.cli:main")
    assert all("mm 9.8" in line and "motion-magnification" in line for line in lines)
