"""The gain, also by frequency, of methods that are right, idle, half right or coarse by construction."""

from __future__ import annotations

import math

import pytest
import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from mm.evaluation.candidates import Baseline, candidates
from mm.evaluation.frame_gain import Gain
from mm.evaluation.frequency import Frequency, bands
from mm.evaluation.protocol import Level
from mm.evaluation.renderers import RENDERERS, stage
from mm.evaluation.runner import Conditions
from mm.evaluation.scene_spec import Pictures
from mm.evaluation.whole_frames import DIRECTIONS
from tests.evaluation.doubles import Scripted

CPU = torch.device("cpu")
TOWARDS = torch.tensor(DIRECTIONS, dtype=torch.float64)[:, None]
SIZE = (96, 96)


def test_the_gain_of_right_idle_and_half_right(pictures: Pictures) -> None:
    gain = Gain(pictures, SIZE)
    gain.levels = [Level(0.1, 2.0), Level(0.02, 50.0), Level(0.5, 20.0)]

    def frames(share: float) -> list[Tensor]:
        stages = [stage(name, gain.scene(content, 0, 0)) for content in gain.contents for name in RENDERERS]
        moves = [TOWARDS * level.output_motion * share for level in gain.levels]
        return [frame for shown in stages for move in moves for frame in shown.frames(move)]

    shares = {"right": 1.0, "less": 0.4, "more": 1.3}
    methods = [Baseline(), *(Scripted(frames(share), name) for name, share in shares.items())]
    rows = gain.rows(gain.run(methods, Conditions(1, 0, RENDERERS, CPU)))
    assert len(rows) == 2 * len(RENDERERS) * len(methods) * len(gain.levels)
    assert {row.content for row in rows} == {"picture", "pattern"}
    for row in rows:
        wanted = shares.get(row.method, 1 / row.factor)
        # The idle frame has been rounded to 8 bits, which moves a small texture by a hundredth of a pixel.
        slack = 0.02 / (row.motion * row.factor) if row.method == "input" else 0.0
        assert row.gain == pytest.approx(wanted, abs=0.01 + slack), row
        assert row.gain_scenes == 1
        assert math.isnan(row.ssim)


def test_a_double_image_is_not_read_as_all_of_the_motion(pictures: Pictures) -> None:
    """Half of it has moved by 6 px and half has not: both are equally good matches."""
    gain = Gain(pictures, SIZE, [0.3], [20.0])
    gain.contents = ("picture",)  # type: ignore[misc]
    shown = stage("fourier", gain.scene("picture", 0, 0))
    still, moved = (shown.frames(TOWARDS * length) for length in (0.0, 6.0))
    (row,) = gain.rows(gain.run([Scripted(list((still + moved) / 2))], Conditions(1, 0, ("fourier",), CPU)))
    assert row.gain == pytest.approx(0.5, abs=0.1)


def test_the_gain_in_temporal_mode(pictures: Pictures) -> None:
    """The whole frame swings: what the filter passes is shown, and nothing of a factor of 1."""
    gain = Gain(pictures, (64, 64), temporal=True)
    gain.contents = ("pattern",)  # type: ignore[misc]
    gain.levels = [Level(0.1, 10.0), Level(0.2, 1.0)]
    methods = candidates(["linear", "acceleration"], CPU, temporal=True)
    rows = gain.rows(gain.run(methods, Conditions(1, 0, ("fourier",), CPU)))
    gains = [row.gain for row in rows]
    assert gains == pytest.approx([0.1, 1.0, 1.0, 1.0, 1.0, 1.0], abs=0.06)


def test_a_scene_without_texture_is_counted_out() -> None:
    grey = Pictures(lambda seed, index: torch.full((3, 140, 140), 0.5), lambda *_: torch.zeros(4, 8, 8))
    gain = Gain(grey, (64, 64), [0.1], [2.0])
    gain.contents = ("picture",)  # type: ignore[misc]
    rows = gain.rows(gain.run([Baseline()], Conditions(2, 0, ("fourier",), CPU, rounding="none")))
    assert rows[0].gain_scenes == 0
    assert math.isnan(rows[0].gain)


def test_a_level_alone_is_measured_on_the_same_frames(pictures: Pictures) -> None:
    several, alone = Gain(pictures, SIZE, [0.1, 1.0], [2.0, 10.0]), Gain(pictures, SIZE, [0.1], [10.0])
    assert torch.equal(several.scene("picture", 0, 1).background, alone.scene("picture", 0, 1).background)


def test_frequency_of_right_idle_and_coarse_alone(pictures: Pictures) -> None:
    """One of the methods moves what is coarse and leaves the detail where it was."""
    test = Frequency(pictures, SIZE, [0.05, 0.02], [10.0])
    assert [level.motion for level in test.levels] == [0.05, 0.02]
    right, coarse = [], []
    for renderer in RENDERERS:
        shown = stage(renderer, test.scene("picture", 0, 0))
        still = shown.frames(0 * TOWARDS)
        for level in test.levels:
            moved = shown.frames(TOWARDS * level.output_motion)
            right += moved
            coarse += still + gaussian_blur2d(moved - still, (13, 13), (2.0, 2.0))
    methods = [Baseline(), Scripted(right, "right"), Scripted(coarse, "coarse")]
    found = test.responses(test.run(methods, Conditions(1, 0, RENDERERS, CPU)))
    assert [each.method for each in found] == ["input", "right", "coarse"] * 2 * len(RENDERERS)
    for each in found:
        gains = [spread.mean for spread in each.gains]
        if each.method == "right":
            assert gains == pytest.approx([1] * len(gains), abs=1e-5)
        elif each.method == "coarse":
            # What a Gaussian of 2 px lets through at a band's edges.
            for gain, (low, high) in zip(gains, bands(), strict=True):
                least, most = (math.exp(-2 * (2 * math.pi * f) ** 2) for f in (high, low))
                assert least - 0.03 <= gain <= most + 0.03
        else:
            # Where the picture has texture; rounding moves the rest.
            assert gains[2:4] == pytest.approx([1 / each.level.factor] * 2, abs=0.05)
