"""``mm compare`` as it is typed."""

from __future__ import annotations

import base64
import json
import math
import re
import shlex
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from mm.cli import main
from mm.errors import InputError
from mm.methods import Magnifier
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.weights import save
from mm.registry import methods
from mm.reports.comparison import candidates
from mm.video import read_clip, write_clip

TINY = NetworkConfig(
    stem_channels=2, channels=2, encoder_blocks=1, texture_blocks=1, shape_blocks=1, decoder_blocks=1
)
HEIGHT, WIDTH, FPS, FRAMES = 64, 96, 30, 20
PERIOD, AMPLITUDE, FREQUENCY, FACTOR = 16.0, 0.2, 3.0, 5.0
FILES = {"compare.html", "compare.mp4", "compare.json", "slice_x.png", "slice_y.png"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save(MagnificationNetwork(TINY), path, {})
    return str(path)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Vertical stripes of known motion in the upper half; below, a texture that stands still."""
    t = torch.arange(FRAMES, dtype=torch.float64).view(-1, 1, 1) / FPS
    y, x = torch.meshgrid(torch.arange(HEIGHT).double(), torch.arange(WIDTH).double(), indexing="ij")
    shift = AMPLITUDE * torch.sin(2 * math.pi * FREQUENCY * t)
    moving = 0.5 + 0.3 * torch.sin(2 * math.pi / PERIOD * (x - shift))
    still = 0.5 + 0.15 * (torch.sin(0.6 * x) + torch.sin(0.5 * y))
    upper = torch.sigmoid(HEIGHT / 2 - y)
    frames = (moving * upper + still * (1 - upper))[:, None].expand(-1, 3, -1, -1).float()
    path = tmp_path_factory.mktemp("clip") / "in & out.mkv"
    # Of 10 bits, so that rounding does not blur a motion of a fifth of a pixel.
    write_clip(path, frames, rate=FPS, lossless=True)
    return str(path)


def compare(source: str, out: Path, *options: str) -> int:
    return main(["compare", source, "--out", str(out), "--device", "cpu", *options])


def made(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    return found


def swing(row: np.ndarray) -> float:
    """Amplitude in px, at the known frequency, of the stripes in a slice (L, T, 3)."""
    length = row.shape[0] // int(PERIOD) * int(PERIOD)
    wave = np.exp(-2j * np.pi / PERIOD * np.arange(length))
    phase = np.unwrap(np.angle(wave @ row[:length].mean(-1)))
    t = np.arange(FRAMES) / FPS
    turn = 2 * np.pi * FREQUENCY * t
    basis = np.stack([np.sin(turn), np.cos(turn), np.ones(FRAMES)], 1)
    sine, cosine, _ = np.linalg.lstsq(basis, phase * PERIOD / (2 * np.pi), rcond=None)[0]
    return float(np.hypot(sine, cosine))


def slices(out: Path) -> dict[str, np.ndarray]:
    """The page's x–t slices by label, RGB."""
    page, found = (out / "compare.html").read_text(encoding="utf-8"), {}
    for data, label in re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]*), x–t slice"', page):
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        found[label] = pixels[..., ::-1]
    return found


