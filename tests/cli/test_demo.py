"""``mm demo`` as a user runs it, with a small network, and with a stand-in that is right by construction."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

import mm.cli.demo as demo
import mm.methods.learned
from mm.cli import main
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.weights import save
from mm.video import read_clip

SMALL = NetworkConfig(stem_channels=4, channels=4, encoder_blocks=1, decoder_blocks=1)


FRAMES = 30  # one second: whole cycles of every vibration


@pytest.fixture(autouse=True)
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "FRAMES", FRAMES)


def the_clip() -> demo.DemoClip:
    return demo.demo_clip(amplitude=0.2, frames=FRAMES, seed=demo.SEED)


class Perfect:
    """Gives the true magnified clip, in its own chunks, whatever it is given."""

    def __init__(self, _: object, *, factor: float, mode: str, **__: object) -> None:
        self.frames = the_clip().magnified(factor, mode)  # type: ignore[arg-type]
        self.given = 0

    def push(self, frames: Tensor) -> Tensor:
        """Keep the last chunk for the end, as a filter with a delay would."""
        begin, self.given = max(self.given - 4, 0), self.given + len(frames)
        return self.frames[begin : max(self.given - 4, 0)]

    def flush(self) -> Tensor:
        return self.frames[self.given - 4 :]


def test_a_right_method_is_reported_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mm.methods.learned, "LearnedMagnifier", Perfect)
    folder = tmp_path / "new" / "demo"
    assert main(["demo", "--out", str(folder), "--factor", "12"]) == 0
    assert {path.name for path in folder.iterdir()} == set(demo.FILES)
    report = json.loads((folder / "report.json").read_text())
    assert report["gain"] == pytest.approx(1, abs=1e-3)
    assert report["motion_met"]
    assert report["still_met"]
    assert report["frames"] == FRAMES
    printed = capsys.readouterr().out
    assert "2.40 px" in printed
    assert "NOT met" not in printed

    # The encoder must not eat a motion of 0.2 px: measured again in what a player would show.
    clip = the_clip()
    shown, magnified = (read_clip(folder / name)[0] for name in ("input.mp4", "magnified.mp4"))
    assert shown.shape == magnified.shape == clip.frames.shape
    assert demo.measure_vibration(clip, shown, 1.0).gain == pytest.approx(1, abs=0.1)
    assert demo.measure_vibration(clip, magnified, 12.0).gain == pytest.approx(1, abs=0.02)
    assert read_clip(folder / "side_by_side.mp4")[0].shape[-1] >= 3 * 2 * 192


@pytest.mark.parametrize("mode", ["static", "temporal"])
def test_an_untrained_network_is_reported_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "tiny.safetensors"
    save(MagnificationNetwork(SMALL), weights, {})
    out = tmp_path / "demo"
    assert (
        main(["demo", "--out", str(out), "--mode", mode, "--weights", str(weights), "--device", "cpu"]) == 0
    )
    report = json.loads((out / "report.json").read_text())
    assert report["mode"] == mode
    assert not report["motion_met"]
    assert "NOT met" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--factor", "nan"], "--factor must be a number above 0, got nan"),
        (["--factor", "-3"], "--factor must be a number above 0, got -3"),
        (["--amplitude", "0"], "--amplitude must be a number above 0, got 0"),
        (["--factor", "200"], "the clip has room for 24 px"),
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--device", "warp"], "warp"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "demo" / "report.json").exists()


def test_an_output_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "demo").write_text("mine")
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err
    assert (tmp_path / "demo").read_text() == "mine"
    assert main(["demo", "--out", str(tmp_path / "demo" / "below")]) == 2
    assert str(tmp_path / "demo" / "below") in capsys.readouterr().err
