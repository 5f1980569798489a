"""``mm slice`` as it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from mm.cli import main
from mm.video import write_clip


@pytest.fixture
def clips(tmp_path: Path) -> list[str]:
    """A red clip in which a bright column walks to the right, and a blue one without it."""
    colours = {"red": (0.8, 0, 0), "blue": (0, 0, 0.8)}
    for name, colour in colours.items():
        frames = torch.tensor(colour).view(1, 3, 1, 1).repeat(30, 1, 24, 40)
        if name == "red":
            for number in range(30):
                frames[number, :, :, 5 + number] = 1
        write_clip(tmp_path / f"{name}.mkv", frames, rate=10, lossless=True)
    return [str(tmp_path / f"{name}.mkv") for name in colours]


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where a picture has a colour given as RGB."""
    return (np.abs(picture[..., ::-1].astype(int) - colour) < 40).all(-1)


def test_draws_one_above_the_other(
    clips: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "slice.png"
    assert main(["slice", *clips, "--row", "3", "--out", str(out)]) == 0
    assert f"{out}: 30 frames of" in capsys.readouterr().out
    picture = cv2.imread(str(out))
    assert picture is not None
    red, blue = (near(picture, colour) for colour in ((204, 0, 0), (0, 0, 204)))
    rows_of_red, rows_of_blue = (np.flatnonzero(mask.any(1)) for mask in (red, blue))
    assert rows_of_red.max() < rows_of_blue.min()
    # The bright column is a line that goes down to the right: time to the right, x downwards.
    area = picture[rows_of_red.min() : rows_of_red.max(), :]
    columns = np.flatnonzero(red.sum(0) > 100)
    white = near(area[:, columns.min() : columns.max()], (255, 255, 255))
    rows, places = np.nonzero(white)
    assert np.corrcoef(rows, places)[0, 1] > 0.98


def test_a_column_of_a_part(clips: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["slice", clips[0], "--column", "7", "--start", "1", "--end", "2"]
    assert main([*arguments, "--out", str(tmp_path / "y.png")]) == 0
    assert "10 frames" in capsys.readouterr().out
    arguments = ["slice", clips[0], "--column", "7", "--start", "1", "--end", "1.05", "--overwrite"]
    assert main([*arguments, "--out", str(tmp_path / "y.png")]) == 0
    assert "1 frame of" in capsys.readouterr().out


def test_clips_of_different_sizes_are_told(
    clips: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only of the side that the line is counted on, and not for the one pixel that makes a side even."""
    for name, height, width in (("small", 25, 20), ("low", 12, 40)):
        write_clip(tmp_path / f"{name}.mkv", torch.zeros(5, 3, height, width), rate=10, lossless=True)
    small, low = (str(tmp_path / f"{name}.mkv") for name in ("small", "low"))
    out = ["--out", str(tmp_path / "slice.png"), "--overwrite"]
    assert main(["slice", *clips, small, "--column", "3", *out]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{small} is 20 px wide and {clips[0]} 40 px: the same column is another place in each" in line
    assert main(["slice", *clips, small, "--row", "3", *out]) == 0
    assert not capsys.readouterr().err
    assert main(["slice", *clips, low, "--row", "3", *out]) == 0
    assert "low.mkv is 12 px high" in capsys.readouterr().err


def test_a_picture_that_cannot_be_finished_leaves_the_old_one(
    clips: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(figure: Figure, path: Path, **options: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    out = tmp_path / "slice.png"
    out.write_bytes(b"old")
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(Figure, "savefig", full)
    assert main(["slice", clips[0], "--row", "3", "--out", str(out), "--overwrite"]) == 2
    assert f"cannot write {out}: there is no room left for it" in capsys.readouterr().err
    assert out.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("rate", "clock", "length"), [([], "playback", 3.0), (["--fps", "500"], "capture", 0.06)]
)
def test_the_axis_is_of_capture_where_its_rate_is_known(
    clips: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rate: list[str],
    clock: str,
    length: float,
) -> None:
    """30 frames at 10 a second of playback, or 500 of capture."""
    drawn: list[Figure] = []
    save = Figure.savefig

    def caught(figure: Figure, *args: Any, **named: Any) -> None:
        drawn.append(figure)
        save(figure, *args, **named)

    monkeypatch.setattr(Figure, "savefig", caught)
    assert main(["slice", *clips, "--row", "3", *rate, "--out", str(tmp_path / "s.png")]) == 0
    (figure,) = drawn
    for axis in figure.axes:
        assert axis.get_xlabel() == f"time of {clock} / s"
        left, right = axis.get_xlim()
        assert right - left == pytest.approx(length)
        # A frame is as wide as it lasts, and the middle of the first is at 0.
        assert left == pytest.approx(-length / 60)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--row", "24", "--out", "a.png"], "row 24 lies outside"),
        (["--row", "3", "--out", "a.jpg"], "name it .png"),
        (["--row", "3", "--out", "gone/a.png"], "there is no folder gone"),
        (["--row", "3", "--start", "9", "--out", "a.png"], "no frame between 9 s and its end"),
        (["--row", "3", "--fps", "0", "--out", "a.png"], "--fps must be a number above 0"),
        (["--row", "3", "--fps", "nan", "--out", "a.png"], "--fps must be a number above 0"),
    ],
)
def test_what_cannot_be_drawn(
    clips: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["slice", *clips, *options]) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
