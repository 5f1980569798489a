"""The measurements on pairs hold against methods that are right, or idle, by construction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.candidates import Baseline, Candidate, Filtered
from mm.evaluation.oscillation import BAND, FRAMES, MIDDLE
from mm.evaluation.pairs import CrowdedPairs
from mm.evaluation.protocol import Level, noise_levels, static_levels, subpixel_levels
from mm.evaluation.renderers import RENDERERS, stage
from mm.evaluation.runner import Conditions
from mm.evaluation.scene_spec import Pictures, SceneSpec, crowded, pattern
from mm.evaluation.tables import Row, to_csv
from mm.methods import PhaseMagnifier
from mm.temporal import from_band
from tests.evaluation.doubles import Scripted, Spy

CPU = torch.device("cpu")


class Pairs(CrowdedPairs):
    name = "subpixel"


def moved(spec: SceneSpec, level: Level, length: float, renderer: str) -> Tensor:
    """The scene's frame when everything that moves at this level has moved by ``length`` px."""
    moves = torch.ones(len(spec.directions), 1, dtype=torch.float64)
    moves[0] = level.background_moves
    return stage(renderer, spec).frames((spec.directions * moves * length)[None])[0]


def measured(
    pictures: Pictures,
    levels: Sequence[Level],
    methods: Sequence[Candidate],
    count: int = 1,
    gain: bool = False,
    **options: Any,
) -> list[Row]:
    settings: dict[str, Any] = {"seed": 0, "renderers": RENDERERS, "device": CPU} | options
    test = Pairs(pictures, (64, 64), levels, gain=gain)
    return test.rows(test.run(methods, Conditions(count, **settings)))


def test_a_right_method_scores_one(pictures: Pictures) -> None:
    levels = subpixel_levels((0.02, 0.5))
    contents = [crowded(pictures, 64, 64, 0, index, 10.0) for index in range(2)]
    right = Scripted(
        [moved(spec, level, 10.0, name) for spec in contents for name in RENDERERS for level in levels]
    )
    rows = measured(pictures, levels, [Baseline(), right], count=2, gain=True)
    assert len(rows) == len(RENDERERS) * 2 * len(levels)
    assert not right.frames
    for row in rows:
        assert row.scenes == 2
        if row.method == "right":
            assert row.ssim == pytest.approx(1, abs=1e-4)
            assert row.ssim_std == pytest.approx(0, abs=1e-4)
            assert row.psnr > 60
            assert row.gain == pytest.approx(1, abs=1e-3)
        else:
            assert row.ssim < 0.8
            assert row.gain == pytest.approx(1 / row.factor, abs=0.03)


