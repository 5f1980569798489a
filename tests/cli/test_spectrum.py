"""``mm spectrum`` as it is typed."""

from __future__ import annotations

import argparse
import csv
import math
import re
import shlex
from pathlib import Path

import cv2
import pytest
import torch

from mm.cli import main
from mm.cli.magnify import add_arguments
from mm.video import VideoWriter, write_clip

FPS, FRAMES, HERTZ = 30, 60, 6.0


def frames(amplitude: float, hertz: float = HERTZ) -> torch.Tensor:
    """A pattern of two waves that swings along x, exactly rounded to 8 bits."""
    time = torch.arange(FRAMES) / FPS
    x = torch.arange(64) - amplitude * torch.sin(2 * math.pi * hertz * time)[:, None, None]
    y = torch.arange(48)[:, None]
    grey = (
        0.5
        + 0.2 * torch.sin(x * 2 * math.pi / 12 + 0.3 * y)
        + 0.15 * torch.sin(x * 2 * math.pi / 9 - 0.4 * y)
    )
    return (grey * 255).round()[:, None].expand(-1, 3, -1, -1) / 255


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "a clip.mkv", frames(0.2), rate=FPS, lossless=True)
    return tmp_path


def test_lists_the_peak_and_how_to_magnify_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spectrum", "a clip.mkv", "--csv", "s.csv", "--roi", "0,0,48,48"]) == 0
    out = capsys.readouterr().out
    assert "captured at its playback rate, 30 frames a second" in out
    (peak,) = [line.split() for line in out.splitlines() if "°" in line]
    assert float(peak[0]) == pytest.approx(HERTZ, abs=FPS / FRAMES)
    assert float(peak[1]) == pytest.approx(HERTZ * FRAMES / FPS, abs=1)
    assert float(peak[2]) == pytest.approx(0.2, rel=0.15)
    # The command is one that `mm magnify` takes.
    (line,) = [line for line in out.splitlines() if "mm magnify" in line]
    words = shlex.split(line[line.index("mm magnify") :])
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    args = parser.parse_args(words[2:])
    assert (args.input[0], args.mode, args.roi) == (Path("a clip.mkv"), "temporal", "0,0,48,48")
    assert args.low < HERTZ < args.high
    assert args.fps is None
    assert cv2.imread("a clip_spectrum.png") is not None
    with open("s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    top = max(rows, key=lambda row: float(row["amplitude_px"]))
    assert float(top["frequency_hz"]) == pytest.approx(HERTZ, abs=FPS / FRAMES)
    assert float(top["amplitude_px"]) == pytest.approx(0.2, rel=0.15)


def test_the_capture_rate_is_passed_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spectrum", "a clip.mkv", "--fps", "600", "--out", "p.png"]) == 0
    out = capsys.readouterr().out
    assert "playback rate" not in out
    assert "to see 120 Hz" in out
    assert "--fps 600" in out
    assert Path("p.png").exists()


@pytest.mark.parametrize("rate", [[], ["--fps", "600"]])
def test_too_few_periods_give_no_band(
    here: Path, capsys: pytest.CaptureFixture[str], rate: list[str]
) -> None:
    write_clip("short.mkv", frames(0.3, 0.9), rate=FPS, lossless=True)  # 1.8 periods
    assert main(["spectrum", "short.mkv", *rate]) == 0
    out = capsys.readouterr().out
    assert "the clip is too short to tell, it holds 1." in out
    needed = int(re.search(r"3 of them take (\d+) frames", out)[1])  # type: ignore[index]
    assert needed == pytest.approx(3 / 1.8 * FRAMES, rel=0.15)
    (row,) = [line for line in out.splitlines() if "°" in line]
    assert row.endswith("too short")
    assert "mm magnify" not in out
    assert cv2.imread("short_spectrum.png") is not None


def test_the_command_is_for_the_first_peak_that_can_be_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The upper half drifts back and forth, the lower one swings less and faster.
    both = torch.cat([frames(0.6, 0.9)[..., :24, :], frames(0.1)[..., 24:, :]], dim=-2)
    write_clip("both.mkv", both, rate=FPS, lossless=True)
    assert main(["spectrum", "both.mkv"]) == 0
    out = capsys.readouterr().out
    slow, fast = [line.split() for line in out.splitlines() if "°" in line]
    assert float(slow[2]) > float(fast[2])
    assert "too short to tell" in out
    assert f"to see {fast[0]} Hz: mm magnify both.mkv" in out


def test_what_stands_still_is_said_to(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip("still.mkv", frames(0.0), rate=FPS, lossless=True)
    assert main(["spectrum", "still.mkv"]) == 0
    out = capsys.readouterr().out
    assert "no motion above the noise" in out
    assert "mm magnify" not in out
    assert cv2.imread("still_spectrum.png") is not None
    write_clip("grey.mkv", torch.full((20, 3, 32, 32), 0.5), rate=FPS, lossless=True)
    assert main(["spectrum", "grey.mkv"]) == 0
    assert "no texture to follow" in capsys.readouterr().out


def test_a_codec_that_holds_motion_back_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with VideoWriter("coded.mp4", (48, 64), rate=FPS, crf=30) as writer:
        writer.write(frames(0.3))
    assert main(["spectrum", "coded.mp4"]) == 0
    out = capsys.readouterr().out
    (peak,) = [line.split() for line in out.splitlines() if "°" in line]
    assert peak[-5:-2] == ["codec", "holds", "back"]
    assert abs(float(peak[2]) - 0.3) < float(peak[-2])
    assert "a step of" in out
    assert main(["spectrum", "a clip.mkv"]) == 0
    assert "holds back" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--roi", "0,0,48"], "four whole numbers"),
        (["--roi", "40,0,48,48"], "does not lie within the frame"),
        (["--out", "a.jpg"], "name it .png"),
        (["--csv", "gone/a.csv"], "there is no folder gone"),
        (["--end", "0.2"], "has 6 frames to look at, and a spectrum needs at least 8; give a longer clip"),
        (["--end", "0.02"], "has 1 frame to look at"),
        (["--peaks", "0"], "--peaks must be at least 1"),
        (["--fps", "-1"], "above 0 frames a second"),
    ],
)
def test_what_cannot_be_used(
    here: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    before = sorted(here.iterdir())
    assert main(["spectrum", "a clip.mkv", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(here.iterdir()) == before


def test_a_missing_clip_and_a_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spectrum", "gone.mp4"]) == 2
    assert "there is no file or folder gone.mp4" in capsys.readouterr().err
    write_clip(here / "images", frames(0.2)[:12])
    assert main(["spectrum", "images"]) == 2
    assert "give it with --fps" in capsys.readouterr().err
