"""Clips of a scene: both renderers put every layer where its motion over time says."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from mm.errors import InputError
from mm.evaluation.renderers import RENDERERS, stage
from mm.evaluation.scene_spec import Pictures, crowded, picture
from mm.evaluation.sequences import draw_motion, render_sequence
from mm.motion import measure_displacement
from mm.synthesis import Camera, TrajectoryConfig

CONFIG = TrajectoryConfig(frequencies=(0.1, 0.2), band_ratio=(2.0, 2.0), share=1.0, shake=(0.1, 0.1))


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_frame_moves_by_what_is_said(renderer: str, pictures: Pictures) -> None:
    spec = picture(pictures, 72, 80, 1, 0, 8.0)
    motion = draw_motion(spec, CONFIG, 5, amplitude=0.3, seed=2)
    clip = render_sequence(spec, motion, 10.0, stage(renderer, spec))
    places = motion.magnified(1.0)[:, 0]
    assert places.norm(dim=-1).amax() > 0.2
    found = measure_displacement(clip.frames[:1], clip.frames)
    torch.testing.assert_close(found.double(), places - places[0], atol=1e-2, rtol=0)
    found = measure_displacement(clip.frames[:1], clip.truth, limit=12)
    torch.testing.assert_close(found.double(), motion.magnified(10.0)[:, 0] - places[0], atol=1e-2, rtol=0)


def test_the_renderers_agree_on_a_crowded_scene(pictures: Pictures) -> None:
    """Alike once both are blurred, but for the anti-aliasing; the clip is unlike its truth."""
    spec = crowded(pictures, 80, 80, 0, 3, 10.0)
    motion = draw_motion(spec, CONFIG, 4, amplitude=0.5, seed=0)
    fourier, project = (render_sequence(spec, motion, 12.0, stage(name, spec)) for name in RENDERERS)

    def likeness(one: torch.Tensor, other: torch.Tensor) -> float:
        pooled = [torch.nn.functional.avg_pool2d(frames, 4).flatten() for frames in (one, other)]
        return float(torch.corrcoef(torch.stack(pooled))[0, 1])

    assert likeness(fourier.frames, project.frames) > 0.98
    assert likeness(fourier.truth, project.truth) > 0.98
    assert likeness(project.frames, project.truth) < 0.97


def test_a_range_of_one_value_fixes_it(pictures: Pictures) -> None:
    spec = picture(pictures, 64, 64, 1, 0, 8.0)
    still = dataclasses.replace(
        CONFIG, drift=(0, 0), outside=(0, 0), travel=(0, 0), shake=(0, 0), kinds=("sinusoid",)
    )
    motion = draw_motion(spec, still, 200, amplitude=0.3, seed=0)
    assert (motion.low, motion.high) == pytest.approx((0.1, 0.2))
    assert motion.other.abs().max() == 0
    along = motion.band[:, 0] @ spec.directions[0]
    assert float(along.abs().max()) == pytest.approx(0.3, rel=1e-2)
    spectrum = torch.fft.rfft(along * torch.hann_window(200, dtype=torch.float64)).abs()
    assert 0.1 < float(spectrum.argmax()) / 200 < 0.2


def test_a_sequence_is_a_function_of_its_seeds(pictures: Pictures) -> None:
    spec = picture(pictures, 64, 64, 1, 0, 8.0)
    camera = Camera(read_noise=(0.0, 0.01), flicker=(0.0, 0.02))
    shown = stage("project", spec)
    clips = [
        render_sequence(
            spec, draw_motion(spec, CONFIG, 2, 0.2, motion), 5.0, shown, camera=camera, noise=0.01, seed=seed
        )
        for motion, seed in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert torch.equal(clips[0].frames, clips[1].frames)
    assert torch.equal(clips[0].truth, clips[1].truth)
    assert not torch.equal(clips[0].frames, clips[2].frames)
    assert not torch.equal(clips[0].truth, clips[3].truth)


def test_motion_beyond_the_scene_is_refused(pictures: Pictures) -> None:
    spec = picture(pictures, 64, 64, 1, 0, 8.0)
    motion = draw_motion(spec, CONFIG, 4, amplitude=1.0, seed=0)
    with pytest.raises(InputError, match="up to 8 px, got"):
        render_sequence(spec, motion, 30.0, stage("project", spec))
    with pytest.raises(InputError, match="rolling_shutter must be 0 here"):
        render_sequence(spec, motion, 2.0, stage("project", spec), camera=Camera(rolling_shutter=0.5))
