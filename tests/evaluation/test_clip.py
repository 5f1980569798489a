"""Scores of magnified clips, held against clips whose scores are known."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from mm.errors import InputError
from mm.evaluation.candidates import Baseline, Clip, Streamed, candidates
from mm.evaluation.clip import AXES, Case, ClipLevel, ClipMeasurement, axis_levels, crossed_levels, pooled
from mm.evaluation.clip_scores import colour_error, flicker, ms_ssim
from mm.evaluation.renderers import FourierStage, stage
from mm.evaluation.runner import Conditions
from mm.evaluation.scene_spec import Pictures
from mm.evaluation.sequences import visible_layer
from mm.methods.stream import FrameStream

CPU = torch.device("cpu")
SHAKEN = ClipLevel(10.0, drift=1.0, shake=0.2)


def case_of(pictures: Pictures, level: ClipLevel, renderer: str = "project", index: int = 0) -> Case:
    measurement = ClipMeasurement(pictures, (96, 96), [level], frames=36)
    spec = measurement.scene("objects", 0, index)
    conditions = Conditions(1, 0, (renderer,), CPU)
    (case,) = measurement.cases(spec, stage(renderer, spec), index, conditions)
    return case


@pytest.fixture(scope="module")
def shaken(pictures: Pictures) -> Case:
    return case_of(pictures, SHAKEN)


def scores(case: Case, output: Tensor) -> dict[str, float]:
    measurement = ClipMeasurement(Pictures(None, None), (96, 96), [case.level], frames=36)  # type: ignore[arg-type]
    ((_, score),) = measurement.score(case, (output, 0.5))  # type: ignore[arg-type]
    return score._asdict()


def test_the_truth_is_perfect(shaken: Case) -> None:
    found = scores(shaken, shaken.rendered.truth)
    for name in ("ssim", "ms_ssim", "coarse", "middle", "fine"):
        assert found[name] == pytest.approx(1, abs=1e-4), name
    assert found["gain"] == pytest.approx(1, abs=0.02)
    assert found["leak"] == pytest.approx(0, abs=0.02)
    assert found["colour"] == pytest.approx(0, abs=1e-4)
    assert found["psnr"] > 60
    assert found["seconds"] == 0.5


def test_the_input_is_not_magnified_and_leaks_nothing(shaken: Case) -> None:
    found = scores(shaken, shaken.rendered.frames)
    assert found["gain"] == pytest.approx(1 / 10, abs=0.02)
    assert found["leak"] == pytest.approx(0, abs=0.01)
    assert found["ssim"] < 0.99


def test_all_motion_magnified_is_all_leak(shaken: Case) -> None:
    """Drift and shake as far magnified as the vibration: 3 times, so that nothing leaves its place."""
    level = dataclasses.replace(SHAKEN, factor=3.0)
    motion = dataclasses.replace(shaken.motion, band=shaken.motion.band * 2)
    case = dataclasses.replace(shaken, level=level, motion=motion)
    everything = case.shown.frames(3 * motion.magnified(1.0))
    truth = case.shown.frames(motion.magnified(3.0))
    case = dataclasses.replace(case, rendered=dataclasses.replace(case.rendered, truth=truth))
    found = scores(case, everything)
    assert found["gain"] == pytest.approx(1, abs=0.05)
    assert found["leak"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("renderer", ["fourier", "project"])
def test_the_oracle_is_far_above_the_input_and_below_the_truth(pictures: Pictures, renderer: str) -> None:
    case = case_of(pictures, ClipLevel(20.0), renderer, index=1)
    oracle, idle = scores(case, case.oracle()), scores(case, case.rendered.frames)
    assert oracle["gain"] == pytest.approx(1, abs=0.03)
    assert 1 - oracle["ssim"] < 0.5 * (1 - idle["ssim"])
    assert oracle["ssim"] < 0.999
    assert oracle["flicker"] == pytest.approx(idle["flicker"], abs=0.3)


def test_the_visible_layer_is_that_of_the_other_renderer(pictures: Pictures) -> None:
    case = case_of(pictures, SHAKEN)
    moved = case.motion.magnified(10.0)[:3]
    shares = FourierStage(case.spec).scene.visible(torch.cat([moved[:, :1], moved[:, 1:].flip(1)], 1))
    count = len(case.spec.objects)
    expected = torch.tensor([0, *range(count, 0, -1)])[shares.argmax(1)]
    labels = visible_layer(case.spec, moved)
    assert len(labels.unique()) == count + 1
    assert (labels != expected).float().mean() < 0.02


def test_flicker_is_the_deviation_over_time_where_nothing_is_to_change() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(1, 3, 40, 40, generator=generator).expand(30, -1, -1, -1)
    truth = clean.clone()
    truth[:, :, :20] += 0.1
    grain = torch.randn(30, 3, 40, 40, generator=generator) * 2 / 255
    grain[:, :, :20] *= 10
    # A constant error is no flicker.
    assert flicker(truth + grain + 0.02, truth, clean) == pytest.approx(2 * math.sqrt(29 / 30), rel=0.02)
    assert math.isnan(flicker(truth, clean + 0.1, clean))


def test_colour_error_is_blind_to_brightness() -> None:
    grey = torch.full((2, 3, 8, 8), 0.5)
    assert colour_error(grey + 0.1, grey) == pytest.approx(0, abs=0.02)
    red = grey + torch.tensor([0.1, 0.0, 0.0])[:, None, None]
    assert colour_error(red, grey) > 5


@pytest.mark.parametrize("side", [64, 100, 180])
def test_ms_ssim_takes_the_scales_that_fit(side: int) -> None:
    frames = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    assert ms_ssim(frames, frames) == pytest.approx(1)
    assert ms_ssim(frames, frames.flip(-1)) < 0.5


def test_a_codec_and_noise_are_in_the_clip_and_not_in_its_truth(pictures: Pictures) -> None:
    clean = case_of(pictures, ClipLevel())
    for level in (ClipLevel(crf=30.0), ClipLevel(noise=5.0)):
        case = case_of(pictures, level)
        assert torch.equal(case.rendered.truth, clean.rendered.truth)
        assert (case.rendered.frames - clean.rendered.frames).std() * 255 > 1


def test_a_method_gets_the_band_and_one_that_follows_a_region_the_largest_object(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case_of(pictures, ClipLevel(band=3.0))
    assert case.clip.band is not None
    assert (case.clip.band.low, case.clip.band.high) == pytest.approx((3 / 3**0.5, 3 * 3**0.5))
    given = []

    def layered(*, factor: float, mode: str, band: object, region: object, device: object) -> FrameStream:
        given.append(region)
        raise InputError("seen")

    with pytest.raises(InputError, match="seen"):
        Streamed("layered", layered, CPU).stream(case.clip)
    x, y, width, height = given[0]
    labels = visible_layer(case.spec, case.motion.magnified(1.0)[:1])[0]
    inside = labels[y : y + height, x : x + width]
    most = int(labels[labels > 0].mode().values)
    assert (inside == most).sum() == (labels == most).sum()
    assert [each.name for each in candidates(["layered", "phase"], CPU, streams=True)][1:] == [
        "layered",
        "phase",
    ]


class Half(Baseline):
    """Fades to grey."""

    def stream(self, clip: Clip) -> Tensor:
        return 0.5 * clip.frames + 0.25


def test_columns_and_the_pooled_scores(pictures: Pictures) -> None:
    levels = crossed_levels({"factor": (10.0, 20.0)})
    measurement = ClipMeasurement(pictures, (64, 64), levels, frames=24)
    conditions = Conditions(1, 0, ("project",), CPU)
    chosen = [Baseline(), Half("half")]
    calls = []
    found = measurement.run(chosen, conditions, lambda: calls.append(1))
    assert list(dict.fromkeys(place.method for place in found)) == ["input", "oracle", "half"]
    assert len(calls) == measurement.steps(chosen, conditions) == 6
    (table,) = measurement.tables(found)
    assert [line[0] for line in table.lines] == ["× 10", "× 20"]
    # Never the oracle, which has no rival.
    assert table.best == {(0, 1), (1, 1)}
    ssim = pooled(found, "half", levels)["ssim"]
    expected = [score.ssim for place, each in found.items() if place.method == "half" for score in each]
    # One scene; the levels are no spread.
    assert len(expected) == 2
    assert (ssim.count, ssim.mean) == (1, pytest.approx(sum(expected) / 2))


def test_levels() -> None:
    levels = axis_levels()
    assert levels[0] == ClipLevel()
    assert len(levels) == 1 + sum(len(values) - 1 for values in AXES.values())
    crossed = crossed_levels({"crf": (None, 23.0), "factor": (20.0, 50.0)})
    assert [str(level) for level in crossed] == ["× 20", "× 50", "× 20, CRF 23", "× 50, CRF 23"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crf": 60.0}, "crf of h264 must be between 0 and 51, got 60"),
        ({"band": 30.0}, "band must be below 25, where it reaches 15 Hz"),
        ({"shake": 2.0}, "shake must be between 0 and 0.5, got 2"),
        ({"factor": 1.0}, "factor must be between 1.5 and 1000, got 1"),
    ],
)
def test_levels_that_cannot_be(change: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ClipLevel(**change)


def test_an_encoder_that_the_build_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.codecs_available", {"mjpeg"})
    with pytest.raises(InputError, match=r"needs the encoder libx264, which this build of PyAV lacks"):
        ClipLevel(crf=23.0)


def test_a_clip_that_is_too_short_for_its_band(pictures: Pictures) -> None:
    with pytest.raises(InputError, match="frames must be at least"):
        ClipMeasurement(pictures, (64, 64), [ClipLevel(band=12.0)], frames=20)