def test_compares(source: str, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "folder"
    assert compare(source, out, "--methods", f"linear,phase,mine={weights}", "--factor", f"{FACTOR:g}") == 0
    assert {path.name for path in out.iterdir()} == FILES | {"linear.mp4", "phase.mp4", "mine.mp4"}
    said = capsys.readouterr().out
    assert "mine: 20 frames in" in said
    assert "(most motion along x)" in said
    record = made(out)
    # The stripes move in the upper half.
    assert 2 <= record["line"]["row"] <= HEIGHT / 2
    assert [each["name"] for each in record["methods"]] == ["linear", "phase", "mine"]
    assert all(each["worked"] and each["speed"] > 0 for each in record["methods"])
    # The slices on the page show the motion: as it is in the input, and five times as large.
    shown = slices(out)
    assert list(shown) == ["input", "linear × 5", "phase × 5", "mine × 5"]
    assert swing(shown["input"]) == pytest.approx(AMPLITUDE, rel=0.05)
    for label in ("linear × 5", "phase × 5"):
        assert swing(shown[label]) / swing(shown["input"]) == pytest.approx(FACTOR, rel=0.1), label
    # The moment is the one at which the stripes are farthest from where they were at first.
    assert abs(math.sin(2 * math.pi * FREQUENCY * record["moment"]["frame"] / FPS)) > 0.9
    frames, info = read_clip(out / "compare.mp4")
    assert len(frames) == FRAMES
    # Matroska, in which the input is, rounds times to 1 ms.
    assert float(info.rate) == pytest.approx(FPS, rel=0.002)


def test_the_page_can_be_made_again_from_its_own_line(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--methods", "phase,linear", "--factor", "3", "--low", "2", "--high", "6.5", "--filter", "iir"]
    options += ["--scale", "0.5", "--start", "0.1", "--line", "40,20", "--roi", "8,4,80,40", "--ignore-cuts"]
    options += ["-o", "smoothing=1.5", "-o", "linear.cutoff=30"]
    assert compare(source, tmp_path / "a b", *options, "--quiet", "--overwrite") == 0
    assert capsys.readouterr().out == ""
    first = made(tmp_path / "a b")
    assert first["line"] == {"row": 10, "column": 20}
    assert "row 20 (given) and column 40 (given)" in first["chosen"]
    assert first["parameters"]["Mode"] == "temporal"
    assert "48×32 px" in first["parameters"]["Clip"]
    phase, linear = (each["says"] for each in first["methods"])
    assert "iir 2–6.5 Hz" in phase
    assert "smoothing 1.5 wavelengths" in phase
    assert "cutoff 30 px" in linear
    before = slices(tmp_path / "a b")

    words = shlex.split(first["command"])
    assert words[0] == "mm"
    (tmp_path / "a b" / "compare.html").unlink()
    assert main(words[1:]) == 0
    again = made(tmp_path / "a b")
    assert (again["command"], again["moment"]) == (first["command"], first["moment"])
    for label, picture in slices(tmp_path / "a b").items():
        np.testing.assert_array_equal(picture, before[label])


def test_a_preset_is_for_all_and_its_options_for_its_method(source: str, tmp_path: Path) -> None:
    options = ["--preset", "machine", "--low", "3", "--methods", "phase,riesz", "--quiet", "--row", "12"]
    assert compare(source, tmp_path / "o", *options) == 0
    record = made(tmp_path / "o")
    phase, riesz = (each["says"] for each in record["methods"])
    assert "temporal, factor 20" in phase
    assert "temporal, factor 20" in riesz
    assert "smoothing 1 wavelengths" in phase
    assert "smoothing 2 samples" in riesz  # Its own default.
    # The upper edge is a part of the capture rate, which Matroska's times give as about 30.
    assert record["parameters"]["Band"].startswith("3–13.5 Hz")
    assert record["line"]["row"] == 12
    assert "row 12 (given)" in record["chosen"]


def test_a_folder_of_images(source: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "frames", read_clip(source)[0][:8])
    assert compare(str(tmp_path / "frames"), tmp_path / "o", "--methods", "linear", "--fps", "50") == 0
    assert float(read_clip(tmp_path / "o" / "compare.mp4")[1].rate) == 50


def test_what_is_to_say_of_the_clip_is_said_once(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cut after the clip, before a picture that stands still."""
    frames, _ = read_clip(source)
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    still = 0.4 + 0.2 * (torch.sin(0.9 * x + 0.4 * y) + torch.sin(0.2 * x - 0.7 * y)).expand(1, 3, -1, -1)
    write_clip(tmp_path / "two.mkv", torch.cat([frames, still.repeat(FRAMES, 1, 1, 1)]), lossless=True)
    assert compare(str(tmp_path / "two.mkv"), tmp_path / "o", "--methods", "linear,phase") == 0
    assert capsys.readouterr().err.count("has a cut before frame 20") == 1
    record = made(tmp_path / "o")
    assert record["cuts"] == [20]
    assert all(not each["notes"] for each in record["methods"])
    # Where the stripes of the first shot move, and when.
    assert 2 <= record["line"]["row"] <= HEIGHT / 2
    assert record["moment"]["frame"] < FRAMES


# -- methods that do not work ------------------------------------------------------------------------------


class Warns(Magnifier):
    """A method that warns, and changes nothing."""

    def __init__(self, factor: float, band: object, device: object) -> None:
        warnings.warn("this is experimental", stacklevel=2)

    def push(self, frames: Tensor) -> Tensor:
        return frames

    def flush(self) -> Tensor:
        return torch.empty(0)

    def memory(self, height: int, width: int, frames: int) -> int:
        return 0

    def describe(self) -> str:
        return "warns, changes nothing"


class Refuses(Warns):
    """A method that refuses every clip."""

    def __init__(self, factor: float, band: object, device: object) -> None:
        raise InputError("refuses: the clip is <too> plain; give another")


@pytest.fixture
def more_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(methods.entries, "refuses", Refuses)
    monkeypatch.setitem(methods.entries, "warns", Warns)


@pytest.mark.usefixtures("more_methods")
def test_a_method_that_refuses_is_named_and_the_others_are_compared(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o"
    assert compare(source, out, "--methods", "refuses,warns,linear") == 1
    said = capsys.readouterr().err
    assert "mm: error: 1 of 3 methods did not work: refuses" in said
    assert "mm: warning: refuses did not work: refuses: the clip is <too> plain; give another\n" in said
    assert "mm: warning: warns: this is experimental\n" in said
    page = (out / "compare.html").read_text(encoding="utf-8")
    assert "did not work: refuses: the clip is &lt;too&gt; plain" in page
    assert "this is experimental" in page
    assert list(slices(out)) == ["input", "warns × 10", "linear × 10"]
    assert not (out / "refuses.mp4").exists()


@pytest.mark.usefixtures("more_methods")
def test_if_no_method_works_it_is_an_error(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(source, tmp_path / "o", "--methods", "refuses,layered") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("mm: error: no method worked: refuses: refuses: the clip is <too> plain")
    # A method's advice can be typed.
    assert "-o layered.region=" in last
    assert compare(source, tmp_path / "p", "--methods", "refuses") == 2
    assert "mm: error: refuses: the clip is <too> plain; give another" in capsys.readouterr().err
    assert not (tmp_path / "o" / "compare.html").exists()


# -- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "linear,phaze"], "did you mean 'phase'?"),
        (["--methods", "phase,linear,phase"], "'phase' is given twice"),
        (["--methods", "input,phase"], "input is always shown"),
        (["--methods", "=x.safetensors"], "NAME=WEIGHTS"),
        (["--methods", " , "], "no method is given"),
        (["--row", "64"], "rows 0 to 63"),
        (["--column", "-1"], "columns 0 to 95"),
        (["--line", "3"], "--line must be 2 whole numbers"),
        (["--line", "3,4", "--row", "3"], "leave out --row and --column"),
        (["--roi", "0,0,200,10"], "does not lie within the frame"),
        (["--roi", "0,0,a,10"], "--roi must be 4 whole numbers"),
        (["--factor", "-1"], "factor"),
        (["--scale", "0"], "scale"),
        (["--mode", "temporal"], "band"),
        (["--low", "3"], "--high"),
        (["--taps", "9"], "--taps"),
        (["--preset", "breth"], "'breathing'"),
        (["-o", "orientation=8"], "did you mean 'orientations'?"),
        (["-o", "phase.cutoff=8"], "'cutoff'"),
        (["-o", "riesz.scales=3"], "compared: phase"),
        (["-o", "orientations=many"], "orientations"),
        (["--start", "9"], "no frame between 9 s and its end"),
        (["--device", "abacus"], "'abacus'"),
    ],
)
def test_bad_input_is_one_line(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert compare(source, tmp_path / "o", "--methods", "phase", "--quiet", *options) == 2
    said = capsys.readouterr().err
    assert message in said.splitlines()[-1]
    assert not (tmp_path / "o" / "compare.html").exists()


def test_the_input_is_not_written_over(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = read_clip(source)[0][:4]
    write_clip(tmp_path / "phase.mp4", frames)
    before = (tmp_path / "phase.mp4").read_bytes()
    assert compare(str(tmp_path / "phase.mp4"), tmp_path, "--methods", "phase", "--overwrite") == 2
    assert "would be written over" in capsys.readouterr().err
    assert (tmp_path / "phase.mp4").read_bytes() == before
    write_clip(tmp_path / "frames", frames)
    assert compare(str(tmp_path / "frames"), tmp_path / "frames", "--methods", "phase") == 2
    assert compare(source, tmp_path / "phase.mp4", "--methods", "phase") == 2
    assert compare(str(tmp_path / "gone.mp4"), tmp_path / "o") == 2
    assert capsys.readouterr().err.count("mm: error: ") == 3


def test_names_that_are_no_file_names(weights: str) -> None:
    found = candidates(f"../a b={weights},.. a/b={weights},compare={weights},phase")
    names = [each.file for each in found]
    assert len(set(names)) == 4
    assert "compare.mp4" not in names
    assert all(re.fullmatch(r"[\w-]+\.mp4", name) for name in names)
    assert [each.method for each in found] == ["learned"] * 3 + ["phase"]


def test_options_go_to_the_methods_that_have_them() -> None:
    options = ["smoothing=1.5", "riesz.smoothing=3", "linear.cutoff=30"]
    found = candidates("linear,phase,riesz", options)
    assert [each.options for each in found] == [
        {"cutoff": "30"},
        {"smoothing": "1.5"},
        {"smoothing": "3"},
    ]
