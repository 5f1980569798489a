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
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.weights import save
from mm.registry import methods
from mm.video import read_clip, write_clip
from mm.video.slices import Slice

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


def pictures(page: str) -> dict[str, np.ndarray]:
    """The page's images by what stands for them, RGB."""
    found = {}
    for data, text in re.findall(r'<img src="data:image/png;base64,([^"]+)"[^>]* alt="([^"]*)"', page):
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        found[text] = pixels[..., ::-1]
    return found


def course(slice_of_row: np.ndarray) -> np.ndarray:
    """Displacement in px over time of the stripes, from their phase: (L, T, 3) → (T,)."""
    length = slice_of_row.shape[0] // int(PERIOD) * int(PERIOD)
    light = slice_of_row[:length].mean(-1)
    wave = np.exp(-2j * np.pi / PERIOD * np.arange(length))
    phase = np.unwrap(np.angle(wave @ light))
    return -(phase - phase[0]) * PERIOD / (2 * np.pi)


def swing(displacement: np.ndarray) -> float:
    """Amplitude at the known frequency, by least squares."""
    t = np.arange(FRAMES) / FPS
    basis = np.stack(
        [np.sin(2 * np.pi * FREQUENCY * t), np.cos(2 * np.pi * FREQUENCY * t), np.ones(FRAMES)], 1
    )
    sine, cosine, _ = np.linalg.lstsq(basis, displacement, rcond=None)[0]
    return float(np.hypot(sine, cosine))


def test_compares(source: str, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "folder"
    assert compare(source, out, "--methods", f"linear,phase,mine={weights}", "--factor", f"{FACTOR:g}") == 0
    assert {path.name for path in out.iterdir()} == FILES | {"linear.mp4", "phase.mp4", "mine.mp4"}
    said = capsys.readouterr().out
    assert "mine: 20 frames in" in said
    assert "(most motion along x)" in said
    settings = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    # The stripes move in the upper half.
    assert 2 <= settings["line"]["row"] <= HEIGHT / 2
    assert [method["name"] for method in settings["methods"]] == ["linear", "phase", "mine"]
    assert all(method["worked"] and method["speed"] > 0 for method in settings["methods"])

    page = (out / "compare.html").read_text(encoding="utf-8")
    shown = pictures(page)
    labels = ["input", "linear × 5", "phase × 5", "mine × 5"]
    for label in labels:
        # Rows and columns of up to 128 px are shown whole.
        assert shown[f"{label}, x–t slice"].shape == (WIDTH, FRAMES, 3)
        assert shown[f"{label}, y–t slice"].shape == (HEIGHT, FRAMES, 3)
        assert shown[f"{label}, crop"].shape == (64, 64, 3)
        assert f"<figcaption>{label}</figcaption>" in page
    assert shown["the input"].shape == (HEIGHT, WIDTH, 3)
    assert "in &amp; out.mkv" in page
    assert "in & out.mkv" not in page
    for method in settings["methods"]:
        assert method["says"] in page
    assert not re.search(r'(?:src|href)="(?!data:|linear\.mp4|phase\.mp4|mine\.mp4)', page)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)

    # The slices on the page show the motion: as it is in the input, and five times as large.
    before = swing(course(shown["input, x–t slice"]))
    assert before == pytest.approx(AMPLITUDE, rel=0.05)
    for label in ("linear × 5", "phase × 5"):
        assert swing(course(shown[f"{label}, x–t slice"])) / before == pytest.approx(FACTOR, rel=0.1), label

    # The moment is the one at which the stripes are farthest from where they were at first.
    moment = settings["moment"]["frame"]
    farthest = np.abs(np.sin(2 * np.pi * FREQUENCY * np.arange(FRAMES) / FPS))
    assert farthest[moment] > 0.9
    frames, info = read_clip(out / "compare.mp4")
    assert len(frames) == FRAMES
    # Matroska, in which the input is, rounds times to 1 ms.
    assert float(info.rate) == pytest.approx(FPS, rel=0.002)


