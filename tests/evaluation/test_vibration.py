"""The demonstration's report, on outputs of which the right answer is known: the judge is judged here."""

from __future__ import annotations

import json

import pytest
import torch

from mm.errors import InputError
from mm.evaluation import DemoClip, demo_clip, measure_vibration
from mm.evaluation.vibrating_clip import MOVERS, magnified_motion
from mm.motion import measure_displacement

FACTOR = 10.0


@pytest.fixture(scope="module")
def clip() -> DemoClip:
    """One second: whole cycles of every vibration."""
    return demo_clip(amplitude=0.2, frames=30)


@pytest.fixture(scope="module")
def truth(clip: DemoClip) -> torch.Tensor:
    return clip.magnified(FACTOR)


def test_a_perfect_method_has_gain_one(clip: DemoClip, truth: torch.Tensor) -> None:
    report = measure_vibration(clip, truth, FACTOR, truth=truth)
    assert [region.name for region in report.regions] == [mover.name for mover in MOVERS]
    for region in report.regions:
        assert region.gain == pytest.approx(1, abs=1e-6)
        assert region.within
    assert report.motion_met
    assert report.still_met
    assert report.still_change < 0.1


def test_the_truth_that_it_compares_with_is_what_the_clip_was_made_with(
    clip: DemoClip, truth: torch.Tensor
) -> None:
    report = measure_vibration(clip, truth, FACTOR, truth=truth)
    assert len(report.regions) >= 3
    for region in report.regions:
        if region.name.startswith("disc"):
            assert region.expected_amplitude == pytest.approx(FACTOR * clip.amplitude, abs=0.01)
        else:
            # Bending: the mean over a region that moves nearly in full.
            assert 0.8 * FACTOR * clip.amplitude < region.expected_amplitude < FACTOR * clip.amplitude
        assert region.input_amplitude == pytest.approx(region.expected_amplitude / FACTOR, rel=0.03)


@pytest.mark.parametrize("shown", [5.0, 1.0, -10.0])
def test_a_method_that_shows_less_is_told_so(clip: DemoClip, truth: torch.Tensor, shown: float) -> None:
    output = clip.frames if shown == 1 else clip.magnified(shown)
    report = measure_vibration(clip, output, FACTOR, truth=truth)
    for region in report.regions:
        assert region.gain == pytest.approx(shown / FACTOR, abs=0.01)
        assert region.measured_amplitude == pytest.approx(region.gain * region.expected_amplitude)
    assert not report.motion_met


def test_one_region_that_fails_shows_among_the_others(clip: DemoClip, truth: torch.Tensor) -> None:
    output = truth.clone()
    output[..., :60] = clip.frames[..., :60]
    report = measure_vibration(clip, output, FACTOR, truth=truth)
    assert [region.name for region in report.regions if not region.within] == ["string"]
    assert report.gain == pytest.approx((4 + 0.1) / 5, abs=0.01)


def test_a_restless_background_is_measured(clip: DemoClip, truth: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    output = truth + 3 / 255 * torch.randn(truth.shape, generator=generator)
    report = measure_vibration(clip, output, FACTOR, truth=truth)
    # The change from a first frame that is as noisy; the first frame's own change is nothing.
    assert report.still_change == pytest.approx(3 * (2 * 29 / 30) ** 0.5, rel=0.03)
    assert not report.still_met
    assert report.motion_met


def test_a_method_that_only_brightens_is_not_moving_anything(clip: DemoClip, truth: torch.Tensor) -> None:
    swing = 0.05 * torch.sin(2 * torch.pi * 3 * torch.arange(30) / 30)[:, None, None, None]
    report = measure_vibration(clip, (clip.frames[:1] + swing).clamp(0, 1), FACTOR, truth=truth)
    assert abs(report.gain) < 0.02
    assert not report.still_met


def test_noise_of_the_input_is_reported_as_its_change(clip: DemoClip, truth: torch.Tensor) -> None:
    report = measure_vibration(clip, clip.frames, FACTOR, truth=truth)
    assert report.still_change == report.still_change_input
    assert 0.3 < report.still_change < 1.5


def test_the_still_region_is_still_and_large(clip: DemoClip) -> None:
    for factor in (10.0, 60.0):
        still = clip.still(factor)
        assert still.float().mean() > 0.2
        magnified = clip.scene.frames(magnified_motion(clip.displacements, factor, "static")[[3, 7]])
        assert (magnified - clip.scene.frames(0 * clip.displacements[:2]))[..., still].abs().max() < 2e-3


def test_the_motion_cannot_be_seen_and_is_there(clip: DemoClip) -> None:
    change = (clip.frames - clip.frames[:1]).abs().mean() * 255
    assert change < 2
    region = clip.regions["disc along x"]
    found = measure_displacement(clip.frames[:1], clip.frames[[7, 22]], weight=region, limit=4)
    expected = clip.displacements[[7, 22], [part.name for part in clip.scene.layers].index("disc along x")]
    assert (found - expected).abs().max() < 0.02


@pytest.mark.parametrize("mode", ["static", "dynamic", "temporal"])
def test_magnified_motion_by_its_definition(mode: str) -> None:
    d = torch.tensor([0.5, 0.1, -0.2, -0.4])[:, None]
    expected = {
        "static": [0.5, 0.5 - 4.0, 0.5 - 7.0, 0.5 - 9.0],
        "dynamic": [0.5, 0.5 - 4.0, 0.1 - 3.0, -0.2 - 2.0],
        "temporal": [5.0, 1.0, -2.0, -4.0],
    }[mode]
    torch.testing.assert_close(magnified_motion(d, 10, mode)[:, 0], torch.tensor(expected))  # type: ignore[arg-type]


def test_velocity_is_what_dynamic_mode_is_held_to(clip: DemoClip) -> None:
    report = measure_vibration(clip, clip.magnified(FACTOR, "dynamic"), FACTOR, "dynamic")
    assert report.gain == pytest.approx(1, abs=1e-6)
    static = measure_vibration(clip, clip.magnified(FACTOR, "static"), FACTOR, "dynamic")
    assert abs(static.gain - 1) > 0.15


def test_the_report_is_json(clip: DemoClip, truth: torch.Tensor) -> None:
    written = json.loads(json.dumps(measure_vibration(clip, truth, FACTOR, truth=truth).as_dict()))
    assert written["motion_met"] is True
    assert written["gain"] == pytest.approx(1)
    assert len(written["regions"][0]["measured_course"]) == 30


def test_an_output_of_another_length(clip: DemoClip) -> None:
    with pytest.raises(InputError, match="must be alike"):
        measure_vibration(clip, clip.frames[:-1], FACTOR)
