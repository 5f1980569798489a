"""Which methods are set side by side, and how a streaming one is measured on a pair and on a clip."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.candidates import Clip, Filtered, Method, Network, candidates
from mm.evaluation.oscillation import BAND, FRAMES, MIDDLE
from mm.evaluation.pairs import Pair
from mm.evaluation.protocol import Level
from mm.methods import LearnedMagnifier, Magnifier
from mm.methods.layered import LayeredMagnifier
from mm.networks import MagnificationNetwork, NetworkConfig
from mm.networks.weights import save
from mm.registry import methods
from mm.temporal import Band, from_band

CPU = torch.device("cpu")
SMALL = NetworkConfig(stem_channels=4, channels=4, encoder_blocks=1, decoder_blocks=1)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    save(MagnificationNetwork(SMALL), path, {})
    return path


class Late(Magnifier):
    """A linear method that gives everything at the end."""

    def __init__(self, *, factor: float) -> None:
        self.factor = factor
        self.frames: list[Tensor] = []

    def push(self, frames: Tensor) -> Tensor:
        self.frames.append(frames)
        return frames[:0]

    def flush(self) -> Tensor:
        clip = torch.cat(self.frames)
        return (clip[:1] + self.factor * (clip - clip[:1])).clamp(0, 1)


class Greedy(Late):
    def flush(self) -> Tensor:
        return super().flush()[1:]


def pairs() -> Pair:
    generator = torch.Generator().manual_seed(1)
    a = torch.rand(2, 3, 16, 20, generator=generator)
    b = (a + 0.01).clamp(0, 1)
    return Pair([Level(0.1, 3.0), Level(0.1, 10.0)], a, b, a, b, [], [], "none")


def test_a_registered_method_is_run_on_the_two_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(methods.entries, "late", Late)
    base, late = candidates(["late"], CPU)
    pair = pairs()
    assert torch.equal(base.magnify(pair), pair.b)
    expected = (pair.a + torch.tensor([3.0, 10.0]).view(-1, 1, 1, 1) * (pair.b - pair.a)).clamp(0, 1)
    torch.testing.assert_close(late.magnify(pair), expected)
    assert [base.name, late.name] == ["input", "late"]


def test_weights_are_a_column_and_give_what_the_method_gives(weights: Path) -> None:
    _, network = candidates([f"mine={weights}"], CPU)
    streamed = Method("learned", lambda **options: LearnedMagnifier(weights, **options), CPU)
    torch.testing.assert_close(streamed.magnify(pairs()), network.magnify(pairs()), atol=1e-5, rtol=1e-4)
    assert network.name == "mine"


class Modal(Late):
    """Says what it was made with; its own default is no way to magnify a pair."""

    def __init__(self, *, factor: float, mode: str = "dynamic", band: Band | None = None) -> None:
        super().__init__(factor=factor)
        self.mode, self.band = mode, band


class Demanding(Late):
    def __init__(self, *, factor: float, tune: str) -> None:
        super().__init__(factor=factor)


def wave(displacement: float, period: float, axis: int) -> Tensor:
    """A plane wave (3, 96, 96) that has moved by ``displacement`` px along x (axis 1) or y (axis 0)."""
    place = torch.arange(96, dtype=torch.float64)
    line = 0.5 + 0.2 * torch.cos(2 * math.pi * (place - displacement) / period)
    return (line[:, None] if axis == 0 else line).expand(3, 96, 96).float()


def moved(frame: Tensor, period: float, axis: int) -> float:
    """By how many px the wave in the middle of ``frame`` has moved, told from its phase."""
    line = frame.double().mean(0).mean(1 - axis)[24:72]
    turn = torch.exp(2j * math.pi * torch.arange(24, 72, dtype=torch.float64) / period)
    return float((line * turn).sum().angle()) * period / (2 * math.pi)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("period", [12.0, 24.0])
@pytest.mark.parametrize("name", ["phase", "riesz", "linear", "acceleration"])
def test_on_a_clip_the_motion_is_magnified_by_what_the_filter_passes(
    name: str, period: float, axis: int
) -> None:
    motion, factor = 0.1, 6.0
    _, method = candidates([name], CPU, clips=True)
    assert isinstance(method, Filtered)
    course = [motion * math.cos(2 * math.pi * 3 * (t - MIDDLE) / 30) for t in range(FRAMES)]
    output = method.middle((wave(at, period, axis) for at in course), factor)
    # The acceleration's kernel is made for the motion's own frequency, where its gain is 1.
    passed = 1.0 if name == "acceleration" else from_band(BAND).gain(3).real
    assert moved(output, period, axis) == pytest.approx(motion * (1 + (factor - 1) * passed), rel=0.05)


def test_which_methods_are_measured_on_clips(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    monkeypatch.setitem(methods.entries, "late", Late)
    monkeypatch.setitem(methods.entries, "modal", Modal)
    names = [f"mine={weights}", "late", "modal", "phase"]
    base, mine, late, modal, phase = candidates(names, CPU, clips=True)
    assert isinstance(mine, Network)
    assert type(late) is Method
    assert isinstance(modal, Filtered)
    assert isinstance(phase, Filtered)
    built = modal.on_oscillation(3.0)
    assert isinstance(built, Modal)
    assert (built.mode, built.band, built.factor) == ("temporal", BAND, 3)
    assert {each.measured_on for each in (base, mine, late)} == {"two frames"}
    for each in (modal, phase):
        assert "FIR filter of 30 taps, 0.5–7.5 Hz" in each.measured_on
    (acceleration,) = candidates(["acceleration"], CPU, clips=True)[1:]
    assert "own temporal kernel, for 3 Hz" in acceleration.measured_on

    modal = candidates(names, CPU)[3]
    assert type(modal) is Method
    built = modal.build(3.0)
    assert isinstance(built, Modal)
    assert (built.mode, built.band) == ("static", None)


def test_in_temporal_mode_the_network_is_measured_on_a_clip_too(
    monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    base, mine, phase = candidates([f"mine={weights}", "phase"], CPU, temporal=True)
    assert base.measured_on == "two frames"
    assert isinstance(mine, Filtered)
    assert isinstance(phase, Filtered)
    built = mine.on_oscillation(7.0)
    assert isinstance(built, LearnedMagnifier)
    assert (built.mode, built.band, built.factor, built.network) == ("temporal", BAND, 7, mine.network)
    assert mine.measured_on == phase.measured_on
    generator = torch.Generator().manual_seed(3)
    clip = torch.rand(FRAMES, 3, 16, 20, generator=generator)
    streamed = LearnedMagnifier(weights, 7.0, "temporal", BAND)
    whole = torch.cat([streamed.push(clip), streamed.flush()])
    torch.testing.assert_close(mine.middle(iter(clip), 7.0), whole[MIDDLE], atol=1e-5, rtol=1e-4)

    monkeypatch.setitem(methods.entries, "late", Late)
    with pytest.raises(InputError, match=r"the method 'late' has no temporal mode .* leave it out"):
        candidates(["late"], CPU, temporal=True)


def test_methods_that_cannot_be_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(methods.entries, "layered", LayeredMagnifier)
    monkeypatch.setitem(methods.entries, "demanding", Demanding)
    for clips, how in ((True, "on a clip"), (False, "against a reference frame")):
        message = f"'layered' cannot be measured {how}, .* the layered method needs a region .*; leave it out"
        with pytest.raises(InputError, match=message):
            candidates(["layered"], CPU, clips=clips)
        with pytest.raises(InputError, match=r"'demanding' cannot be measured.* needs tune; leave it out"):
            candidates(["demanding"], CPU, clips=clips)
    with pytest.raises(
        InputError, match=r"'acceleration' cannot be measured against a reference frame, .* two frames;"
    ):
        candidates(["acceleration"], CPU)


def test_a_method_that_does_not_keep_the_clips_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(methods.entries, "greedy", Greedy)
    with pytest.raises(InputError, match="'greedy' gave 1 frames for a clip of 2"):
        candidates(["greedy"], CPU)[1].magnify(pairs())
    made = Filtered("greedy", lambda factor, mode, band: Greedy(factor=factor), CPU)
    with pytest.raises(InputError, match=f"'greedy' gave {FRAMES - 1} frames for a clip of {FRAMES}"):
        made.middle(iter([torch.zeros(3, 8, 8)] * FRAMES), 2.0)


def test_names_that_cannot_be_used(weights: Path) -> None:
    with pytest.raises(InputError, match="no method is called 'learnt'; did you mean 'learned'"):
        candidates(["learnt"], CPU)
    with pytest.raises(InputError, match="'mine' is given twice"):
        candidates([f"mine={weights}", f"mine={weights}"], CPU)
    with pytest.raises(InputError, match="'input' is always shown"):
        candidates([f"input={weights}"], CPU)
    with pytest.raises(InputError, match=r"no weights file 'nowhere\.npz'"):
        candidates(["2018=nowhere.npz"], CPU)
    for text in ("=x.npz", "mine="):
        with pytest.raises(InputError, match="a method is NAME, or NAME=WEIGHTS"):
            candidates([text], CPU)
    with pytest.raises(InputError, match="no method is given"):
        candidates([], CPU)


def test_a_clip_is_streamed_as_users_stream_it(weights: Path) -> None:
    mine = candidates([f"mine={weights}"], CPU)[1]
    frames = torch.rand(31, 3, 24, 20, generator=torch.Generator().manual_seed(2))
    for band in (None, Band(2.0, 4.0, 30.0)):
        magnifier = LearnedMagnifier(weights, 5.0, "static" if band is None else "temporal", band)
        expected = torch.cat([magnifier.push(frames), magnifier.flush()])
        torch.testing.assert_close(mine.stream(Clip(frames, 5.0, band)), expected, atol=1e-5, rtol=1e-4)
