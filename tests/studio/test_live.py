"""A source that comes at its own rate: the newest frame is taken, and what is dropped is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import mm
from mm.cli import main
from mm.errors import InputError
from mm.studio.live import Live, Source, camera, played
from mm.video import read_clip, write_clip


@pytest.fixture
def frames() -> Tensor:
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing="ij")
    sway = 0.4 * (2 * torch.pi * torch.arange(20) / 8).sin()[:, None, None]
    return (0.5 + 0.3 * ((x + sway) / 3).sin() * (y / 3).cos())[:, None].repeat(1, 3, 1, 1)


class Steps:
    """A source that gives a frame, or several, when it is told to."""

    def __init__(self, frames: Tensor) -> None:
        self.all = frames
        self.given = 0
        self._more = threading.Semaphore(0)

    def source(self) -> Source:
        return Source((self.all.shape[-2], self.all.shape[-1]), 30.0, self._frames())

    def _frames(self) -> Iterator[Tensor]:
        for frame in self.all:
            self._more.acquire()
            self.given += 1
            yield frame

    def release(self, count: int) -> None:
        """Give so many frames more."""
        for _ in range(count):
            self._more.release()


def test_the_newest_frame_is_taken_and_the_others_are_dropped(frames: Tensor) -> None:
    steps, shown = Steps(frames), []
    live = Live(steps.source(), mm.Stream(method="linear", factor=3))

    def look(live: Live) -> None:
        """While this result is looked at, three more frames come."""
        shown.append(live.latest)
        arrived = live.shown + live.dropped
        more = min(3, len(frames) - arrived)
        steps.release(more)
        while live.shown + live.dropped + (live._newest is not None) < arrived + more:
            time.sleep(0.001)

    steps.release(1)
    live.run(look)
    taken = [*range(0, 19, 3), 19]
    assert live.shown == len(taken)
    assert live.shown + live.dropped == len(frames)
    expected = mm.magnify_frames(frames[taken], method="linear", factor=3, batch=1)
    assert torch.equal(torch.stack(shown), expected)  # type: ignore[arg-type]


def test_a_fast_method_shows_and_records_all(frames: Tensor, tmp_path: Path) -> None:
    write_clip(tmp_path / "in.mkv", frames, rate=5, lossless=True)
    source = played(tmp_path / "in.mkv")
    live = Live(source, mm.Stream(method="linear"), roi=(4, 0, 24, 24), record=tmp_path / "out.mp4")
    begun = time.monotonic()
    live.run()
    assert time.monotonic() - begun > 19 / 5  # It was played, not read.
    assert (live.shown, live.dropped) == (20, 0)
    written, info = read_clip(tmp_path / "out.mp4")
    assert written.shape == (20, 3, 24, 24)
    assert info.duration == pytest.approx(4.0, abs=0.5)
    clip, _ = read_clip(tmp_path / "in.mkv")
    expected = mm.magnify_frames(clip[..., 4:28].contiguous(), method="linear", batch=1)
    assert (written - expected).abs().mean() < 0.02


def test_it_stops_when_it_is_told_to(frames: Tensor, tmp_path: Path) -> None:
    steps = Steps(frames)
    live = Live(steps.source(), mm.Stream(method="linear"), record=tmp_path / "out.mp4")
    steps.release(1)
    live.run(Live.stop)
    assert live.shown == 1
    assert len(read_clip(tmp_path / "out.mp4")[0]) == 1


def test_a_source_that_breaks_off_is_said_and_leaves_no_recording(frames: Tensor, tmp_path: Path) -> None:
    def broken() -> Iterator[Tensor]:
        yield frames[0]
        raise OSError("the cable is out")

    live = Live(Source((24, 32), 30.0, broken()), mm.Stream(method="linear"), record=tmp_path / "out.mp4")
    with pytest.raises(InputError, match="the cable is out"):
        live.run()
    assert not list(tmp_path.iterdir())


def test_no_camera_is_said() -> None:
    with pytest.raises(InputError, match="--input"):
        camera("77")


def test_the_command_without_a_page(
    frames: Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(tmp_path / "in.mkv", frames, rate=20)
    arguments = ["live", "--input", str(tmp_path / "in.mkv"), "--no-page", "--low", "2", "--high", "6"]
    assert main([*arguments, "--record", str(tmp_path / "out.mp4")]) == 0
    out = capsys.readouterr().out
    assert "linear, temporal" in out
    assert " dropped; recorded " in out
    assert main([*arguments, "--roi", "0,0,999,9"]) == 2
    assert "999" in capsys.readouterr().err