def test_the_scores_are_those_of_another_implementation(pictures: Pictures) -> None:
    level = Level(0.5, 20.0, noise=0.0, background_moves=False)
    rows = measured(pictures, [level], [Baseline()], rounding="none")
    spec = crowded(pictures, 64, 64, 0, 0, 10.0)
    assert {row.renderer for row in rows} == set(RENDERERS)
    for row in rows:
        idle, truth = (moved(spec, level, length, row.renderer).double().numpy() for length in (0.5, 10.0))
        # Over the whole frame, continued by reflection: the other one leaves out the rim that it lacks.
        ssim = structural_similarity(
            *(np.pad(frame, ((0, 0), (5, 5), (5, 5)), mode="reflect") for frame in (idle, truth)),
            channel_axis=0,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert row.ssim == pytest.approx(ssim, abs=1e-4)
        assert row.psnr == pytest.approx(peak_signal_noise_ratio(truth, idle, data_range=1.0), abs=1e-2)
        # One scene has no spread, and the gain was not asked for.
        assert math.isnan(row.ssim_std)
        assert math.isnan(row.gain)


def test_pairs_and_clips_have_the_protocols_noise_every_frame_its_own(pictures: Pictures) -> None:
    idle = Spy()
    measured(pictures, static_levels((0.0, 1.0)), [idle], renderers=("fourier",), rounding="none")
    (a, b, _), (noisy_a, noisy_b, _) = idle.given
    clean, noisy = idle.clips
    assert torch.equal(a, b)
    assert all(torch.equal(frame, clean[0]) for frame in clean)
    inside = (a > 0.2) & (a < 0.8)
    frames = [(0, 10), (MIDDLE, MIDDLE + 10), (MIDDLE - 1, MIDDLE)]
    for one, other in [(noisy_a, noisy_b), *((noisy[i], noisy[j]) for i, j in frames)]:
        # Two frames with noise of their own: twice the variance.
        variance = ((one - other)[inside] * 255).var() / (2 * 255 * a[inside].mean())
        assert float(variance) == pytest.approx(1, rel=0.05)


def test_a_clip_swings_about_rest_through_the_moved_frame(pictures: Pictures) -> None:
    """Only what should move does, by what it should."""
    levels = [Level(0.5, 20.0, background_moves=False), Level(1.0, 10.0), Level(0.0, 20.0)]
    spec = crowded(pictures, 64, 64, 0, 0, 10.0)
    for renderer in RENDERERS:
        idle = Spy()
        measured(pictures, levels, [idle], renderers=(renderer,), rounding="none")
        for level, clip, (a, b, factor) in zip(levels, idle.clips, idle.given, strict=True):
            assert factor == level.factor
            torch.testing.assert_close(a, moved(spec, level, 0.0, renderer), atol=1e-5, rtol=0)
            torch.testing.assert_close(b, moved(spec, level, level.motion, renderer), atol=1e-5, rtol=0)
            assert len(clip) == FRAMES
            # The very frame that the others are asked to magnify.
            assert torch.equal(clip[MIDDLE], b)
            for frame in (0, MIDDLE + 5):
                away = level.motion * math.cos(2 * math.pi * 3 * (frame - MIDDLE) / 30)
                true = moved(spec, level, away, renderer)
                torch.testing.assert_close(clip[frame], true, atol=1e-5, rtol=0)


def test_a_score_does_not_depend_on_what_is_measured_beside_it(pictures: Pictures) -> None:
    def methods() -> list[Candidate]:
        return [Baseline(), Filtered("phase", PhaseMagnifier, CPU)]

    levels = [Level(0.5, 4.0, noise, background_moves=False) for noise in (0.1, 1.0)]
    alone = measured(pictures, levels[1:], methods(), renderers=("fourier",))
    among = measured(pictures, [*levels, Level(0.2, 4.0)], [*methods(), Spy()], renderers=("fourier",))
    shown = [row for row in among if row.noise == 1.0 and row.method != "idle"]
    assert to_csv(shown) == to_csv(alone)
    idle = [row for row in among if row.method in ("input", "idle")]
    assert [row.ssim for row in idle[:3]] == [row.ssim for row in idle[3:]]


def test_a_run_is_a_function_of_its_seed(pictures: Pictures) -> None:
    levels = noise_levels((1.0,))[:1]
    first, again, other = (
        to_csv(measured(pictures, levels, [Baseline()], seed=seed, renderers=("fourier",)))
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_the_phase_methods_gain_on_a_clip_is_what_the_filter_passes() -> None:
    """Rendered waves of 12 to 48 px, 1 px of output: within what one-octave rings can turn."""

    class Waves(Pairs):
        def scene(self, content: str, seed: int, index: int) -> SceneSpec:
            return pattern(96, 96, seed, index, 2.0)

    levels = [Level(motion, 1 / motion) for motion in (0.05, 0.2)]
    test = Waves(Pictures(lambda *_: Tensor(), lambda *_: Tensor()), (96, 96), levels, gain=True)
    conditions = Conditions(1, 0, ("fourier",), CPU, rounding="none")
    rows = test.rows(test.run([Filtered("phase", PhaseMagnifier, CPU)], conditions))
    assert len(rows) == len(levels)
    passed = from_band(BAND).gain(3).real
    for row in rows:
        assert row.gain == pytest.approx((1 + (row.factor - 1) * passed) / row.factor, rel=0.05), row
        assert row.ssim > 0.9


class Broken(Spy):
    """Gives no image in its first scene and the input in the others."""

    def magnify(self, pair: Any) -> Tensor:
        b = super().magnify(pair)
        return torch.full_like(b, math.nan) if len(self.given) == 1 else b


def test_a_method_that_fails_in_one_scene_has_no_score(pictures: Pictures) -> None:
    rows = measured(
        pictures, static_levels((1.0,)), [Baseline(), Broken("broken")], count=2, renderers=("fourier",)
    )
    base, broken = rows
    assert 0 < base.ssim < 1
    assert math.isnan(broken.ssim)
    assert math.isnan(broken.ssim_std)
    assert math.isnan(broken.psnr)
    assert broken.scenes == 2


def test_no_scenes() -> None:
    with pytest.raises(InputError, match="count must be at least 1 scene, got 0"):
        Conditions(0, 0, (), CPU)
