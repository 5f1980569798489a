"""The measurements hold against methods that are right, or idle, by construction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kornia.filters import gaussian_blur2d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.candidates import Baseline, Candidate, Filtered, candidates
from mm.evaluation.comparison import COLUMNS, Conditions, Row, Spread, agreement, compare, read_csv, to_csv
from mm.evaluation.frequency import bands, compare_frequency, responses_csv
from mm.evaluation.gain import DIRECTIONS, compare_gain
from mm.evaluation.oscillation import BAND, FRAMES, MIDDLE
from mm.evaluation.protocol import Level, noise_levels, static_levels, subpixel_levels
from mm.evaluation.renderers import RENDERERS, stage
from mm.evaluation.scene_spec import Pictures, SceneSpec, crowded, pattern, picture
from mm.methods import PhaseMagnifier
from mm.temporal import Band, from_band

CPU = torch.device("cpu")


class Scripted:
    """Gives frames that were prepared beforehand, in the order in which it is asked."""

    def __init__(self, frames: Sequence[Tensor], name: str = "right") -> None:
        self.name = name
        self.frames = list(frames)

    def magnify(self, a: Tensor, b: Tensor, factor: Tensor) -> Tensor:
        return torch.stack([self.frames.pop(0) for _ in b])


class Spy:
    """Does nothing, and keeps what it was given."""

    name = "idle"

    def __init__(self) -> None:
        self.given: list[tuple[Tensor, Tensor, float]] = []

    def magnify(self, a: Tensor, b: Tensor, factor: Tensor) -> Tensor:
        self.given += zip(a, b, factor.tolist(), strict=True)
        return b


class Tape:
    """A filtered method that changes nothing; keeps the clips that it is given."""

    def __init__(self) -> None:
        self.clips: list[list[Tensor]] = []
        self.factors: list[float] = []
        self.method = Filtered("tape", self._load, CPU)

    def _load(self, *, factor: float, mode: str, band: Band) -> Tape:
        self.factors.append(factor)
        self.clips.append([])
        return self

    def push(self, frames: Tensor) -> Tensor:
        assert len(frames) == 1
        self.clips[-1].append(frames[0])
        return frames

    def flush(self) -> Tensor:
        return torch.empty(0, 3, 64, 64)


def truths(contents: Sequence[SceneSpec], levels: Sequence[Level]) -> list[Tensor]:
    frames = []
    for content in contents:
        for renderer in RENDERERS:
            for level in levels:
                moves = torch.ones(len(content.directions), 1, dtype=torch.float64)
                moves[0] = level.background_moves
                displacement = content.directions * moves * level.output_motion
                frames.append(stage(renderer, content).frames(displacement[None])[0])
    return frames


def measured(
    pictures: Pictures,
    levels: Sequence[Level],
    methods: Sequence[Candidate | Filtered],
    count: int = 1,
    **options: object,
) -> list[Row]:
    scenes = [crowded(pictures, 64, 64, 0, index, 10.0) for index in range(count)]
    settings: dict[str, Any] = {"seed": 0, "renderers": RENDERERS, "device": CPU} | options
    gain = settings.pop("gain", False)
    return compare("test", levels, scenes.__getitem__, methods, Conditions(count, **settings), gain=gain)


def test_a_right_method_scores_one(pictures: Pictures) -> None:
    levels = subpixel_levels((0.02, 0.5))
    contents = [crowded(pictures, 64, 64, 0, index, 10.0) for index in range(2)]
    right = Scripted(truths(contents, levels))
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


def test_an_idle_method_has_the_baselines_figures(pictures: Pictures) -> None:
    levels = [*subpixel_levels((0.1,)), *noise_levels((0.3,)), *static_levels((0.0, 1.0))]
    idle, base = Spy(), Baseline()
    rows = measured(pictures, levels, [base, idle])
    half = {renderer: [row for row in rows if row.renderer == renderer] for renderer in RENDERERS}
    for shown in half.values():
        for first, second in zip(shown[: len(levels)], shown[len(levels) :], strict=True):
            assert (first.method, second.method) == ("input", "idle")
            assert (first.ssim, first.psnr) == (second.ssim, second.psnr)
            # One scene has no spread, and the gain was not asked for.
            assert math.isnan(first.ssim_std)
            assert math.isnan(first.gain)
    factors = [given[2] for given in idle.given[: len(levels)]]
    assert factors == pytest.approx([100, 200, 20, 20, 20])


def test_the_scores_are_those_of_another_implementation(pictures: Pictures) -> None:
    level = Level(0.5, 20.0, noise=0.0, background_moves=False)
    rows = measured(pictures, [level], [Baseline()], rounding="none")
    content = crowded(pictures, 64, 64, 0, 0, 10.0)
    moves = torch.ones(len(content.directions), 1, dtype=torch.float64)
    moves[0] = 0
    for row in rows:
        steps = torch.stack([content.directions * moves * length for length in (0.5, 10.0)])
        moved, truth = (frame.double().numpy() for frame in stage(row.renderer, content).frames(steps))
        # Over the whole frame, continued by reflection: the other one leaves out the rim that it lacks.
        ssim = structural_similarity(
            *(np.pad(frame, ((0, 0), (5, 5), (5, 5)), mode="reflect") for frame in (moved, truth)),
            channel_axis=0,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert row.ssim == pytest.approx(ssim, abs=1e-4)
        assert row.psnr == pytest.approx(peak_signal_noise_ratio(truth, moved, data_range=1.0), abs=1e-2)


def test_methods_are_given_the_protocols_noise(pictures: Pictures) -> None:
    idle = Spy()
    measured(pictures, static_levels((0.0, 1.0)), [idle], renderers=("fourier",), rounding="none")
    (a, b, _), (noisy_a, noisy_b, _) = idle.given
    assert torch.equal(a, b)
    inside = (a > 0.2) & (a < 0.8)
    # Two frames with noise of their own: twice the variance.
    variance = ((noisy_a - noisy_b)[inside] * 255).var() / (2 * 255 * a[inside].mean())
    assert float(variance) == pytest.approx(1, rel=0.05)


def test_only_what_should_move_moves(pictures: Pictures) -> None:
    idle = Spy()
    levels = [Level(2.0, 5.0), Level(2.0, 5.0, background_moves=False), Level(0.0, 20.0)]
    measured(pictures, levels, [idle], renderers=("fourier",), rounding="none")
    change = [float((b - a).abs().mean()) for a, b, _ in idle.given]
    assert change[0] > change[1] > 0
    assert change[2] == 0


def test_a_clip_swings_about_rest_through_the_moved_frame(pictures: Pictures) -> None:
    levels = [Level(0.5, 20.0, background_moves=False), Level(1.0, 10.0), Level(0.0, 20.0)]
    content = crowded(pictures, 64, 64, 0, 0, 10.0)
    for renderer in RENDERERS:
        tape, idle = Tape(), Spy()
        measured(pictures, levels, [idle, tape.method], renderers=(renderer,), rounding="none")
        assert tape.factors == [20, 10, 20]
        for level, clip, (_, b, _) in zip(levels, tape.clips, idle.given, strict=True):
            assert len(clip) == FRAMES
            # The very frame that the others are asked to magnify.
            assert torch.equal(clip[MIDDLE], b)
            moves = torch.ones(len(content.directions), 1, dtype=torch.float64)
            moves[0] = level.background_moves
            for frame in (0, MIDDLE - 3, MIDDLE + 5, FRAMES - 1):
                away = level.motion * math.cos(2 * math.pi * 3 * (frame - MIDDLE) / 30)
                true = stage(renderer, content).frames((content.directions * moves * away)[None])[0]
                torch.testing.assert_close(clip[frame], true, atol=1e-5, rtol=0)


def test_a_clips_noise_is_the_protocols_and_every_frames_own(pictures: Pictures) -> None:
    tape = Tape()
    rows = measured(
        pictures,
        static_levels((0.0, 1.0)),
        [Baseline(), tape.method],
        renderers=("fourier",),
        rounding="none",
    )
    clean, noisy = tape.clips
    assert all(torch.equal(frame, clean[0]) for frame in clean)
    inside = (clean[0] > 0.2) & (clean[0] < 0.8)
    for one, other in ((0, 10), (MIDDLE, MIDDLE + 10), (MIDDLE - 1, MIDDLE)):
        variance = ((noisy[one] - noisy[other])[inside] * 255).var() / (2 * 255 * clean[0][inside].mean())
        assert float(variance) == pytest.approx(1, rel=0.05)
    # What comes out is the middle frame, and is scored as the baseline's is.
    base, through = rows[:2], rows[2:]
    assert [(row.ssim, row.psnr) for row in base] == [(row.ssim, row.psnr) for row in through]


def test_a_clips_score_does_not_depend_on_what_is_measured_beside_it(pictures: Pictures) -> None:
    def phase() -> list[Candidate | Filtered]:
        return [Filtered("phase", PhaseMagnifier, CPU)]

    levels = [Level(0.5, 4.0, noise, background_moves=False) for noise in (0.1, 1.0)]
    alone = measured(pictures, levels[1:], phase(), renderers=("fourier",))
    among = measured(pictures, [*levels, Level(0.2, 4.0)], [*phase(), Tape().method], renderers=("fourier",))
    shown = [row for row in among if row.noise == 1.0 and row.method == "phase"]
    assert to_csv(shown) == to_csv(alone)


def test_the_phase_methods_gain_on_a_clip_is_what_the_filter_passes() -> None:
    """Rendered waves of 12 to 48 px, 1 px of output: within what one-octave rings can turn."""
    levels = [Level(motion, 1 / motion) for motion in (0.05, 0.2)]
    rows = compare(
        "test",
        levels,
        lambda index: pattern(96, 96, 0, index, 2.0),
        [Filtered("phase", PhaseMagnifier, CPU)],
        Conditions(1, 0, RENDERERS, CPU, rounding="none"),
        gain=True,
    )
    assert len(rows) == len(levels) * len(RENDERERS)
    passed = from_band(BAND).gain(3).real
    for row in rows:
        assert row.gain == pytest.approx((1 + (row.factor - 1) * passed) / row.factor, rel=0.05), row
        assert row.ssim > 0.9


def test_a_run_is_a_function_of_its_seed(pictures: Pictures) -> None:
    levels = noise_levels((1.0,))[:1]
    first, again, other = (
        to_csv(measured(pictures, levels, [Baseline()], seed=seed, renderers=("fourier",)))
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_a_level_scores_the_same_alone_as_among_others(pictures: Pictures) -> None:
    alone = measured(pictures, static_levels((1.0,)), [Baseline()])
    among = measured(pictures, static_levels((0.0, 0.3, 1.0)), [Baseline()])
    assert [row for row in among if row.noise == 1.0] == pytest.approx(alone) or to_csv(alone) == to_csv(
        [row for row in among if row.noise == 1.0]
    )


def test_the_table_survives_the_file(pictures: Pictures, tmp_path: Path) -> None:
    rows = measured(pictures, static_levels((0.0, 1.0)), [Baseline()])
    text = to_csv(rows)
    assert tuple(text.splitlines()[0].split(",")) == COLUMNS
    assert "nan" not in text
    path = tmp_path / "static.csv"
    path.write_text(text)
    again = read_csv(path)
    assert to_csv(again) == text
    assert [row.method for row in again] == [row.method for row in rows]
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="is no table of a measurement"):
        read_csv(path)


class Broken:
    """Gives no image in its first scene and the input in the others."""

    name = "broken"

    def __init__(self) -> None:
        self.scenes = 0

    def magnify(self, a: Tensor, b: Tensor, factor: Tensor) -> Tensor:
        self.scenes += 1
        return torch.full_like(b, math.nan) if self.scenes == 1 else b


def test_a_method_that_fails_in_one_scene_has_no_score(pictures: Pictures) -> None:
    rows = measured(pictures, static_levels((1.0,)), [Baseline(), Broken()], count=2, renderers=("fourier",))
    base, broken = rows
    assert 0 < base.ssim < 1
    assert math.isnan(broken.ssim)
    assert math.isnan(broken.ssim_std)
    assert math.isnan(broken.psnr)
    assert broken.scenes == 2


def test_a_score_that_is_missing_in_one_scene_is_missing() -> None:
    spread = Spread.of([0.9, math.nan, 0.8])
    assert math.isnan(spread.mean)
    assert math.isnan(spread.deviation)
    assert Spread.of([0.9, 0.7, 0.8]).mean == pytest.approx(0.8)
    assert Spread.of([0.9, 0.7, 0.8]).deviation == pytest.approx(0.1)


def test_the_spread_is_the_sample_deviation_of_what_was_measured() -> None:
    spread = Spread.of_measured([1.0, 2.0, math.nan, 4.0])
    assert spread.count == 3
    assert spread.mean == pytest.approx(7 / 3)
    assert spread.deviation == pytest.approx(1.5275, abs=1e-4)
    assert math.isnan(Spread.of([5.0]).deviation)
    assert math.isnan(Spread.of_measured([math.nan]).mean)
    assert Spread.of_measured([math.nan]).count == 0
    assert Spread.of([math.inf, 30.0]).mean == math.inf


def test_the_median_is_of_what_was_measured() -> None:
    assert Spread.of_measured([1.0, math.nan, 0.1, 0.9]).median == 0.9
    assert Spread.of([0.9, 0.7]).median == pytest.approx(0.8)
    assert Spread.of([math.inf, 20.0, 30.0]).median == 30.0
    assert math.isnan(Spread.of([0.9, math.nan, 0.8]).median)
    assert math.isnan(Spread.of_measured([]).median)


def test_no_scenes() -> None:
    with pytest.raises(InputError, match="count must be at least 1 scene, got 0"):
        Conditions(0, 0, (), CPU)


# --- the gain --------------------------------------------------------------------------------------------


GAIN = [Level(0.1, 2.0), Level(0.02, 50.0), Level(0.5, 20.0)]


@pytest.mark.parametrize("kind", ["picture", "pattern"])
def test_the_gain_of_right_idle_and_half_right(pictures: Pictures, kind: str) -> None:
    content = picture(pictures, 96, 96, 0, 0, 10.0) if kind == "picture" else pattern(96, 96, 0, 0, 10.0)
    towards = torch.tensor(DIRECTIONS, dtype=torch.float64)[:, None]

    def frames(share: float) -> list[Tensor]:
        return [
            frame
            for renderer in RENDERERS
            for level in GAIN
            for frame in stage(renderer, content).frames(towards * level.output_motion * share)
        ]

    shares = {"right": 1.0, "less": 0.4, "more": 1.3}
    methods = [Baseline(), *(Scripted(frames(share), name) for name, share in shares.items())]
    rows = compare_gain(
        GAIN,
        {kind: lambda index: content},
        methods,
        Conditions(1, 0, RENDERERS, CPU),
    )
    assert [row.method for row in rows[: 4 * len(GAIN) : len(GAIN)]] == ["input", "right", "less", "more"]
    assert len(rows) == len(RENDERERS) * len(methods) * len(GAIN)
    for row in rows:
        wanted = shares.get(row.method, 1 / row.factor)
        # The idle frame has been rounded to 8 bits, which moves a small texture by a hundredth of a pixel.
        slack = 0.02 / (row.motion * row.factor) if row.method == "input" else 0.0
        assert row.gain == pytest.approx(wanted, abs=0.01 + slack), row
        assert row.content == kind
        assert row.gain_scenes == 1


def test_a_double_image_is_not_read_as_all_of_the_motion(pictures: Pictures) -> None:
    """Half of it has moved by 6 px and half has not: both are equally good matches."""
    content, level = picture(pictures, 96, 96, 0, 0, 20.0), Level(0.3, 20.0)
    towards = torch.tensor(DIRECTIONS, dtype=torch.float64)[:, None]
    shown = stage("fourier", content)
    still, moved = (shown.frames(towards * length) for length in (0.0, level.output_motion))
    (row,) = compare_gain(
        [level],
        {"picture": lambda index: content},
        [Scripted(list((still + moved) / 2))],
        Conditions(1, 0, ("fourier",), CPU),
    )
    assert row.gain == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("name", ["linear", "acceleration"])
def test_the_gain_in_temporal_mode(name: str) -> None:
    """The whole frame swings: what the filter passes is shown, and nothing of a factor of 1."""
    content = pattern(64, 64, 0, 0, 2.0)
    rows = compare_gain(
        [Level(0.1, 10.0), Level(0.2, 1.0)],
        {"pattern": lambda index: content},
        candidates([name], CPU, temporal=True),
        Conditions(1, 0, ("fourier",), CPU),
    )
    gains = [row.gain for row in rows if row.method == name]
    assert gains == pytest.approx([1.0, 1.0], abs=0.06)
    assert [row.gain for row in rows if row.method == "input"] == pytest.approx([0.1, 1.0], abs=0.03)


def test_a_scene_without_texture_is_counted_out() -> None:
    grey = Pictures(lambda seed, index: torch.full((3, 120, 120), 0.5), lambda *_: torch.zeros(4, 8, 8))
    rows = compare_gain(
        GAIN[:1],
        {"picture": lambda index: picture(grey, 64, 64, 0, index, 5.0)},
        [Baseline()],
        Conditions(2, 0, ("fourier",), CPU, rounding="none"),
    )
    assert rows[0].gain_scenes == 0
    assert math.isnan(rows[0].gain)


# --- by frequency ----------------------------------------------------------------------------------------


def test_frequency_of_right_idle_and_coarse_alone(pictures: Pictures) -> None:
    """One of the methods moves what is coarse and leaves the detail where it was."""
    levels = [Level(0.05, 10.0), Level(0.1, 2.0)]
    content = picture(pictures, 96, 96, 0, 0, 1.0)
    towards = torch.tensor(DIRECTIONS, dtype=torch.float64)[:, None]
    right, coarse = [], []
    for renderer in RENDERERS:
        shown = stage(renderer, content)
        still = shown.frames(0 * towards)
        for level in levels:
            moved = shown.frames(towards * level.output_motion)
            right += moved
            coarse += still + gaussian_blur2d(moved - still, (13, 13), (2.0, 2.0))
    found = compare_frequency(
        levels,
        lambda index: content,
        [Baseline(), Scripted(right, "right"), Scripted(coarse, "coarse")],
        Conditions(1, 0, RENDERERS, CPU),
    )
    assert [each.method for each in found] == ["input", "right", "coarse"] * len(levels) * len(RENDERERS)
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
    lines = responses_csv(found).splitlines()
    assert len(lines) == 1 + len(found) * len(bands())
    assert lines[1].startswith("fourier,input,0.05,10,0,0.02,")


def row(renderer: str, method: str, ssim: float, motion: float = 1.0, gain: float = math.nan) -> Row:
    return Row("subpixel", "objects", renderer, method, motion, 10.0, 0.0, 1, ssim=ssim, gain=gain)


def test_the_renderers_agreement_is_counted_by_pairs() -> None:
    same = [row(name, method, ssim) for name in "ab" for method, ssim in (("x", 0.1), ("y", 0.5), ("z", 0.9))]
    assert agreement(same) == (3, 3)
    # At another level the second renderer puts y before z; x is last in both.
    other = [row("a", "x", 0.1, 2.0), row("a", "y", 0.5, 2.0), row("a", "z", 0.9, 2.0)]
    other += [row("b", "x", 0.1, 2.0), row("b", "y", 0.9, 2.0), row("b", "z", 0.5, 2.0)]
    assert agreement(same + other) == (5, 6)
    # What neither tells apart, and what is missing, is no pair; one renderer alone agrees with nobody.
    close = [
        row("a", "x", 0.5, 3.0),
        row("a", "y", 0.501, 3.0),
        row("b", "x", 0.5, 3.0),
        row("b", "y", 0.499, 3.0),
    ]
    lost = [
        row("a", "x", 0.5, 4.0),
        row("a", "y", 0.9, 4.0),
        row("b", "x", math.nan, 4.0),
        row("b", "y", 0.9, 4.0),
    ]
    assert agreement(close + lost) == (0, 0)
    assert agreement([line for line in same if line.renderer == "a"]) == (0, 0)


def test_gains_agree_by_their_distance_from_one() -> None:
    gains = {("a", "x"): 0.5, ("a", "y"): 1.1, ("b", "x"): 1.9, ("b", "y"): 0.9}
    assert agreement([row(*key, math.nan, gain=gain) for key, gain in gains.items()]) == (1, 1)