def test_the_page_can_be_made_again_from_its_own_line(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--methods", "phase", "--factor", "3", "--low", "2", "--high", "6.5", "--filter", "iir"]
    options += ["--scale", "0.5", "--start", "0.1", "--line", "40,20", "--roi", "8,4,80,40"]
    assert compare(source, tmp_path / "a b", *options, "--quiet") == 0
    assert capsys.readouterr().out == ""
    first = json.loads((tmp_path / "a b" / "compare.json").read_text(encoding="utf-8"))
    assert first["line"] | {"chosen": ""} == {"row": 10, "column": 20, "chosen": ""}
    assert "row 20 (given) and column 40 (given)" in first["line"]["chosen"]
    assert first["parameters"]["Mode"] == "temporal"
    assert "48×32 px" in first["parameters"]["Clip"]
    assert "iir 2–6.5 Hz" in first["methods"][0]["says"]
    slices = pictures((tmp_path / "a b" / "compare.html").read_text(encoding="utf-8"))

    words = shlex.split(first["command"])
    assert words[0] == "mm"
    (tmp_path / "a b" / "compare.html").unlink()
    assert main(words[1:]) == 0
    again = json.loads((tmp_path / "a b" / "compare.json").read_text(encoding="utf-8"))
    assert again["command"] == first["command"]
    assert again["moment"] == first["moment"]
    for name, picture in pictures((tmp_path / "a b" / "compare.html").read_text(encoding="utf-8")).items():
        np.testing.assert_array_equal(picture, slices[name])


def test_a_row_that_is_given_and_a_column_that_is_found(source: str, tmp_path: Path) -> None:
    assert compare(source, tmp_path / "o", "--methods", "phase", "--row", "12", "--mode", "dynamic") == 0
    settings = json.loads((tmp_path / "o" / "compare.json").read_text(encoding="utf-8"))
    assert settings["line"]["row"] == 12
    assert "row 12 (given)" in settings["line"]["chosen"]
    assert "phase, dynamic" in settings["methods"][0]["says"]


def test_a_clip_too_short_for_the_map_is_compared_by_the_methods_that_take_it(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o"
    # The filter that finds the line needs 60 frames for this; acceleration has its own, shorter one.
    options = ["--low", "0.5", "--high", "5.5", "--methods", "acceleration,phase"]
    assert compare(source, out, *options) == 1
    said = capsys.readouterr().err
    assert said.count("where the clip moves most cannot be measured: the clip has 20 frames") == 1
    assert "phase did not work" in said
    made = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    assert [method["worked"] for method in made["methods"]] == [True, False]
    assert (made["line"]["row"], made["line"]["column"]) == (HEIGHT // 2, WIDTH // 2)
    assert made["moment"]["frame"] == FRAMES // 2
    page = (out / "compare.html").read_text(encoding="utf-8")
    assert "row 32 (the middle)" in page
    assert "Where the clip moves most cannot be measured: the clip has 20 frames" in page
    # With the line given.
    options = [*options[:-1], "acceleration", "--line", "40,20"]
    assert compare(source, tmp_path / "p", *options) == 0
    made = json.loads((tmp_path / "p" / "compare.json").read_text(encoding="utf-8"))
    assert (made["line"]["row"], made["line"]["column"]) == (20, 40)
    # Where no method takes it, their reason is the command's.
    assert compare(source, tmp_path / "q", "--low", "0.5", "--high", "2", "--methods", "phase") == 2
    assert "mm: error: the clip has 20 frames" in capsys.readouterr().err


def test_a_damaged_clip_is_told_once_for_all_methods(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.mp4"
    noise = torch.rand(FRAMES, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    write_clip(path, (read_clip(source)[0] + 0.2 * noise).clamp(0, 1), rate=FPS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    assert compare(str(path), tmp_path / "o", "--methods", "linear,phase", "--quiet") == 0
    said = capsys.readouterr().err
    assert said.count("could be decoded is kept") == 1
    made = settings_of(tmp_path / "o")
    assert "could be decoded is kept" in made["parameters"]["Noticed"]
    assert all(not method["notes"] for method in made["methods"])


def test_a_folder_of_images(source: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "frames", read_clip(source)[0][:8])
    assert compare(str(tmp_path / "frames"), tmp_path / "o", "--methods", "linear", "--fps", "50") == 0
    assert float(read_clip(tmp_path / "o" / "compare.mp4")[1].rate) == 50


# -- methods that do not work ------------------------------------------------------------------------------


class Refuses:
    """A method that refuses every clip."""

    def __init__(self, factor: float, band: object, device: object) -> None:
        raise InputError("refuses: the clip is <too> plain; give another")


class Warns:
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


@pytest.fixture
def more_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(methods._entries, "refuses", Refuses)
    monkeypatch.setitem(methods._entries, "warns", Warns)


@pytest.mark.usefixtures("more_methods")
def test_a_method_that_refuses_is_named_and_the_others_are_compared(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o"
    assert compare(source, out, "--methods", "refuses,warns,linear") == 1
    said = capsys.readouterr().err
    assert said.endswith(
        "mm: error: 1 of 3 methods did not work: refuses; compare.html has the reason beside the others' "
        "results\n"
    )
    assert "mm: warning: refuses did not work: refuses: the clip is <too> plain; give another\n" in said
    assert "mm: warning: warns: this is experimental\n" in said
    page = (out / "compare.html").read_text(encoding="utf-8")
    assert "did not work: refuses: the clip is &lt;too&gt; plain" in page
    assert "this is experimental" in page
    assert set(pictures(page)) >= {"warns × 10, crop", "linear × 10, crop"}
    assert not any("refuses" in name for name in pictures(page))
    assert not (out / "refuses.mp4").exists()


def test_advice_can_be_typed(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--methods", "layered,linear", "--end", "0.3", "--quiet"]
    assert compare(source, tmp_path / "o", *options) == 1
    said = capsys.readouterr().err
    (advice,) = re.findall(r"give -o (\S+)=x,y,width,height or -o layered.mask=FILE", said)
    assert "--option" not in said
    assert "-o layered.region=x,y,width,height" in (tmp_path / "o" / "compare.html").read_text("utf-8")
    assert {path.name for path in (tmp_path / "o").iterdir()} == FILES | {"linear.mp4"}
    assert compare(source, tmp_path / "p", *options, "-o", f"{advice}=20,8,40,40") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("more_methods")
def test_if_no_method_works_it_is_an_error(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--methods", "refuses,learned"]
    # The network, too, refuses a band in static mode.
    assert compare(source, tmp_path / "o", *options, "--mode", "static", "--low", "1", "--high", "5") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("mm: error: no method worked: refuses: refuses: the clip is <too> plain")
    assert "; learned: " in last
    assert compare(source, tmp_path / "o", "--methods", "refuses") == 2
    assert "mm: error: refuses: the clip is <too> plain; give another" in capsys.readouterr().err
    assert not (tmp_path / "o" / "compare.html").exists()


# -- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "linear,phaze"], "no method is called 'phaze'; did you mean 'phase'?"),
        (["--methods", "phase,linear,phase"], "the method 'phase' is given twice"),
        (["--methods", "a=x.safetensors,a=y.safetensors"], "the method 'a' is given twice"),
        (["--methods", "input,phase"], "the input is always shown"),
        (["--methods", "=x.safetensors"], "a method is NAME, or NAME=WEIGHTS"),
        (["--methods", " , "], "no method is given"),
        (["--methods", "phase,new=gone.safetensors"], "gone.safetensors"),
        (["--row", "64"], "row 64 lies outside"),
        (["--column", "-1"], "column -1 lies outside"),
        (["--line", "96,3"], "columns 0 to 95; change --column (in --line)"),
        (["--line", "3"], "--line must be 2 whole numbers x,y in px, got '3'"),
        (["--line", "3,4", "--row", "3"], "leave out --row and --column"),
        (["--roi", "0,0,200,10"], "does not lie within the frame"),
        (["--roi", "0,0,a,10"], "--roi must be 4 whole numbers"),
        (["--factor", "-1"], "factor"),
        (["--scale", "0"], "scale must be a number above 0"),
        (["--mode", "temporal"], "temporal mode needs a band"),
        (["--low", "3"], "--high is missing"),
        (["--low", "3", "--high", "7", "--order", "3"], "order"),
        (["--taps", "9"], "--taps 9 is the temporal filter's, but there is no band"),
        (["--preset", "breth"], "did you mean 'breathing'?"),
        (["--preset", "string"], "preset string looks at 72 Hz to 92 Hz"),
        (["-o", "orientations"], "--option must be NAME=VALUE"),
        (["-o", "orientation=8"], "has an option 'orientation'; did you mean 'orientations'?"),
        (["-o", "phase.cutoff=8"], "the phase method has no option 'cutoff'"),
        (["-o", "riesz.scales=3"], "no method called 'riesz' is compared (compared: phase)"),
        (["-o", "orientations=many"], "option orientations must be int"),
        (["-o", "phase.scales=2", "-o", "phase.scales=3"], "is given twice"),
        (["--low", "3", "--high", "20"], "frames a second hold only frequencies below 15 Hz"),
        (["--start", "9"], "no frame between 9 s and its end"),
        (["--device", "abacus"], "no device is called 'abacus'"),
    ],
)
def test_bad_input_is_told_before_any_work(
    source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.setattr("mm.magnify.clip.magnify", lambda *args, **named: pytest.fail("work was begun"))
    arguments = ["compare", source, "--out", str(tmp_path / "o"), "--methods", "phase"]
    assert main([*arguments, *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_the_input_is_not_written_over(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = read_clip(source)[0][:4]
    write_clip(tmp_path / "phase.mp4", frames)
    before = (tmp_path / "phase.mp4").read_bytes()
    assert compare(str(tmp_path / "phase.mp4"), tmp_path, "--methods", "phase", "--overwrite") == 2
    assert "would be written over, and is the input" in capsys.readouterr().err
    assert (tmp_path / "phase.mp4").read_bytes() == before
    write_clip(tmp_path / "frames", frames)
    assert compare(str(tmp_path / "frames"), tmp_path / "frames", "--methods", "phase") == 2
    assert "is the input" in capsys.readouterr().err
    assert compare(source, tmp_path / "phase.mp4", "--methods", "phase") == 2
    assert "is a file; name a folder" in capsys.readouterr().err
    assert compare(str(tmp_path / "gone.mp4"), tmp_path / "o") == 2
    assert "there is no file or folder" in capsys.readouterr().err


def test_names_that_are_no_file_names(source: str, weights: str, tmp_path: Path) -> None:
    options = ["--methods", f"../a b={weights},.. a/b={weights},compare={weights}"]
    assert compare(source, tmp_path / "o", *options, "--end", "0.2") == 0
    assert {path.name for path in (tmp_path / "o").iterdir()} == FILES | {
        "a_b.mp4",
        "a_b-2.mp4",
        "compare-2.mp4",
    }
    assert {path.name for path in tmp_path.iterdir()} == {"o"}


# -- what reaches the methods ------------------------------------------------------------------------------


def settings_of(out: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    return made


def test_options_go_to_the_methods_that_have_them(source: str, tmp_path: Path) -> None:
    out = tmp_path / "o"
    options = ["--methods", "linear,phase,riesz", "--end", "0.3", "--quiet"]
    options += ["-o", "smoothing=1.5", "-o", "riesz.smoothing=3", "-o", "linear.cutoff=30"]
    assert compare(source, out, *options) == 0
    linear, phase, riesz = (method["says"] for method in settings_of(out)["methods"])
    assert "cutoff 30 px" in linear
    assert "smoothing 1.5 wavelengths" in phase
    assert "smoothing 3 samples" in riesz
    assert settings_of(out)["parameters"]["Options"] == "smoothing=1.5, riesz.smoothing=3, linear.cutoff=30"
    command = shlex.split(settings_of(out)["command"])
    assert [command[k + 1] for k, word in enumerate(command) if word == "--option"] == options[6::2]


def test_the_filter_s_parameters(source: str, tmp_path: Path) -> None:
    band = ["--low", "3", "--high", "7", "--methods", "linear", "--quiet"]
    assert compare(source, tmp_path / "a", *band, "--filter", "fir", "--taps", "11") == 0
    assert settings_of(tmp_path / "a")["parameters"]["Band"] == "3–7 Hz, fir filter, taps 11"
    assert "fir 3–7 Hz" in settings_of(tmp_path / "a")["methods"][0]["says"]
    assert compare(source, tmp_path / "b", *band, "--order", "4") == 0
    assert settings_of(tmp_path / "b")["parameters"]["Band"] == "3–7 Hz, butter filter, order 4"
    assert "--order 4" in settings_of(tmp_path / "b")["command"]


def test_a_preset_is_for_all_and_its_options_for_its_method(source: str, tmp_path: Path) -> None:
    options = ["--preset", "machine", "--low", "3", "--methods", "phase,riesz,acceleration", "--quiet"]
    assert compare(source, tmp_path / "o", *options) == 0
    made = settings_of(tmp_path / "o")
    phase, riesz, acceleration = (method["says"] for method in made["methods"])
    # The upper edge is a part of the capture rate, which Matroska's times give as about 30.
    assert made["parameters"]["Band"].startswith("3–13.5 Hz")
    assert made["parameters"]["Factor"].startswith("20 ")
    assert made["parameters"]["Preset"] == "machine"
    assert made["parameters"]["The preset's options"] == "phase.smoothing=1"
    assert "phase.smoothing=1" in (tmp_path / "o" / "compare.html").read_text(encoding="utf-8")
    for says in (phase, riesz, acceleration):
        assert "temporal, factor 20" in says
    assert "smoothing 1 wavelengths" in phase
    assert "smoothing 2 samples" in riesz  # Its own default.
    assert "Laplacian of Gaussian for 8.25 Hz" in acceleration
    assert main([*shlex.split(made["command"])[1:-1], str(tmp_path / "again"), "--quiet"]) == 0
    options[options.index("--methods") + 1] = "phase"
    assert compare(source, tmp_path / "own", *options, "-o", "phase.smoothing=3") == 0
    # What is given goes before what the preset has.
    own = settings_of(tmp_path / "own")["parameters"]
    assert "The preset's options" not in own
    assert own["Options"] == "phase.smoothing=3"
    assert settings_of(tmp_path / "again")["parameters"] == made["parameters"]


@pytest.fixture(scope="module")
def two_shots(source: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The clip, and after it a picture that stands still."""
    frames, _ = read_clip(source)
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    still = 0.4 + 0.2 * (torch.sin(0.9 * x + 0.4 * y) + torch.sin(0.2 * x - 0.7 * y)).expand(1, 3, -1, -1)
    path = tmp_path_factory.mktemp("cut") / "two.mkv"
    write_clip(path, torch.cat([frames, still.repeat(FRAMES, 1, 1, 1)]), rate=FPS, lossless=True)
    return str(path)


class TestCuts:
    def test_they_are_told_once_and_are_no_motion(
        self, two_shots: str, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "o"
        assert compare(two_shots, out, "--methods", "linear,phase", "--factor", "5") == 0
        said = capsys.readouterr()
        warned = [line for line in said.err.splitlines() if "has a cut before frame" in line]
        assert len(warned) == 1
        assert warned[0].startswith(f"mm: warning: {two_shots} has a cut before frame 20 (0.67 s)")
        made = settings_of(out)
        assert made["cuts"] == [20]
        assert made["parameters"]["Cuts"].startswith("before frame 20; each part")
        assert "Noticed" not in made["parameters"]
        assert all(not method["notes"] for method in made["methods"])
        # Where the stripes of the first shot move, and when.
        assert compare(source, tmp_path / "alone", "--methods", "linear", "--quiet") == 0
        alone = settings_of(tmp_path / "alone")
        assert made["line"]["row"] == alone["line"]["row"]
        assert made["moment"]["frame"] == alone["moment"]["frame"] < FRAMES

    def test_they_can_be_ignored(
        self, two_shots: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert compare(two_shots, tmp_path / "o", "--methods", "linear", "--ignore-cuts") == 0
        assert "cut" not in capsys.readouterr().err
        made = settings_of(tmp_path / "o")
        assert made["cuts"] == []
        assert made["parameters"]["Cuts"] == "not looked for"
        assert made["moment"]["frame"] >= FRAMES
        assert "--ignore-cuts" in made["command"]


def test_what_part_of_a_long_clip_the_slices_show(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    times: list[float] = []

    def draw(slices: list[Slice], labels: list[str], out: Path, clock: str = "playback") -> None:
        drawn.extend(labels)
        times.extend(float(part.times[-1] - part.times[0]) for part in slices if clock == "capture")

    monkeypatch.setattr("mm.cli.slice.draw", draw)
    monkeypatch.setattr("mm.reports.views.LONGEST", 8)
    assert compare(source, tmp_path / "o", "--methods", "linear", "--quiet") == 0
    made = settings_of(tmp_path / "o")
    first, last = made["slices"]["frames"]
    assert last - first == 7
    assert first <= made["moment"]["frame"] <= last
    part = f"frames {first} to {last} of {FRAMES}"
    assert drawn == [f"input, {part}", f"linear × 10, {part}"] * 2
    # In time of capture where its rate is given.
    assert times == []
    assert compare(source, tmp_path / "p", "--methods", "linear", "--quiet", "--fps", "1000") == 0
    # Matroska, in which the input is, rounds times to 1 ms.
    assert times == pytest.approx([7 / 1000] * 4, rel=0.01)
    page = (tmp_path / "o" / "compare.html").read_text(encoding="utf-8")
    assert page.count(f"Not the whole clip: {part}, those around the moment of most motion.") == 2
